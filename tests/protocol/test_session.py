"""The server's side of a connection: what each message does in each state, and when it ends."""

from itertools import count
from math import inf
from typing import Any

import pytest

from protocol import (
    Answer,
    Busy,
    Close,
    CloseCode,
    ConfigVersion,
    Defect,
    ErrorReply,
    Hello,
    Limits,
    Ping,
    Pong,
    Request,
    ServerSession,
    SessionState,
    Welcome,
    Wire,
    closing,
    draining,
    encode,
    refusal,
)
from tests.protocol.samples import CODEC, ChatSend

NOW_MS = 1_700_000_000_000
HELLO = Hello(id="h1", token="dev:ann")
PING = Ping(id="p1")
SEND = ChatSend(id="a1", channel="room:raid", text="hi")
WELCOME = Welcome(
    re="h1",
    session="s1",
    player="ann",
    now=NOW_MS,
    heartbeat_ms=25_000,
    topics={},
    limits=Limits(message_bytes=16_384, text_chars=2000, requests_per_s=20.0),
    config=ConfigVersion(version="1"),
)


def session(state: SessionState = SessionState.AWAITING_HELLO, wire: Wire = Wire.JSON) -> ServerSession:
    """A session that has come to ``state``; the upgrade and everything since was at 100.0."""
    traces = count(1)
    made = ServerSession(CODEC, wire, 100.0, now_ms=lambda: NOW_MS, new_trace=lambda: f"t{next(traces)}")
    if state in {SessionState.OPENING, SessionState.ONLINE}:
        assert made.receive(encode(wire, HELLO), 100.0) == HELLO
    if state is SessionState.ONLINE:
        assert made.opened(WELCOME) == []
    if state is SessionState.CLOSED:
        made.closed()
    assert made.state is state
    return made


def told(code: str, re: str) -> Any:
    """Equal to an answer that refuses the request ``re`` with ``code``."""

    class Told:
        def __eq__(self, other: object) -> bool:
            return (
                isinstance(other, Answer)
                and isinstance(other.reply, ErrorReply)
                and (other.reply.code, other.reply.re) == (code, re)
                and bool(other.reply.trace)
            )

        __hash__ = object.__hash__

        def __repr__(self) -> str:
            return f"told({code}, {re})"

    return Told()


pong = Answer(Pong(re="p1", now=NOW_MS))


@pytest.mark.parametrize("wire", list(Wire))
@pytest.mark.parametrize(
    ("state", "message", "outcome", "next_state"),
    [
        (SessionState.AWAITING_HELLO, HELLO, HELLO, SessionState.OPENING),
        (SessionState.AWAITING_HELLO, PING, pong, SessionState.AWAITING_HELLO),
        (SessionState.AWAITING_HELLO, SEND, told("auth.invalid", "a1"), SessionState.AWAITING_HELLO),
        (SessionState.OPENING, HELLO, told("protocol.invalid", "h1"), SessionState.OPENING),
        (SessionState.OPENING, PING, pong, SessionState.OPENING),
        (SessionState.OPENING, SEND, None, SessionState.OPENING),
        (SessionState.ONLINE, HELLO, told("protocol.invalid", "h1"), SessionState.ONLINE),
        (SessionState.ONLINE, PING, pong, SessionState.ONLINE),
        (SessionState.ONLINE, SEND, SEND, SessionState.ONLINE),
        (SessionState.CLOSED, HELLO, None, SessionState.CLOSED),
        (SessionState.CLOSED, PING, None, SessionState.CLOSED),
        (SessionState.CLOSED, SEND, None, SessionState.CLOSED),
    ],
)
def test_what_a_message_does_depends_on_the_state_alone(
    wire: Wire, state: SessionState, message: Request[Any], outcome: Any, next_state: SessionState
) -> None:
    tested = session(state, wire)

    assert tested.receive(encode(wire, message), 101.0) == outcome
    assert tested.state is next_state


@pytest.mark.parametrize(
    ("state", "deadline", "close"),
    [
        (SessionState.AWAITING_HELLO, 105.0, Close(CloseCode.NOT_AUTHENTICATED, "no hello")),
        (SessionState.OPENING, 130.0, Close(CloseCode.INTERNAL, "the sign-in took too long")),
        (SessionState.ONLINE, 150.0, Close(CloseCode.HEARTBEAT_MISSED, "nothing was heard")),
    ],
)
def test_each_state_ends_at_its_deadline_and_not_before(state: SessionState, deadline: float, close: Close) -> None:
    tested = session(state)

    assert tested.deadline == deadline
    assert tested.expired(deadline - 0.001) is None
    assert tested.expired(deadline) == close
    assert tested.state is SessionState.CLOSED
    assert tested.expired(deadline + 1) is None
    assert tested.deadline == inf


def test_anything_heard_puts_off_the_end_of_an_online_session() -> None:
    tested = session(SessionState.ONLINE)
    for now, payload in [(110.0, encode(Wire.JSON, PING)), (120.0, encode(Wire.JSON, SEND)), (130.0, b"garbage")]:
        tested.receive(payload, now)
        assert tested.deadline == now + 50.0
    tested.heard(140.0)
    assert tested.deadline == 190.0


def test_neither_pings_nor_garbage_put_off_the_hello() -> None:
    tested = session()
    tested.receive(encode(Wire.JSON, PING), 104.0)
    tested.receive(b"garbage", 104.5)
    assert tested.deadline == 105.0


def test_what_comes_before_the_welcome_waits_for_it_in_order_up_to_a_bound() -> None:
    tested = session(SessionState.OPENING)
    early = [ChatSend(id=f"a{n}", channel="room:raid", text="hi") for n in range(65)]

    answers = [tested.receive(encode(Wire.JSON, each), 100.0) for each in early]

    assert answers[:64] == [None] * 64
    assert answers[64] == told("unavailable", "a64")
    assert tested.opened(WELCOME) == early[:64]


def test_a_sign_in_that_ends_after_the_connection_opens_nothing() -> None:
    tested = session(SessionState.OPENING)
    tested.receive(encode(Wire.JSON, SEND), 100.0)
    tested.closed()

    assert tested.opened(WELCOME) == []
    assert tested.state is SessionState.CLOSED


def test_an_invalid_message_is_answered_and_the_connection_lives_on() -> None:
    tested = session(SessionState.ONLINE)

    assert tested.receive(b'{"t":"chat.shout","id":"a1"}', 101.0) == told("protocol.invalid", "a1")
    assert tested.receive(b"[1]", 101.0) == told("protocol.invalid", "")
    assert tested.receive(encode(Wire.JSON, SEND), 101.0) == SEND


def test_the_tenth_invalid_message_within_a_minute_ends_the_connection() -> None:
    tested = session(SessionState.ONLINE)
    for n in range(9):
        assert isinstance(tested.receive(b"{}", 100.0 + n), Answer)

    close = tested.receive(b"{}", 159.9)

    assert isinstance(close, Close)
    assert close.code == CloseCode.PROTOCOL_ABUSE
    assert tested.receive(b"{}", 160.0) is None


def test_ten_invalid_messages_over_more_than_a_minute_do_not() -> None:
    tested = session(SessionState.ONLINE)
    for n in range(40):
        assert isinstance(tested.receive(b"{}", 100.0 + n * 6.7), Answer)


def test_what_a_stranger_asks_counts_as_invalid_too() -> None:
    tested = session()
    outcomes = [tested.receive(encode(Wire.JSON, SEND), 101.0) for _ in range(10)]
    assert isinstance(outcomes[-1], Close)


def test_a_refusal_carries_the_whole_rule_and_the_trace_of_the_log_line() -> None:
    error = Busy("guild:42 has too much waiting", retry_after_ms=250)
    assert refusal(error, "a1", "t9") == ErrorReply(
        re="a1",
        code="actor.busy",
        message="guild:42 has too much waiting",
        retry="later",
        retry_after_ms=250,
        trace="t9",
    )
    logged = Defect()
    logged.trace = "t1"
    assert refusal(logged, "a1", "t9").trace == "t1"


def test_a_close_reason_fits_its_frame_and_stays_text() -> None:
    reason = closing(CloseCode.CLOSED_BY_OPERATOR, "ü" * 100).reason
    assert len(reason.encode()) <= 123
    assert set(reason) == {"ü"}
    assert draining(1500) == Close(CloseCode.DRAINING, '{"retry_after_ms":1500}')
