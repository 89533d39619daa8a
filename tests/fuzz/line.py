"""A connection without a socket, and the plainest way to do the same: the two have to agree about any bytes.

``Driven`` is ``server.connection.Connection`` with a transport that remembers. ``Plain`` is nothing but websockets'
Sans-I/O protocol, as strict as ``server.websocket`` makes it, fed one byte at a time (lines of a request), so that each
thing is dealt with where it stands.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from protocol import CloseCode, Wire
from server.acceptor import Arrival
from server.connection import Connection, Door, Peer
from server.upgrade import SUBPROTOCOLS, Asked, asked, plain_response, select_subprotocol
from server.websocket import StrictProtocol

MAX_BYTES = 1_000  # of a message: small, so that small streams go past it
FILLER = bytes(MAX_BYTES + 20)  # completes any frame that one may send, and is against the rules itself
DATE = re.compile(rb"Date: [^\r]*")
Heard = tuple[str, bytes]
"""What a peer was told: ``text``, ``binary`` or ``frame`` and the payload."""
News = tuple[list[Heard], bytearray, list[Wire], list[int], bool]


class Wall(asyncio.Transport):
    """A transport that writes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.out = bytearray()
        """What was written, without the time of day."""
        self.ended = self.closed = self.aborted = False

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the end"
        self.out += DATE.sub(b"Date:", data) if data.startswith(b"HTTP/1.1 ") else data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    def pause_reading(self) -> None:
        """What comes is handed over all the same: it has to do no harm."""


class Timers:
    """As much of a loop as a connection uses: what it wants later never comes, what it wants soon comes at once."""

    def time(self) -> float:
        """It stands still."""
        return 0.0

    def call_later(self, _delay: float, _callback: Callable[..., None], *_args: Any) -> "Timers":
        return self

    def call_soon(self, callback: Callable[..., None], *args: Any) -> "Timers":
        callback(*args)
        return self

    def cancel(self) -> None:
        """It never comes anyway."""


class Ear:
    """A peer that remembers what it was told."""

    def __init__(self) -> None:
        self.heard_of: list[Heard] = []
        self.codes: list[int] = []

    def message(self, payload: bytes, *, binary: bool) -> None:
        self.heard_of.append(("binary" if binary else "text", bytes(payload)))

    def heard(self) -> None:
        self.heard_of.append(("frame", b""))

    def lost(self, code: int) -> None:
        self.codes.append(code)


class Hall:
    """A door that lets in whoever asks for /ws."""

    def __init__(self) -> None:
        self.ear = Ear()
        self.wires: list[Wire] = []

    def admit(self, address: str) -> Response | None:
        return None

    def answer(self, connection: Connection | None, asked: Asked) -> Response | None:
        return None if asked.path == "/ws" else plain_response(404, "Not Found", "no\n")

    def opened(self, connection: Connection, wire: Wire) -> Peer:
        self.wires.append(wire)
        return self.ear

    def gone(self, connection: Connection) -> None:
        """It may go."""


class Driven:
    """The connection of the product, with what it was given and what it has written."""

    def __init__(self, door: Door | None = None, max_bytes: int = MAX_BYTES, loop: Any = None) -> None:
        self.hall, self.wall = Hall(), Wall()
        loop = cast("asyncio.AbstractEventLoop", loop or Timers())
        self.connection = Connection(door or self.hall, loop, max_bytes, Arrival("192.0.2.1", admitted=False))
        self.connection.connection_made(self.wall)

    def feed(self, data: bytes) -> None:
        self.connection.data_received(data)

    def end(self) -> None:
        self.connection.eof_received()
        self.connection.connection_lost(None)

    def news(self) -> News:
        """What can be seen of it from both sides."""
        return news(self.hall, self.wall)


class Plain:
    """The same without a shell of ours."""

    def __init__(self) -> None:
        self.hall, self.wall = Hall(), Wall()
        self.ear: Ear | None = None
        self.ws = StrictProtocol(select_subprotocol=select_subprotocol, max_size=MAX_BYTES, compression=False)
        self._parts: list[bytes] = []
        self._kind = ""

    def feed(self, data: bytes) -> None:
        while data:
            size = self._step(data)
            self.ws.receive_data(data[:size])
            data = data[size:]
            self._go_on()

    def end(self) -> None:
        self.ws.receive_eof()
        self._go_on()
        if self.ear is not None:
            self.ear.lost(self.ws.close_code or 1006)

    def _step(self, data: bytes) -> int:
        """How many bytes to feed at once: no more than one thing may be in them."""
        if self.ws.state is State.OPEN:
            return 1
        end = data.find(b"\n") + 1 if self.ws.state is State.CONNECTING else 0  # a request ends with a line
        return end or len(data)

    def _go_on(self) -> None:
        for event in self.ws.events_received():
            if isinstance(event, Request):
                self._upgrade(event)
            elif self.ear is not None and isinstance(event, Frame):
                self._frame(event, self.ear)
        for piece in self.ws.data_to_send():
            if piece:
                self.wall.write(piece)
            else:
                self.wall.write_eof()

    def _upgrade(self, request: Request) -> None:
        self.ws.send_response(self.hall.answer(None, asked(request)) or self.ws.accept(request))
        if self.ws.state is not State.OPEN:
            return
        if self.ws.subprotocol is None and "Sec-WebSocket-Protocol" in request.headers:
            self.ws.send_close(CloseCode.NO_COMMON_VERSION, "none of the offered subprotocols is known")
            return
        wire = SUBPROTOCOLS[self.ws.subprotocol] if self.ws.subprotocol else Wire.JSON
        self.hall.wires.append(wire)
        self.ear = self.hall.ear

    def _frame(self, frame: Frame, ear: Ear) -> None:
        if frame.opcode is Opcode.CLOSE:
            return
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._kind, self._parts = frame.opcode.name.lower(), []
        elif frame.opcode is not Opcode.CONT:
            ear.heard()
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            ear.message(b"".join(self._parts), binary=self._kind == "binary")
        else:
            ear.heard()

    @property
    def broken(self) -> bool:
        """Whether a frame against the rules has come."""
        return self.ws.parser_exc is not None

    def news(self) -> News:
        """As of ``Driven``."""
        return news(self.hall, self.wall)


def news(hall: Hall, wall: Wall) -> News:
    """What was heard and written so far, and where things stand."""
    return hall.ear.heard_of, wall.out, hall.wires, hall.ear.codes, wall.ended


def agree(chops: Iterable[bytes]) -> None:
    """Fail unless both see and say the same about a stream.

    At the end of each of its ``chops`` they agree, but that a frame against the rules may be answered once it is whole;
    until then the connection has heard and said what comes before it. At the end there is enough behind it.
    """
    ours, plain = Driven(), Plain()
    for chop in (*chops, FILLER):
        ours.feed(chop)
        plain.feed(chop)
        if plain.broken and chop is not FILLER:
            assert all(map(_begins, plain.news(), ours.news()))
        else:
            assert ours.news() == plain.news()
    ours.end()
    plain.end()
    assert ours.news() == plain.news()


def _begins(whole: Any, part: Any) -> bool:
    """Whether ``whole`` begins with ``part``; of two answers, whether the second is not ahead."""
    return bool(whole >= part if isinstance(whole, bool) else whole[: len(part)] == part)
