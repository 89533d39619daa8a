"""The client's side: it comes back, asks again with the same ids, and hears every event once and in order."""

import json
from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import (
    Blocked,
    ClientSession,
    ClientStatus,
    CloseSocket,
    Disconnected,
    Happened,
    OpenSocket,
    Output,
    Replied,
    Send,
    TooLong,
    TooManyPending,
    TopicMoved,
    Welcomed,
    Wire,
)
from protocol.client import UNHEARD_LIMIT
from protocol.cursors import Track

TOPIC = "chat:room:raid"


class Always:
    """Dice that always fall the same way."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value

    def getrandbits(self, _k: int, /) -> int:
        return 0xABC


class Phone:
    """A client session, and what the other side of its socket sees; ``now`` is set by the test."""

    def __init__(self, dice: float = 0.5, wire: Wire = Wire.JSON) -> None:
        self.now = 0.0
        self.session = ClientSession(wire, Always(dice), "token-1", client={"platform": "ios"}, prefix="p")
        self.wire = wire

    def take(self) -> list[Output]:
        assert self.session.alarm <= self.session.deadline, "a shell that watches the alarm would be late"
        return self.session.take()

    def sent(self) -> list[dict[str, Any]]:
        """What was to be sent since the last look; everything else is dropped."""
        return [self.read(each.payload) for each in self.take() if isinstance(each, Send)]

    def read(self, payload: bytes) -> dict[str, Any]:
        message = msgspec.msgpack.decode(payload) if self.wire.binary else msgspec.json.decode(payload)
        assert isinstance(message, dict)
        return message

    def hear(self, **message: Any) -> None:
        encode = msgspec.msgpack.encode if self.wire.binary else msgspec.json.encode
        self.session.received(encode(message), self.now)

    def open(self) -> dict[str, Any]:
        """Up to the hello, which is returned."""
        if self.session.status is ClientStatus.OFFLINE:
            self.session.connect(self.now)
        assert OpenSocket() in self.take()
        self.session.socket_opened(self.now)
        (hello,) = self.sent()
        return hello

    def welcome(self, hello: dict[str, Any], **topics: tuple[str, int, str]) -> None:
        standing = {
            TOPIC if name == "raid" else name: {"epoch": epoch, "seq": seq, "status": status}
            for name, (epoch, seq, status) in topics.items()
        }
        self.hear(
            t="welcome", re=hello["id"], session="s1", player="ann", now=1, heartbeat_ms=25_000, topics=standing,
            limits={"message_bytes": 16_384, "text_chars": 2000, "requests_per_s": 20.0}, config={"version": "1"},
        )  # fmt: skip

    def online(self, **topics: tuple[str, int, str]) -> "Phone":
        self.welcome(self.open(), **topics)
        assert self.session.status is ClientStatus.ONLINE
        self.take()
        return self

    def ask(self, text: str = "hi") -> str:
        return self.session.request("chat.send", {"channel": "room:raid", "text": text}, self.now)

    def drop(self, code: int = 1006, reason: str = "") -> list[Output]:
        self.session.socket_closed(code, reason, self.now)
        return self.take()

    def tick(self) -> None:
        """Let time pass to the next deadline."""
        self.now = self.session.deadline
        self.session.tick(self.now)

    def event(self, seq: int, topic: str = TOPIC) -> None:
        self.hear(t="chat.message", topic=topic, seq=seq, at=1, text=str(seq))

    def heard(self) -> list[int]:
        """The seqs that reached the application since the last look."""
        return [each.event["seq"] for each in self.take() if isinstance(each, Happened)]


# Going online.
@pytest.mark.parametrize("wire", list(Wire))
def test_the_first_hello_has_the_token_and_nothing_to_resume(wire: Wire) -> None:
    phone = Phone(wire=wire)
    assert phone.open() == {"t": "hello", "id": "p-1", "token": "token-1", "client": {"platform": "ios"}}
    assert phone.session.status is ClientStatus.RESUMING


def test_after_the_welcome_the_application_is_told_and_what_waited_is_sent() -> None:
    phone = Phone()
    op = phone.ask("early")
    phone.welcome(phone.open(), raid=("e7", 5, "resumed"))

    welcomed, moved, send = phone.take()

    assert isinstance(welcomed, Welcomed)
    assert moved == TopicMoved(TOPIC, "resumed", "e7", 5)
    assert isinstance(send, Send)
    assert phone.read(send.payload) == {"t": "chat.send", "id": op, "channel": "room:raid", "text": "early"}


def test_a_session_is_resumed_with_its_id_and_its_cursors() -> None:
    phone = Phone().online(raid=("e7", 5, "resumed"))
    phone.event(6)
    phone.drop()
    phone.tick()

    assert phone.open()["resume"] == {"session": "s1", "cursors": {TOPIC: ["e7", 6]}}


def test_a_socket_that_does_not_open_or_bring_a_welcome_is_given_up() -> None:
    phone = Phone()
    phone.session.connect(0.0)
    phone.take()
    phone.tick()
    assert phone.now == 10.0
    assert isinstance(phone.take()[0], CloseSocket)
    phone.tick()
    phone.open()
    phone.tick()
    closed, lost = phone.take()
    assert isinstance(closed, CloseSocket)
    assert isinstance(lost, Disconnected)


# Requests.
def test_a_request_without_an_answer_is_sent_again_with_its_id_after_every_reconnect() -> None:
    phone = Phone().online()
    first, second = phone.ask("one"), phone.ask("two")
    before = phone.sent()
    for _ in range(3):
        phone.drop()
        phone.tick()
        phone.welcome(phone.open())
        assert phone.sent() == before
    phone.hear(t="chat.sent", re=first, channel="room:raid", seq=1, at=1)
    phone.take()
    phone.drop()
    phone.tick()
    phone.welcome(phone.open())
    assert [each["id"] for each in phone.sent()] == [second]


def test_a_reply_reaches_the_application_once() -> None:
    phone = Phone().online()
    op = phone.ask()
    phone.take()
    for _ in range(2):
        phone.hear(t="chat.sent", re=op, channel="room:raid", seq=1, at=1)
    (replied,) = phone.take()
    assert isinstance(replied, Replied)
    assert replied.id == op


def test_ids_fit_the_protocol_and_never_come_twice() -> None:
    phone = Phone().online()
    ids = {phone.ask() for _ in range(64)}
    assert len(ids) == 64
    drawn = ClientSession(Wire.JSON, Random(1), "t").request("x", {}, 0.0)
    assert 1 <= len(drawn) <= 36
    assert drawn != ClientSession(Wire.JSON, Random(2), "t").request("x", {}, 0.0)


def test_too_many_or_too_long_requests_are_refused_at_once() -> None:
    phone = Phone()
    ops = [phone.ask() for _ in range(64)]
    with pytest.raises(TooManyPending):
        phone.ask()
    phone.session.cancel(ops[0])
    with pytest.raises(TooLong):
        phone.ask("x" * 17_000)
    phone.ask()


def test_an_answer_that_never_comes_is_asked_for_again() -> None:
    phone = Phone().online()
    op = phone.ask()
    phone.take()
    phone.tick()
    assert phone.now == 15.0
    assert [each["id"] for each in phone.sent()] == [op]


def test_never_ends_a_request_and_is_told() -> None:
    phone = Phone().online()
    op = phone.ask()
    phone.take()
    phone.hear(t="error", re=op, code="chat.not_member", message="", retry="never", trace="t")
    (replied,) = phone.take()
    assert isinstance(replied, Replied)
    assert replied.reply["code"] == "chat.not_member"
    assert phone.session.pending == {}


def test_now_is_obeyed_at_once_and_then_with_a_pause() -> None:
    phone = Phone().online()
    op = phone.ask()
    (first,) = phone.sent()
    phone.hear(t="error", re=op, code="actor.moved", message="", retry="now", trace="t")
    assert phone.sent() == [first]
    phone.hear(t="error", re=op, code="actor.moved", message="", retry="now", trace="t")
    assert phone.take() == []
    phone.tick()
    assert 0.0 < phone.now <= 2.0
    assert phone.sent() == [first]


def test_later_waits_as_long_as_the_server_asks_also_over_a_reconnect() -> None:
    phone = Phone(dice=0.0).online()
    op = phone.ask()
    (first,) = phone.sent()
    phone.hear(t="error", re=op, code="unavailable", message="", retry="later", retry_after_ms=7000, trace="t")
    phone.drop()
    phone.tick()
    phone.welcome(phone.open())
    assert phone.sent() == []
    phone.tick()
    assert phone.now == 7.0
    assert phone.sent() == [first]


def test_later_without_a_time_is_jittered_under_a_doubling_bound() -> None:
    phone = Phone(dice=1.0).online()
    op = phone.ask()
    pauses = []
    for _ in range(4):
        phone.take()
        phone.hear(t="error", re=op, code="actor.busy", message="", retry="later", trace="t")
        began = phone.now
        phone.tick()
        pauses.append(phone.now - began)
    assert pauses == [1.0, 2.0, 4.0, 8.0]


# Coming back.
def lost(outputs: Iterable[Output]) -> Disconnected:
    (found,) = [each for each in outputs if isinstance(each, Disconnected)]
    return found


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 40))
def test_the_pause_before_reconnecting_is_full_jitter_under_half_a_second_doubling_to_thirty(
    dice: float, failures: int
) -> None:
    phone = Phone(dice)
    phone.session.connect(0.0)
    for n in range(failures):
        pause = lost(phone.drop()).retry_in_s
        assert pause == pytest.approx(dice * min(30.0, 0.5 * 2**n))
        assert phone.session.deadline == phone.now + pause
        phone.tick()
        assert phone.session.status is ClientStatus.CONNECTING


def test_only_a_connection_that_was_online_for_a_while_makes_the_next_failure_a_first_one() -> None:
    phone = Phone(dice=1.0).online()
    pauses = []
    for _ in range(3):
        pauses.append(lost(phone.drop()).retry_in_s)
        phone.tick()
        phone.welcome(phone.open())
    assert pauses == [0.5, 1.0, 2.0]
    phone.now += 10.0
    assert lost(phone.drop()).retry_in_s == 0.5


@pytest.mark.parametrize(
    ("reason", "least", "most"),
    [('{"retry_after_ms":4000}', 4.0, 4.5), ("", 0.0, 0.5), ("[1]", 0.0, 0.5), ('{"retry_after_ms":"x"}', 0.0, 0.5)],
)
def test_a_draining_server_says_when_to_come_back(reason: str, least: float, most: float) -> None:
    for dice in (0.0, 0.99):
        assert least <= lost(Phone(dice).online().drop(4000, reason)).retry_in_s <= most


@pytest.mark.parametrize("code", [4500, 4501, 4502, 4503, 4504, 4505, 4506, 4999])
def test_a_close_from_4500_on_blocks_with_its_reason(code: int) -> None:
    phone = Phone().online()
    assert phone.drop(code, "why") == [Blocked(code, "why")]
    phone.session.tick(1e9)
    assert phone.take() == []
    assert phone.session.status is ClientStatus.BLOCKED


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 4000, 4001, 4002, 4003, 4004, 4499])
def test_every_other_close_is_followed_by_a_reconnect(code: int) -> None:
    phone = Phone().online()
    assert lost(phone.drop(code)).code == code
    phone.tick()
    assert phone.take() == [OpenSocket()]


def test_a_close_for_want_of_a_hello_is_followed_by_a_reconnect() -> None:
    """A phone that came into a tunnel between the upgrade and its hello was once sent for another token, for good."""
    phone = Phone()
    phone.open()

    assert lost(phone.drop(4501, "no hello")).code == 4501
    phone.tick()
    phone.welcome(phone.open())

    assert phone.session.status is ClientStatus.ONLINE


def test_a_close_for_want_of_a_hello_may_come_before_the_upgrade_is_seen() -> None:
    phone = Phone()
    phone.session.connect(phone.now)
    assert phone.take() == [OpenSocket()]

    assert lost(phone.drop(4501, "no hello")).code == 4501


def test_a_server_that_never_hears_a_hello_is_believed_in_the_end() -> None:
    phone = Phone()
    phone.open()
    for _ in range(UNHEARD_LIMIT):
        lost(phone.drop(4501, "no hello"))
        phone.tick()
        phone.open()

    assert phone.drop(4501, "no hello") == [Blocked(4501, "no hello")]


def test_a_refused_token_blocks_until_another_one_is_given() -> None:
    phone = Phone().online()
    phone.drop(4501, "expired")
    phone.session.connect(phone.now)
    phone.session.set_token("token-1", phone.now)
    phone.session.disconnect()
    phone.session.connect(phone.now)
    assert phone.take() == []
    phone.session.set_token("token-2", phone.now)
    assert phone.open()["token"] == "token-2"


def test_a_hello_that_is_refused_blocks_and_one_that_is_put_off_comes_again() -> None:
    phone = Phone(dice=0.0)
    hello = phone.open()
    phone.hear(t="error", re=hello["id"], code="unavailable", message="", retry="later", retry_after_ms=3000, trace="t")
    assert lost(phone.take()).retry_in_s == 3.0
    phone.tick()
    hello = phone.open()
    phone.hear(t="error", re=hello["id"], code="auth.invalid", message="", retry="never", trace="t")
    assert phone.take() == [CloseSocket(1000), Blocked(4501, "auth.invalid")]


def test_another_sign_in_blocks_until_the_player_wants_back() -> None:
    phone = Phone().online()
    phone.drop(4503, "signed in elsewhere")
    phone.session.connect(phone.now)
    assert phone.take() == [OpenSocket()]


def test_a_new_token_is_used_from_the_next_hello_on() -> None:
    phone = Phone().online()
    phone.session.set_token("token-2", phone.now)
    assert phone.take() == []
    phone.drop()
    phone.tick()
    assert phone.open()["token"] == "token-2"


def test_offline_by_wish_stays_offline_and_keeps_what_is_pending() -> None:
    phone = Phone().online()
    op = phone.ask()
    phone.take()
    phone.session.disconnect()
    assert phone.take() == [CloseSocket(1000)]
    phone.session.tick(1e9)
    phone.session.socket_closed(1000, "", 1e9)
    assert phone.take() == []
    assert list(phone.session.pending) == [op]


# Heartbeat.
def test_a_ping_goes_out_when_nothing_else_did_for_most_of_the_heartbeat() -> None:
    phone = Phone().online()
    phone.tick()
    assert phone.now == 20.0
    (ping,) = phone.sent()
    assert ping["t"] == "ping"
    phone.hear(t="pong", re=ping["id"], now=1)
    phone.now = 30.0
    op = phone.ask()
    phone.hear(t="chat.sent", re=op, channel="room:raid", seq=1, at=1)
    assert phone.session.deadline == 50.0


def test_two_heartbeats_of_silence_are_a_dead_socket() -> None:
    phone = Phone().online()
    while phone.session.status is ClientStatus.ONLINE:
        phone.tick()
    assert phone.now == 50.0
    assert CloseSocket(4002, "nothing was heard") in phone.take()


def test_a_ping_of_the_server_is_answered() -> None:
    phone = Phone().online()
    phone.hear(t="ping", id="s1")
    assert phone.sent() == [{"t": "pong", "re": "s1"}]


# Topics.
def test_events_come_in_order_and_each_once() -> None:
    phone = Phone().online(raid=("e7", 5, "resumed"))
    for seq in (5, 6, 6, 7, 3, 8):
        phone.event(seq)
    assert phone.heard() == [6, 7, 8]


def test_a_hole_holds_back_what_is_later_asks_once_and_ends_in_order() -> None:
    phone = Phone().online(raid=("e7", 5, "resumed"))
    phone.event(6)
    phone.event(9)
    phone.event(8)
    phone.event(1, topic="guild:42")
    outputs = phone.take()
    assert [each.event["seq"] for each in outputs if isinstance(each, Happened)] == [6, 1]
    (sync,) = [phone.read(each.payload) for each in outputs if isinstance(each, Send)]
    assert (sync["t"], sync["topic"], sync["after"]) == ("topic.sync", TOPIC, 6)

    phone.hear(t="topic.synced", re=sync["id"], topic=TOPIC, epoch="e7", seq=9, status="resumed")
    for seq in (7, 8, 9, 10):
        phone.event(seq)
    assert phone.heard() == [7, 8, 9, 10]
    assert phone.session.deadline == 20.0  # nothing but the ping
    phone.event(12)
    (sync,) = phone.sent()
    assert sync["after"] == 10


def test_a_hole_that_does_not_fill_is_asked_for_again() -> None:
    phone = Phone().online(raid=("e7", 5, "resumed"))
    phone.event(9)
    phone.take()
    phone.tick()
    assert phone.now == 5.0
    (again,) = phone.sent()
    assert (again["t"], again["after"]) == ("topic.sync", 5)


@pytest.mark.parametrize("status", ["reset", "gone"])
def test_a_hole_that_cannot_be_filled_is_told_before_anything_later(status: str) -> None:
    phone = Phone().online(raid=("e7", 5, "resumed"))
    phone.event(9)
    (sync,) = phone.sent()
    phone.hear(t="topic.synced", re=sync["id"], topic=TOPIC, epoch="e7", seq=8, status=status)
    moved, *rest = phone.take()
    assert isinstance(moved, TopicMoved)
    assert moved.status == status
    assert [each.event["seq"] for each in rest if isinstance(each, Happened)] == ([9] if status == "reset" else [])


def test_what_is_held_is_bounded_and_the_rest_is_asked_for() -> None:
    phone = Phone().online(raid=("e7", 0, "resumed"))
    for seq in range(2, 400):
        phone.event(seq)
    phone.take()
    phone.event(1)
    assert phone.heard() == list(range(1, 258))
    phone.tick()
    (sync,) = phone.sent()
    assert sync["after"] == 257


def test_a_reply_that_says_where_a_topic_stands_is_followed_from_there() -> None:
    phone = Phone().online()
    op = phone.session.request("chat.join", {"channel": "room:raid"}, phone.now)
    phone.hear(t="chat.joined", re=op, channel="room:raid", epoch="e7", seq=3, members=1)
    for seq in (3, 4, 4, 5):
        phone.event(seq)
    assert phone.heard() == [4, 5]
    phone.session.unfollow(TOPIC)
    phone.event(9)
    assert phone.heard() == [9]


def test_an_ephemeral_event_is_handed_on_as_it_comes() -> None:
    phone = Phone().online(raid=("e7", 5, "resumed"))
    phone.hear(t="chat.typing", topic=TOPIC, player="bo")
    (happened,) = phone.take()
    assert isinstance(happened, Happened)


def test_after_a_resume_every_topic_stands_as_the_server_says() -> None:
    phone = Phone().online(raid=("e7", 5, "resumed"), old=("e1", 9, "resumed"), cut=("e2", 9, "resumed"))
    phone.drop()
    phone.tick()
    phone.welcome(phone.open(), raid=("e7", 8, "resumed"), cut=("e3", 2, "reset"))

    moved = [each for each in phone.take() if isinstance(each, TopicMoved)]

    assert moved == [
        TopicMoved(TOPIC, "resumed", "e7", 8),
        TopicMoved("cut", "reset", "e3", 2),
        TopicMoved("old", "gone"),
    ]
    for seq in (6, 7, 8, 9):
        phone.event(seq)
    phone.event(3, topic="cut")
    assert phone.heard() == [6, 7, 8, 9, 3]
    assert phone.session.cursors.for_hello() == {TOPIC: ("e7", 9), "cut": ("e3", 3)}


def test_a_replay_that_stays_away_after_the_welcome_is_asked_for() -> None:
    phone = Phone().online(raid=("e7", 5, "resumed"))
    phone.drop()
    phone.tick()
    phone.welcome(phone.open(), raid=("e7", 8, "resumed"))
    phone.event(6)
    assert phone.sent() == []
    came = phone.now
    phone.tick()
    assert phone.now == came + 5.0
    (sync,) = phone.sent()
    assert (sync["t"], sync["after"]) == ("topic.sync", 6)


def test_what_waited_for_a_hole_is_let_go_with_the_connection() -> None:
    phone = Phone().online(raid=("e7", 5, "resumed"))
    phone.event(9)
    phone.drop()
    track = phone.session.cursors.find(TOPIC)
    assert track is not None
    assert (track.held, track.has_hole) == ({}, False)


def test_an_application_that_knows_more_moves_the_cursor_and_never_back() -> None:
    phone = Phone().online()
    phone.session.follow(TOPIC, "e7", 5, 0.0)
    phone.event(8)
    phone.take()
    phone.session.follow(TOPIC, "e7", 7, 0.0)
    assert phone.heard() == [8]
    phone.session.follow(TOPIC, "e7", 2, 0.0)
    assert phone.session.cursors.for_hello() == {TOPIC: ("e7", 8)}


@pytest.mark.parametrize("payload", [b"", b"[]", b"nonsense", b'"x"', b"[" * 100_000, b"\xff", b'{"re":5}', b"{}"])
def test_what_cannot_be_understood_is_skipped(payload: bytes) -> None:
    phone = Phone().online()
    phone.session.received(payload, 1.0)
    assert not [each for each in phone.take() if not isinstance(each, Happened)]
    assert phone.session.status is ClientStatus.ONLINE


@given(st.lists(st.integers(1, 12), max_size=60))
def test_whatever_comes_and_how_often_the_application_hears_a_prefix_in_order(seqs: list[int]) -> None:
    phone = Phone().online(raid=("e7", 0, "resumed"))
    for seq in seqs:
        phone.event(seq)
    heard = phone.heard()
    assert heard == list(range(1, len(heard) + 1))
    assert len(heard) + 1 not in seqs


def test_the_alarm_may_ring_too_early_and_is_right_again_after_a_tick() -> None:
    phone = Phone().online()
    for now in range(5):
        phone.now = now
        phone.hear(t="chat.sent", re=phone.ask(), channel="room:raid", seq=now, at=1)
    assert phone.session.alarm == 15.0  # the first of them, had it not been answered
    assert phone.session.deadline == 24.0
    phone.take()
    phone.now = phone.session.alarm
    phone.session.tick(phone.now)
    assert not phone.sent()
    assert phone.session.alarm == 24.0


@given(st.lists(st.integers(1, 12), max_size=60))
def test_a_track_that_looks_for_what_follows_first_hands_on_the_same(seqs: list[int]) -> None:
    quick, thorough = Track("e7", 0), Track("e7", 0)
    for seq in seqs:
        event = {"seq": seq}
        expected = thorough.take(seq, event, 0.0)
        assert ([event] if quick.follows(seq) else quick.take(seq, event, 0.0)) == expected
        assert (quick.seq, quick.newest, quick.held) == (thorough.seq, thorough.newest, thorough.held)


def test_a_format_that_reads_along_is_used_for_everything() -> None:
    class Noted:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def encode(self, message: dict[str, Any], /) -> bytes:
            self.seen.append(message["t"])
            return msgspec.json.encode(message)

        def decode(self, payload: bytes, /) -> Any:
            message = msgspec.json.decode(payload)
            self.seen.append(message["t"])
            return message

    phone, noted = Phone(), Noted()
    phone.session = ClientSession(Wire.JSON, Always(0.5), "token-1", prefix="p", format=noted)
    phone.online()
    phone.ask()
    assert noted.seen == ["hello", "welcome", "chat.send"]


def test_a_hello_is_plain_json_in_the_json_format() -> None:
    phone = Phone()
    phone.session.connect(0.0)
    phone.session.socket_opened(0.0)
    (hello,) = [each.payload for each in phone.take() if isinstance(each, Send)]
    assert json.loads(hello)["t"] == "hello"
