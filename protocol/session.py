"""The server's side of one connection, without I/O: payloads in, things to do out; time is an argument.

    AWAITING_HELLO --hello--> OPENING --opened()--> ONLINE
          |                      |                     |
          +----------------------+---- Close ----------+--> CLOSED

What each message does in each state is the table at the end of ``ServerSession``. The shell around it (the gateway)
passes on every payload, does what comes back, and calls ``expired`` when ``deadline`` has come. A pong to ``ping`` and
the answers to what cannot be understood are made here; everything else that an online client sends comes out as its
request. A ping is answered in every state before CLOSED and moves no deadline but that of silence.
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from typing import Any, ClassVar, final

from msgspec import Struct

from protocol.closing import CloseCode
from protocol.codec import Codec, Wire
from protocol.errors import GuildhallError, Invalid, NotAuthenticated, Unavailable
from protocol.messages import ErrorReply, Hello, Ping, Pong, Request, Welcome

HELLO_S = 5.0  # from the upgrade to the hello
SIGN_IN_S = 30.0  # from the hello to the welcome; a sign-in that takes longer is our failure
EARLY_LIMIT = 64  # requests that may wait for the welcome: as many as a client keeps pending
STRIKES = 10  # invalid messages within STRIKES_S that end the connection
STRIKES_S = 60.0
REASON_BYTES = 123  # of a close reason: RFC 6455, section 5.5, less the code


class SessionState(Enum):
    """How far a connection has come."""

    AWAITING_HELLO = "awaiting_hello"
    OPENING = "opening"
    ONLINE = "online"
    CLOSED = "closed"


@final
class Answer(Struct, frozen=True):
    """Send this reply; nothing else is to be done."""

    reply: Pong | ErrorReply


@final
class Close(Struct, frozen=True):
    """End the connection with this code and reason; it is CLOSED for this session already."""

    code: CloseCode
    reason: str


Received = Request[Any] | Answer | Close | None
"""What to do about a payload: run the request (a Hello: sign the player in), answer, close, or nothing."""


def refusal(error: GuildhallError, re: str = "", trace: str = "") -> ErrorReply:
    """The error reply for ``error``; the only place that makes one. The error's own trace goes before ``trace``."""
    return ErrorReply(
        re=re,
        code=error.code,
        message=str(error),
        retry=error.retry,
        retry_after_ms=error.retry_after_ms,
        trace=error.trace or trace,
    )


def closing(code: CloseCode, reason: str = "") -> Close:
    """A close whose reason fits the frame; longer ones are cut."""
    return Close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))


def draining(retry_after_ms: int) -> Close:
    """The close of a node that goes away: the client comes back after ``retry_after_ms``."""
    return Close(CloseCode.DRAINING, f'{{"retry_after_ms":{retry_after_ms}}}')


class ServerSession:
    """One connection. Not safe for use by two tasks at once.

    ``now`` is monotonic seconds wherever it is asked for. ``now_ms`` reads the wall clock for pongs; ``new_trace``
    names an error in the log and in its reply.
    """

    __slots__ = (
        "_codec",
        "_deadline",
        "_early",
        "_heard",
        "_new_trace",
        "_now_ms",
        "_otherwise",
        "_reactions",
        "_silence_s",
        "_strikes",
        "state",
        "tags",
        "wire",
    )

    def __init__(
        self,
        codec: Codec,
        wire: Wire,
        now: float,
        *,
        now_ms: Callable[[], int],
        new_trace: Callable[[], str],
        hello_s: float = HELLO_S,
    ) -> None:
        self.wire = wire
        self.tags = codec.tags
        self._codec = codec
        self._now_ms = now_ms
        self._new_trace = new_trace
        self._enter(SessionState.AWAITING_HELLO)
        self._deadline = now + hello_s
        self._heard = now
        self._silence_s = 0.0
        self._early: list[Request[Any]] = []
        self._strikes: deque[float] | None = None  # most connections never need one, and it takes 700 bytes

    def receive(self, payload: bytes, now: float) -> Received:
        """What to do about ``payload``. Never raises for anything that a client can send."""
        self._heard = now
        try:
            message = self._codec.decode(self.wire, payload)
        except Invalid as error:
            return self._strike(error, error.re or "", now)
        react = self._reactions.get(type(message), self._otherwise)
        return message if react is None else react(self, message, now)

    def misframed(self, now: float) -> Answer | Close | None:
        """What to do about a text frame where MessagePack is spoken, or a binary one where JSON is."""
        self._heard = now
        kind = "binary" if self.wire.binary else "text"
        return self._strike(Invalid(f"{self.wire.subprotocol} travels in {kind} frames"), "", now)

    def heard(self, now: float) -> None:
        """The client is alive: a frame came that holds no message, such as a WebSocket pong."""
        self._heard = now

    def opened(self, welcome: Welcome) -> list[Request[Any]]:
        """The sign-in has succeeded. Returns the requests that came before the welcome: run them after sending it."""
        if self.state is not SessionState.OPENING:
            return []
        self._enter(SessionState.ONLINE)
        self._silence_s = 2 * welcome.heartbeat_ms / 1000
        early, self._early = self._early, []
        return early

    def closed(self) -> None:
        """The connection is gone, or being closed by the shell: nothing that comes later is looked at."""
        self._enter(SessionState.CLOSED)
        self._early.clear()

    @property
    def deadline(self) -> float:
        """Monotonic seconds at which ``expired`` will close the connection, unless something happens before."""
        if self.state is SessionState.ONLINE:
            return self._heard + self._silence_s
        return inf if self.state is SessionState.CLOSED else self._deadline

    def expired(self, now: float) -> Close | None:
        """What to close the connection with if its deadline has come."""
        if self.state is SessionState.CLOSED or now < self.deadline:
            return None
        return self._close(*_EXPIRED[self.state])

    def _enter(self, state: SessionState) -> None:
        self.state = state
        self._reactions = self._REACTIONS[state]
        self._otherwise = self._reactions.get(Request)

    def _close(self, code: CloseCode, reason: str) -> Close:
        self.closed()
        return closing(code, reason)

    def _strike(self, error: GuildhallError, re: str, now: float) -> Answer | Close | None:
        """Refuse a message that should not have been sent; the tenth within a minute ends the connection."""
        if self.state is SessionState.CLOSED:
            return None
        if self._strikes is None:
            self._strikes = deque(maxlen=STRIKES)
        self._strikes.append(now)
        if len(self._strikes) == STRIKES and now - self._strikes[0] < STRIKES_S:
            return self._close(CloseCode.PROTOCOL_ABUSE, f"{STRIKES} invalid messages in a minute")
        return Answer(refusal(error, re, self._new_trace()))

    # Reactions.
    def _sign_in(self, hello: Request[Any], now: float) -> Request[Any]:
        self._enter(SessionState.OPENING)
        self._deadline = now + SIGN_IN_S
        return hello

    def _pong(self, ping: Request[Any], _now: float) -> Answer:
        return Answer(Pong(re=ping.id, now=self._now_ms()))

    def _refuse_stranger(self, request: Request[Any], now: float) -> Answer | Close | None:
        return self._strike(NotAuthenticated("Say hello first"), request.id, now)

    def _refuse_second_hello(self, hello: Request[Any], now: float) -> Answer | Close | None:
        return self._strike(Invalid("This connection has had its hello"), hello.id, now)

    def _hold(self, request: Request[Any], _now: float) -> Answer | None:
        if len(self._early) == EARLY_LIMIT:
            error = Unavailable("Too much was sent before the welcome", retry_after_ms=1000)
            return Answer(refusal(error, request.id, self._new_trace()))
        self._early.append(request)
        return None

    def _ignore(self, _request: Request[Any], _now: float) -> None:
        return None

    # By message type; ``Request`` stands for every other one, and no entry for it means: hand the message out.
    _REACTIONS: ClassVar[Mapping[SessionState, Mapping[type, Callable[["ServerSession", Any, float], Received]]]] = {
        SessionState.AWAITING_HELLO: {Hello: _sign_in, Ping: _pong, Request: _refuse_stranger},
        SessionState.OPENING: {Hello: _refuse_second_hello, Ping: _pong, Request: _hold},
        SessionState.ONLINE: {Hello: _refuse_second_hello, Ping: _pong},
        SessionState.CLOSED: {Hello: _ignore, Ping: _ignore, Request: _ignore},
    }


_EXPIRED: Mapping[SessionState, tuple[CloseCode, str]] = {
    SessionState.AWAITING_HELLO: (CloseCode.NOT_AUTHENTICATED, "no hello"),
    SessionState.OPENING: (CloseCode.INTERNAL, "the sign-in took too long"),
    SessionState.ONLINE: (CloseCode.HEARTBEAT_MISSED, "nothing was heard"),
}
