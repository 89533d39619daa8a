"""What a case of the Autobahn test suite is: what is sent, and what must come of it."""

from collections.abc import Iterator
from typing import NamedTuple

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR, INVALID_PAYLOAD = 1000, 1002, 1007


class Message(NamedTuple):
    """A whole message of the server."""

    payload: bytes
    binary: bool = False


class Pong(NamedTuple):
    """A pong of the server."""

    payload: bytes


class StillOpen(NamedTuple):
    """The server had not ended the connection when the pause ``name`` was over."""

    name: str


Event = Message | Pong | StillOpen


class Put(NamedTuple):
    """One frame to send."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    chop: int = 0
    """Bytes that are written at once; 0: as much as there is."""
    alone: bool = False
    """The frame is written by itself, not together with its neighbours."""
    parts: tuple[int, ...] = ()
    """Places in the payload at which sending pauses."""


class Fragmented(NamedTuple):
    """One message to send, in fragments of ``size`` bytes."""

    opcode: int
    payload: bytes
    size: int
    rsv: int = 0
    """Of the first fragment."""


class Trips(NamedTuple):
    """One frame to send so many times, each time when the answer to the one before is there."""

    put: Put
    times: int


class Pause(NamedTuple):
    """Wait for the server to end the connection; if it does not, that is an event."""

    name: str


class Awaited(NamedTuple):
    """Go on once the server has sent so many frames: it must not wait for what has not been sent."""

    frames: int


Step = Put | Fragmented | Trips | Pause | Awaited


class Case(NamedTuple):
    """One case."""

    number: str
    what: str
    """What is sent, in words."""
    steps: tuple[Step, ...]
    ok: tuple[Event, ...] = ()
    """The events of a server that is right."""
    non_strict: tuple[Event, ...] | None = None
    """The events of a server that is right but later than it could be; None: the case has no such outcome."""
    codes: tuple[int, ...] = (NORMAL,)
    """Close codes that the server may send."""
    by_server: bool = False
    """It is the server that has to end the connection. Else the driver does, when it has seen what it expects."""
    clean: bool = True
    """Close frames must have gone both ways. Else the socket may simply be cut."""
    informational: bool = False
    """Any events will do, as long as there is an end."""
    offer: str = ""
    """Extensions that the client offers; the server must take one."""

    @property
    def closes(self) -> bool:
        """Whether the close frame is among the steps."""
        return any(isinstance(step, Put) and step.opcode == CLOSE for step in self.steps)


def echoed(number: str, what: str, *steps: Step, ok: tuple[Event, ...]) -> Case:
    """A case that is all legal: it is answered, then closed."""
    return Case(number, what, steps, ok)


def failed(
    number: str, what: str, *steps: Step, code: int = PROTOCOL_ERROR, before: tuple[Event, ...] | None = None
) -> Case:
    """A case that the server ends with ``code``, if possible after it has answered what came ``before``."""
    ok, non_strict = (before, ()) if before else ((), None)
    return Case(number, what, steps, ok, non_strict, (code,), by_server=True, clean=False)


def chopped(steps: tuple[Step, ...], size: int) -> tuple[Step, ...]:
    """The same frames, of which ``size`` bytes are written at once."""
    return tuple(step._replace(chop=size) if isinstance(step, Put) else step for step in steps)


def alone(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The same frames, each of which is written by itself."""
    return tuple(step._replace(alone=True) if isinstance(step, Put) else step for step in steps)


def fragments(opcode: int, payload: bytes, size: int) -> tuple[Put, ...]:
    """A message in fragments of ``size`` bytes."""
    return tuple(in_turn(Fragmented(opcode, payload, size)))


def in_turn(message: Fragmented) -> Iterator[Put]:
    """The frames of a message."""
    opcode, payload, size, rsv = message
    yield Put(opcode, payload[:size], fin=size >= len(payload), rsv=rsv)
    for at in range(size, len(payload), size):
        yield Put(CONT, payload[at : at + size], fin=at + size >= len(payload))
