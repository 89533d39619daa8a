"""One socket: the RFC is websockets' Sans-I/O protocol, the reading and writing are asyncio's.

    transport -> data_received -> ServerProtocol -> Peer.message
    Peer -> send (whole frames) -> transport

No task and no queue for a connection; what is written here is bounded by whoever calls ``send``.
"""

import asyncio
import logging
import socket
from typing import Protocol, cast

import structlog
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from protocol import CloseCode, Wire

log = structlog.get_logger()
HANDSHAKE_S = 5.0  # for the whole upgrade request to arrive
KERNEL_BYTES = 131_072  # that the kernel holds for a slow reader (it doubles this); by itself it would take 4 MB
CLOSING_S = 2.0  # for the peer to answer a close frame; then the socket is cut
LATE_BYTES = 16_384  # read from a peer that has been told to go; past that it may shout, nobody listens
SLICE_BYTES = 4_096  # parsed at once: a packet may hold 10,000 frames, and the first may end the connection
END_OF_REQUEST = b"\r\n\r\n"
SUBPROTOCOLS = {Subprotocol(wire.subprotocol): wire for wire in Wire}
_QUIET = logging.getLogger("guildhall.websockets")
_QUIET.setLevel(logging.WARNING)  # its debug lines would carry message texts
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class Peer(Protocol):
    """Who listens to a connection."""

    def message(self, payload: bytes, *, binary: bool) -> None:
        """One whole message has arrived."""
        ...

    def heard(self) -> None:
        """A frame has arrived that ends no message: a ping, a pong (both are dealt with), part of a message."""
        ...

    def lost(self, code: int) -> None:
        """The connection is gone; called once. ``code`` is the close code, 1006 where there was none."""
        ...


class Door(Protocol):
    """Who decides about upgrades."""

    def admit(self, address: str) -> Response | None:
        """A refusal for a new socket from ``address``, before it has said anything."""
        ...

    def answer(self, request: Request) -> Response | None:
        """A plain HTTP answer to ``request``; None to go on with the upgrade."""
        ...

    def opened(self, connection: "Connection", request: Request, wire: Wire) -> Peer:
        """The upgrade is done; returns who listens from now on."""
        ...

    def gone(self, connection: "Connection") -> None:
        """An admitted socket is closed, whether or not the upgrade was ever done."""
        ...


class Connection(asyncio.Protocol):
    """A socket from accept to close."""

    __slots__ = (
        "_admitted",
        "_binary",
        "_door",
        "_fragments",
        "_late_bytes",
        "_loop",
        "_max_bytes",
        "_peer",
        "_request_tail",
        "_timer",
        "_transport",
        "_ws",
        "address",
        "paused",
    )

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop, max_bytes: int) -> None:
        self.address = ""
        self.paused = False
        """Whether the kernel takes no more: the reader is slow."""
        self._admitted = False
        self._door = door
        self._loop = loop
        self._max_bytes = max_bytes
        self._ws = ServerProtocol(select_subprotocol=_select, max_size=max_bytes, logger=_QUIET)
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        self._fragments: bytearray | None = None
        self._binary = False
        self._late_bytes = 0
        self._request_tail: bytes | None = b""
        """The last bytes of the upgrade request so far; None once it is whole."""
        self._timer: asyncio.TimerHandle | None = None

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else "local"
        refusal = self._door.admit(self.address)
        if refusal is not None:
            self._ws.send_response(refusal)
            self._write_protocol()
            transport.close()
            return
        self._admitted = True
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        self._timer = self._loop.call_later(HANDSHAKE_S, self.abort)

    def data_received(self, data: bytes) -> None:
        if self._request_tail is not None:
            end = self._end_of_request(self._request_tail, data)
            self._take(data[:end])
            data = data[end:]
            if not data:
                return
        if len(data) <= SLICE_BYTES:
            self._take(data)
            return
        for start in range(0, len(data), SLICE_BYTES):
            if self._transport is None or self._transport.is_closing():
                return
            self._take(data[start : start + SLICE_BYTES])

    def eof_received(self) -> bool:
        self._ws.receive_eof()
        self._ws.events_received()
        self._write_protocol()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.lost(self._ws.close_code or 1006)
        if self._admitted:
            self._door.gone(self)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    # For the session.
    def send(self, pieces: list[bytes]) -> None:
        """Write whole frames in one go; nothing once the connection is closing."""
        transport = self._transport
        if transport is None or self._ws.state is not State.OPEN:
            return
        transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    @property
    def open(self) -> bool:
        """Whether messages can still be sent."""
        return self._transport is not None and self._ws.state is State.OPEN

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and cut the socket when the peer has answered, or soon."""
        if self._transport is None:
            return
        if self._ws.state is State.OPEN:
            self._ws.send_close(code, reason)
            self._write_protocol()
        self._arm(CLOSING_S)

    def abort(self) -> None:
        """Cut the socket at once."""
        if self._transport is not None:
            self._transport.abort()

    # Inside.
    def _end_of_request(self, tail: bytes, data: bytes) -> int:
        """How much of ``data`` belongs to the upgrade request. Frames may follow in the same packet: they are not to be
        parsed, and a ping is not to be answered, before the request is."""
        seen = tail + data
        found = seen.find(END_OF_REQUEST)
        if found < 0:
            self._request_tail = seen[1 - len(END_OF_REQUEST) :]
            return len(data)
        self._request_tail = None
        return found + len(END_OF_REQUEST) - len(tail)

    def _take(self, data: bytes) -> None:
        ws = self._ws
        late = self._timer is not None and ws.state is State.CLOSING
        if late:
            self._late_bytes += len(data)
            if self._late_bytes > LATE_BYTES and self._transport is not None:
                self._transport.pause_reading()  # until the timer cuts it
                return
        ws.receive_data(data)
        for event in ws.events_received():
            if isinstance(event, Frame):
                if not late:
                    self._frame(event)
            elif isinstance(event, Request):
                self._upgrade(event)
        self._write_protocol()

    def _upgrade(self, request: Request) -> None:
        response = self._door.answer(request)
        if response is None:
            response = self._ws.accept(request)
        self._ws.send_response(response)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if response.status_code != 101:
            return
        offered = request.headers.get_all("Sec-WebSocket-Protocol")
        wire = SUBPROTOCOLS.get(self._ws.subprotocol) if self._ws.subprotocol else Wire.JSON
        if offered and self._ws.subprotocol is None:
            self._write_protocol()
            self.close(CloseCode.NO_COMMON_VERSION, "none of the offered subprotocols is known")
            return
        assert wire is not None
        self._write_protocol()
        self._peer = self._door.opened(self, request, wire)

    def _frame(self, frame: Frame) -> None:
        peer = self._peer
        if peer is None or frame.opcode is Opcode.CLOSE:
            return
        if frame.opcode not in _DATA:
            peer.heard()  # the protocol has answered
            return
        if frame.opcode is not Opcode.CONT:
            self._binary = frame.opcode is Opcode.BINARY
            if frame.fin:
                peer.message(bytes(frame.data), binary=self._binary)
                return
            self._fragments = bytearray()
        assert self._fragments is not None, "the protocol refuses a continuation of nothing"
        self._fragments += frame.data
        if not frame.fin:
            peer.heard()
            return
        payload, self._fragments = bytes(self._fragments), None
        peer.message(payload, binary=self._binary)

    def _write_protocol(self) -> None:
        """Write what websockets has to say: handshake, pong, close; and hang up when it is done."""
        transport = self._transport
        pieces = self._ws.data_to_send()
        if transport is None or (self.paused and self._ws.state is State.OPEN):
            return  # pongs, for a peer that pings and does not read
        for piece in pieces:
            if piece:
                transport.write(piece)
            elif transport.can_write_eof():
                transport.write_eof()
        if self._ws.state is State.CLOSED:
            transport.close()
        elif self._ws.close_expected():
            self._arm(CLOSING_S)

    def _arm(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self.abort)


def plain_response(status: int, phrase: str, body: str, **headers: str) -> Response:
    """A small HTTP answer of the gateway port itself; the connection is closed after it."""
    content = body.encode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status,
        phrase,
        Headers(
            {
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Length": str(len(content)),
                "Connection": "close",
                **fields,
            }
        ),
        content,
    )


def _select(_protocol: ServerProtocol, offered: "object") -> Subprotocol | None:
    """The first of the client's list that is known (PROTOCOL.md, Transport)."""
    assert isinstance(offered, list | tuple)
    return next((name for name in offered if name in SUBPROTOCOLS), None)
