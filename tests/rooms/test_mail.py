"""What the inbox promises: one order, each notice once, and a count that is right whatever else the topic carries."""

from random import Random
from typing import Any

import pytest
from msgspec import Struct, to_builtins

import actors.mail
from actors.mail import (
    BODY_LIMIT,
    DATA_BYTES,
    KEPT,
    KEPT_FOR_MS,
    KEYS_FOR_MS,
    KEYS_KEPT,
    READ_LIMIT,
    TITLE_LIMIT,
    Inbox,
    InboxDeliver,
    InboxList,
    InboxNotice,
    InboxPage,
    InboxRead,
    InboxSeen,
    MailGreeting,
    NoticeExpired,
    NoticeTold,
    ReadAhead,
    mail,
    tell_player,
)
from actors.runtime import Blueprint, Context, Feature, TopicOpen
from protocol import Event, IdReused, Invalid, Tell
from storage import Snapshot
from tests.support.room import NOON, Room, tags
from tests.support.talk import redeem

TOPIC = "player:bo"


class Noise(Tell, tag="test.noise", frozen=True, kw_only=True):
    """Has another room of the player publish ``times`` events."""

    times: int = 1


class NoiseMade(Event, tag="test.noise_made", frozen=True, kw_only=True):
    pass


class Silence(Struct):
    pass


noise = Feature(name="noise", actor="player", state=Silence, keep_events=1500)
"""Owns the topic, as the profile does, and publishes to it, as many rooms do."""
noise.publishes(NoiseMade)


@noise.readable("")
def may_read(_state: Silence, _player: str, _actor: str) -> bool:
    return True


@noise.hears(Noise)
def make_noise(ctx: Context, _state: Silence, msg: Noise) -> None:
    for _ in range(msg.times):
        ctx.publish(ctx.actor, NoiseMade())


def bo(snapshot: Snapshot | None = None) -> Room:
    return Room([mail, noise], actor=TOPIC, caller="bo", snapshot=snapshot)


def told(title: str = "Hello", **fields: Any) -> NoticeTold:
    return NoticeTold(**{"kind": "test.hello", "title": title, "body": "", **fields})


def send(room: Room, *titles: str, **fields: Any) -> None:
    for title in titles:
        room.hear(told(title, **fields), sender="guild:42")


def chatter(room: Room, times: int = 1) -> None:
    room.hear(Noise(times=times), sender="guild:7")


def deliver(room: Room, notice: str = "n1", **fields: Any) -> Any:
    asked = {"kind": "staff.gift", "title": "A gift", **fields}
    return room.ask(InboxDeliver(id=f"s{len(room.effects)}", player="bo", notice=notice, **asked), caller="server")


def page(room: Room, **asked: Any) -> InboxPage:
    given = redeem(room, room.ask(InboxList(id="l", **asked)))
    assert isinstance(given, InboxPage)
    return given


def titles(given: InboxPage) -> list[str]:
    return [notice.title for notice in given.notices]


def read(room: Room, upto: int) -> int:
    unread = room.ask(InboxRead(id=f"r{len(room.effects)}-{upto}-{room.now_ms}", upto=upto)).unread
    assert isinstance(unread, int)
    return unread


def greeting(room: Room) -> MailGreeting:
    found = room.ask(TopicOpen(id="o", topic=TOPIC, greet=True)).state["mail"]
    assert isinstance(found, MailGreeting)
    return found


class TestANotice:
    def test_is_an_event_of_the_players_topic(self) -> None:
        room = bo()

        send(room, "Invitation", body="Come in", data={"guild": "42"}, expires_ms=NOON + 5)

        [(topic, event)] = room.published
        assert (topic, to_builtins(event)) == (
            TOPIC,
            {
                "t": "inbox.notice",
                "topic": TOPIC,
                "seq": 1,
                "at": NOON,
                "kind": "test.hello",
                "title": "Invitation",
                "body": "Come in",
                "data": {"guild": "42"},
                "expires_at": NOON + 5,
            },
        )

    def test_has_a_body_even_if_it_is_empty_and_nothing_else_that_was_not_given(self) -> None:
        room = bo()

        send(room, "Hello")

        shown = to_builtins(room.published[0][1])
        assert shown.keys() == {"t", "topic", "seq", "at", "kind", "title", "body"}

    def test_told_twice_over_comes_once(self) -> None:
        room = bo()
        for _ in range(2):
            room.hear(told(), sender="guild:42", number=1)

        assert tags(room.published) == ["inbox.notice"]
        assert greeting(room).unread == 1

    def test_that_expires_on_its_way_costs_nothing(self) -> None:
        room = bo()
        room.commit()

        send(room, "late", expires_ms=NOON)

        assert not room.published
        assert not room.commit().slices

    def test_of_another_room_is_told_with_its_texts_cut_to_their_bounds(self) -> None:
        ctx = Context("guild:42", bo().actor, Random(1))

        tell_player(ctx, "bo", kind="guild.kicked", title="t" * 200, body="b" * 3000, data={"by": "ann"})

        expected = told("t" * TITLE_LIMIT, kind="guild.kicked", body="b" * BODY_LIMIT, data={"by": "ann"})
        assert [(e.to, e.message) for e in ctx.effects] == [(TOPIC, expected)]  # type: ignore[union-attr]


class TestTheList:
    def test_is_empty_at_first(self) -> None:
        assert to_builtins(page(bo())) == {"t": "inbox.page", "notices": [], "unread": 0, "more": False}

    def test_gives_the_newest_first_page_and_goes_back_from_there(self) -> None:
        room = bo()
        send(room, *"abcde")

        newest = page(room, limit=2)
        assert (titles(newest), newest.more, newest.unread) == (["d", "e"], True, 5)
        older = page(room, limit=3, before=newest.notices[0].seq)
        assert (titles(older), older.more, older.unread) == (["a", "b", "c"], False, 5)
        assert titles(page(room, before=1)) == []

    def test_holds_no_events_of_other_rooms(self) -> None:
        room = bo()
        for title in "abc":
            chatter(room, 20)
            send(room, title)

        given = page(room, limit=2)
        assert (titles(given), given.more) == (["b", "c"], True)

    def test_leads_past_any_number_of_other_events(self) -> None:
        """A page that would have the log read too far back is shorter, and there is more."""
        room = bo()
        for title in "abc":
            send(room, title)
            chatter(room, 400)

        newest = page(room)
        assert (titles(newest), newest.more) == (["b", "c"], True)
        older = page(room, before=newest.notices[0].seq)
        assert (titles(older), older.more) == (["a"], False)

    def test_is_read_from_a_bounded_stretch_of_the_log(self) -> None:
        room = bo()
        send(room, "a")
        chatter(room, READ_LIMIT - 1)
        send(room, "b")

        newest = page(room)
        assert (titles(newest), newest.more) == (["b"], True)
        older = page(room, before=newest.notices[0].seq)
        assert (titles(older), older.more) == (["a"], False)

    def test_shows_nothing_that_has_expired(self) -> None:
        room = bo()
        send(room, "short", expires_ms=NOON + 10)
        send(room, "long")
        room.now_ms += 10

        assert (titles(page(room)), page(room).unread) == (["long"], 1)

    def test_costs_no_write(self) -> None:
        room = bo()
        send(room, "a")
        room.commit()

        page(room)

        assert room.actor.draft.empty


class TestTheMark:
    def test_counts_down_what_is_unread_and_the_welcome_says_so(self) -> None:
        room = bo()
        send(room, *"abc")

        assert greeting(room) == MailGreeting(unread=3, read=0)
        assert to_builtins(room.ask(InboxRead(id="r", upto=2))) == {"t": "inbox.marked", "re": "r", "unread": 1}
        assert greeting(room) == MailGreeting(unread=1, read=2)
        assert page(room).unread == 1

    def test_reaches_the_players_other_devices(self) -> None:
        room = bo()
        send(room, *"abc")

        read(room, 2)

        assert room.published[-1] == (TOPIC, InboxSeen(topic=TOPIC, seq=4, at=NOON, upto=2, unread=1))

    def test_never_goes_back(self) -> None:
        room = bo()
        send(room, *"abc")
        read(room, 3)
        room.commit()

        assert read(room, 1) == 0

        assert room.state.read == 3
        assert tags(room.published).count("inbox.seen") == 1
        assert not room.commit().slices

    def test_may_stand_at_an_event_of_another_room(self) -> None:
        room = bo()
        send(room, "a")
        chatter(room)
        send(room, "b")

        assert read(room, 2) == 1

    def test_beyond_the_newest_event_is_refused(self) -> None:
        room = bo()
        send(room, "a")

        with pytest.raises(ReadAhead) as refusal:
            read(room, 2)

        assert (refusal.value.code, refusal.value.retry) == ("inbox.read_ahead", "never")
        assert room.state.read == 0

    def test_set_again_under_its_id_is_set_once(self) -> None:
        room = bo()
        send(room, *"ab")
        replies = []
        for _ in range(2):
            replies.append(room.ask(InboxRead(id="same", upto=1)))
            send(room, "more")

        assert replies[0] == replies[1]
        assert tags(room.published).count("inbox.seen") == 1


class TestWhatStands:
    def test_is_bounded_in_number_and_the_oldest_gives_way(self) -> None:
        room = bo()
        send(room, *map(str, range(KEPT + 3)))

        assert greeting(room).unread == KEPT
        oldest = page(room, before=5)
        assert (titles(oldest), oldest.more) == (["3"], False)

    def test_is_bounded_in_age_without_anybody_doing_anything(self) -> None:
        room = bo()
        send(room, "old")
        room.now_ms += 1
        send(room, "new")
        room.now_ms = NOON + KEPT_FOR_MS

        assert greeting(room).unread == 1
        assert titles(page(room)) == ["new"]

    def test_does_not_outlive_its_age_for_a_later_expiry(self) -> None:
        room = bo()
        send(room, "old", expires_ms=NOON + 2 * KEPT_FOR_MS)
        room.now_ms += KEPT_FOR_MS

        assert greeting(room).unread == 0

    def test_is_what_the_log_still_holds(self) -> None:
        """Where other rooms have filled the log, a notice that was cut with it is not counted either."""
        room = bo()
        send(room, "a")
        chatter(room, noise.keep_events + 100)
        send(room, "b")

        assert room.actor.position_of(TOPIC).floor > 1
        assert greeting(room).unread == 1
        assert (titles(page(room)), page(room).more) == (["b"], False)

    def test_is_the_same_after_the_actor_was_loaded_again(self) -> None:
        room = bo()
        send(room, *"abc")
        delivered = deliver(room)
        read(room, 1)
        write = room.commit()

        again = bo(Snapshot(actor=TOPIC, fence=2, version=1, told=0, slices=write.slices, topics=write.topics))

        assert greeting(again) == MailGreeting(unread=3, read=1)
        assert deliver(again) == delivered


class TestADelivery:
    def test_by_the_servers_own_parts_is_answered_with_its_place(self) -> None:
        room = bo()

        given = deliver(room, body="Sorry for the trouble", data={"item": "potion"})

        assert (given.seq, given.at) == (1, NOON)
        [(_, notice)] = room.published
        assert isinstance(notice, InboxNotice)
        assert (notice.kind, notice.title, notice.data) == ("staff.gift", "A gift", {"item": "potion"})

    def test_is_made_once_for_its_key(self) -> None:
        room = bo()
        first = deliver(room)
        room.now_ms += 1000
        chatter(room)
        room.commit()

        assert deliver(room) == first

        assert tags(room.published).count("inbox.notice") == 1
        assert room.actor.draft.empty

    def test_sent_again_after_it_has_expired_is_still_that_delivery(self) -> None:
        room = bo()
        first = deliver(room, expires_ms=NOON + 10)
        room.now_ms += 20

        assert deliver(room, expires_ms=NOON + 10) == first

    def test_of_another_notice_under_the_same_key_is_refused(self) -> None:
        room = bo()
        deliver(room)

        with pytest.raises(IdReused):
            deliver(room, title="Another gift")

        assert tags(room.published) == ["inbox.notice"]

    def test_is_remembered_for_a_day(self) -> None:
        room = bo()
        first = deliver(room)
        room.now_ms += KEYS_FOR_MS - 1
        assert deliver(room) == first

        room.now_ms += 1
        assert deliver(room).seq == 2
        assert list(room.state.delivered) == ["n1"]

    def test_is_forgotten_first_when_there_are_too_many(self) -> None:
        room = bo()
        for n in range(KEYS_KEPT + 2):
            deliver(room, f"n{n}")

        assert list(room.state.delivered) == [f"n{n}" for n in range(2, KEYS_KEPT + 2)]
        assert deliver(room, "n2").seq == 3

    def test_that_nobody_could_read_in_time_is_refused(self) -> None:
        room = bo()

        with pytest.raises(NoticeExpired) as refusal:
            deliver(room, expires_ms=NOON)

        assert (refusal.value.code, refusal.value.retry) == ("inbox.expired", "never")
        assert not room.state.delivered

    @pytest.mark.parametrize(
        "fields",
        [
            {"title": ""},
            {"title": "\u202e"},
            {"title": "t" * (TITLE_LIMIT + 1)},
            {"body": "b" * (BODY_LIMIT + 1)},
            {"kind": ""},
            {"kind": "a b"},
            {"notice": ""},
            {"notice": "n" * 65},
            {"data": {"text": "x" * DATA_BYTES}},
            {"data": {"list": [0] * 300}},
            {"data": {"number": float("nan")}},
            {"expires_ms": -1},
        ],
        ids=str,
    )
    def test_out_of_bounds_is_refused_and_changes_nothing(self, fields: dict[str, Any]) -> None:
        room = bo()

        with pytest.raises(Invalid):
            deliver(room, **fields)

        assert not room.published
        assert room.state == Inbox()

    def test_is_cleaned_as_what_players_type(self) -> None:
        room = bo()

        deliver(room, title="A\u202e gift")

        notice = room.published[0][1]
        assert isinstance(notice, InboxNotice)
        assert notice.title == "A gift"

    def test_is_not_for_clients_to_ask(self) -> None:
        blueprint = Blueprint([mail])

        assert InboxDeliver not in blueprint.requests
        assert InboxDeliver in blueprint.internal


class View:
    """An inbox as a client keeps it: from the welcome and the list at first, then from events alone."""

    def __init__(self, room: Room) -> None:
        self.read = greeting(room).read
        self.notices = everything(room)

    def apply(self, event: Event) -> None:
        if isinstance(event, InboxNotice):
            self.notices.append(event)
        elif isinstance(event, InboxSeen):
            self.read = event.upto

    def standing(self, now_ms: int) -> list[InboxNotice]:
        """What the docstring of ``InboxNotice`` says."""
        ends = [min((n.at or 0) + KEPT_FOR_MS, n.expires_at or now_ms + 1) for n in self.notices]
        self.notices = [n for n, end in zip(self.notices, ends, strict=True) if end > now_ms][-actors.mail.KEPT :]
        return self.notices

    def unread(self, now_ms: int) -> int:
        return sum((notice.seq or 0) > self.read for notice in self.standing(now_ms))


def everything(room: Room) -> list[InboxNotice]:
    """All pages, oldest first."""
    found: list[InboxNotice] = []
    given = page(room, limit=3)
    while True:
        found[:0] = given.notices
        if not given.more:
            return found
        given = page(room, limit=3, before=found[0].seq)


def something_happens(room: Room, random: Random, n: int) -> None:
    """Any of what may happen to an inbox."""
    match random.randrange(8):
        case 0 | 1:
            expires_ms = room.now_ms + random.randrange(1, 20) if random.random() < 0.5 else None
            send(room, str(n), expires_ms=expires_ms)
        case 2:
            deliver(room, f"n{random.randrange(30)}", kind="a")
        case 3:
            chatter(room, random.randrange(1, 4))
        case 4:
            read(room, random.randint(0, room.actor.position_of(TOPIC).seq))
        case 5:
            send(room, "late", expires_ms=room.now_ms)
        case 6:
            room.now_ms += random.randrange(8)
        case _:
            room.now_ms += random.choice([0, 0, 0, KEPT_FOR_MS // 4])


@pytest.mark.parametrize("seed", range(20))
def test_an_old_view_and_the_events_since_are_the_fresh_view(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The naive count of a client that knows events alone is the welcome's, the list's and every reply's."""
    monkeypatch.setattr(actors.mail, "KEPT", 7)
    random = Random(seed)
    room = bo()
    view, applied = View(room), 0
    for n in range(120):
        something_happens(room, random, n)
        for _, event in room.published[applied:]:
            view.apply(event)
            assert not isinstance(event, InboxSeen) or event.unread == view.unread(room.now_ms)
            view.standing(event.at or 0)
        applied = len(room.published)

        assert greeting(room) == MailGreeting(unread=view.unread(room.now_ms), read=view.read)
        if n % 10 == 0:
            assert everything(room) == view.standing(room.now_ms)
            assert page(room).unread == view.unread(room.now_ms)
