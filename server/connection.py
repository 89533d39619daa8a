"""One socket: the RFC is websockets' Sans-I/O protocol, the reading and writing are asyncio's.

    transport -> data_received -> upgrade request -> a plain one -> plain_upgrade ----> Door
                                                  -> another one -> StrictProtocol --> Door
                               -> whole frames -> plain ones ------------------> Peer.message
                                               -> others -> StrictFraming -----> Peer.message, Peer.heard
    Peer -> send (whole frames) -> transport

Nearly all that a client sends is a message in one masked frame (plain). Those are opened here, in a tenth of the time;
control frames, fragments, extensions and whatever breaks a rule are the protocol's, which is given whole frames only.
Likewise a plain upgrade request is answered here (server/upgrade.py).

No task and no queue for a connection; what is written here is bounded by whoever calls ``send``.
"""

import asyncio
import logging
from typing import Protocol, cast

import structlog
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import SERVER, State

from protocol import CloseCode, Wire
from protocol.frames import LONG, MASKED, MEDIUM, frame_bytes
from server.acceptor import Arrival
from server.upgrade import SUBPROTOCOLS, Asked, asked, plain_upgrade, select_subprotocol
from server.websocket import StrictFraming, StrictProtocol, is_text

try:
    from websockets.speedups import apply_mask
except ImportError:  # no C extension for this machine
    from websockets.utils import apply_mask

log = structlog.get_logger()
HANDSHAKE_S = 5.0  # for the whole upgrade request to arrive
BEHIND_BYTES = 4_096  # that the kernel has not taken; past that a session is behind and counted with all that are
CLOSING_S = 2.0  # for the peer to answer a close frame; then the socket is cut
LATE_BYTES = 16_384  # read from a peer that has been told to go; past that it may shout, nobody listens
SHORT_HEADER = 6  # bytes before a masked payload of less than MEDIUM
HEADER_BYTES = 14  # of a frame, at most (RFC 6455, section 5.2)
END_OF_REQUEST = b"\r\n\r\n"
_QUIET = logging.getLogger("guildhall.websockets")
_QUIET.setLevel(logging.WARNING)  # its debug lines would carry message texts
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)

# Of a frame's first two bytes (RFC 6455, section 5.2).
_BINARY = 0x82
_PLAIN = (_BINARY, 0x81)  # FIN, no extension, and an opcode of a message


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

    def answer(self, connection: "Connection", asked: Asked) -> Response | None:
        """A plain HTTP answer to a request; None to go on with the upgrade. The request may say whose the connection
        is: then ``connection.address`` is another one from here on."""
        ...

    def opened(self, connection: "Connection", wire: Wire) -> Peer:
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
        "_compression",
        "_door",
        "_fragments",
        "_late_bytes",
        "_loop",
        "_max_bytes",
        "_missing",
        "_partial",
        "_peer",
        "_request_tail",
        "_timer",
        "_transport",
        "_upgraded",
        "_ws",
        "address",
        "open",
        "paused",
        "window_bits",
    )

    def __init__(
        self,
        door: Door,
        loop: asyncio.AbstractEventLoop,
        max_bytes: int,
        arrival: Arrival,
        *,
        compression: bool = False,
    ) -> None:
        self.address = arrival.address
        """The client's, as far as it is known."""
        self.window_bits = 0
        """With which messages may be compressed for this client (``framing.frame``); 0: they may not be."""
        self.open = False
        """Whether messages can be received and sent."""
        self.paused = False
        """Whether the kernel takes no more: the reader is slow."""
        self._admitted = arrival.admitted
        self._door = door
        self._loop = loop
        self._max_bytes = max_bytes
        self._compression = compression
        self._ws: StrictFraming | None = None
        """None as long as all that comes is plain, and from the upgrade to the first frame that is not: it holds all
        headers, 3 KB, and most connections need it no more."""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        self._partial: bytearray | None = None
        """The beginning of a frame that has not come whole."""
        self._missing = 0
        """Bytes that ``_partial`` needs before it is worth another look."""
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
        refusal = None if self._admitted else self._door.admit(self.address)
        if refusal is not None:
            self._respond(refusal)
            transport.close()
            return
        self._admitted = True
        transport.set_write_buffer_limits(high=BEHIND_BYTES)
        self._timer = self._loop.call_later(HANDSHAKE_S, self.abort)

    def data_received(self, data: bytes) -> None:
        size = len(data) - SHORT_HEADER
        short = 0 <= size < MEDIUM and data[0] == _BINARY and data[1] == MASKED + size
        if short and self._peer is not None and self.open and self._partial is None and self._fragments is None:
            # One short message and nothing else, as nearly always: `_frames` would do the same, in twice the time.
            self._peer.message(apply_mask(data[SHORT_HEADER:], data[2:SHORT_HEADER]), binary=True)
            return
        if self._request_tail is not None:
            data = self._request(self._request_tail, data)
        if self._partial is not None:
            self._partial += data
            self._missing -= len(data)
            if self._missing > 0:
                return
            data, self._partial = bytes(self._partial), None
        if self.open:
            data = self._frames(data)
        if data:
            self._take(data)

    def eof_received(self) -> bool:
        ws = self._protocol()
        ws.receive_eof()
        ws.events_received()
        self._write_protocol()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self.open = False
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.lost((self._ws and self._ws.close_code) or 1006)
        self._release()

    def never_made(self) -> None:
        """Its socket was lost on the way here, perhaps before ``connection_made``; nothing more will be called then."""
        if self._transport is None:
            self._release()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    # For the session.
    def send(self, frames: bytes) -> None:
        """Write whole frames in one go; nothing once the connection is closing."""
        if self.open and self._transport is not None:
            self._transport.write(frames)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and cut the socket when the peer has answered, or soon."""
        if self._transport is None:
            return
        ws = self._protocol()
        if ws.state is State.OPEN:
            self.open = False
            ws.send_close(code, reason)
            self._write_protocol()
        self._arm(CLOSING_S)

    def abort(self) -> None:
        """Cut the socket at once."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    # Inside.
    def _release(self) -> None:
        if self._admitted:
            self._admitted = False
            self._door.gone(self)

    def _request(self, tail: bytes, data: bytes) -> bytes:
        """Take what belongs to the upgrade request; returns the rest. Frames may follow in the same packet: they are
        not to be parsed, and a ping is not to be answered, before the request is."""
        seen = tail + data
        found = seen.find(END_OF_REQUEST)
        if found < 0:
            self._request_tail = seen[1 - len(END_OF_REQUEST) :]
            self._take(data)
            return b""
        self._request_tail = None
        end = found + len(END_OF_REQUEST) - len(tail)
        if tail or self._ws is not None or not self._upgrade_plain(data[:end]):
            self._take(data[:end])
        return data[end:]

    def _upgrade_plain(self, request: bytes) -> bool:
        """Answer a request that came whole and plain; False where it is for websockets."""
        upgrade = plain_upgrade(request, compression=self._compression)
        if upgrade is None or self._transport is None:
            return False
        refusal = self._door.answer(self, upgrade.asked)
        if refusal is None:
            self._transport.write(upgrade.granted(self._loop.time()))
            self._disarm()
            self._enter(upgrade.wire)
        else:
            self._respond(refusal)
            self._disarm()
            self._write_protocol()  # and wait for the peer to hang up
        return True

    def _frames(self, data: bytes) -> bytes:
        """Take whole frames for as long as the connection is open; returns what is not looked at here: it came after
        the end, or begins a frame that is so long that the protocol refuses it by its header."""
        at, end = 0, len(data)
        while at < end and self.open:
            size = data[at + 1] - MASKED if at + 1 < end else LONG  # negative where there is no mask
            needed = 6 + size if 0 <= size < MEDIUM else frame_bytes(data, at)
            if needed > self._max_bytes + HEADER_BYTES:
                break
            stop = at + needed
            if stop > end:
                self._partial, self._missing = bytearray(data[at:]), stop - end
                return b""
            first = data[at]
            plain = first in _PLAIN and 0 <= size < LONG
            if plain and needed <= self._max_bytes and self._fragments is None:
                mask = at + (2 if size < MEDIUM else 4)
                assert self._peer is not None
                payload = apply_mask(data[mask + 4 : stop], data[mask : mask + 4])
                if first == _BINARY or is_text(payload):
                    self._peer.message(payload, binary=first == _BINARY)
                else:
                    self._take(data[at:stop])
            else:
                self._take(data[at:stop])
            at = stop
        return data[at:]

    def _take(self, data: bytes) -> None:
        """Give ``data`` to the protocol: the upgrade request, a whole frame, or what comes when there is no more to be
        said."""
        ws = self._protocol()
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
        self.open = self.open and ws.state is State.OPEN
        self._write_protocol()

    def _protocol(self) -> StrictFraming:
        if self._ws is None and self._upgraded:
            self._ws = StrictFraming(SERVER, state=State.OPEN, max_size=self._max_bytes, logger=_QUIET)
        elif self._ws is None:
            self._ws = StrictProtocol(
                select_subprotocol=select_subprotocol,
                max_size=self._max_bytes,
                logger=_QUIET,
                compression=self._compression,
            )
        return self._ws

    def _respond(self, response: Response) -> None:
        ws = self._protocol()
        assert isinstance(ws, StrictProtocol)
        ws.send_response(response)
        self._write_protocol()

    def _upgrade(self, request: Request) -> None:
        ws = self._ws
        assert isinstance(ws, StrictProtocol)
        response = self._door.answer(self, asked(request)) or ws.accept(request)
        self._respond(response)
        self._disarm()
        if response.status_code != 101:
            return
        offered = request.headers.get_all("Sec-WebSocket-Protocol")
        wire = SUBPROTOCOLS.get(ws.subprotocol) if ws.subprotocol else Wire.JSON
        if offered and ws.subprotocol is None:
            self.close(CloseCode.NO_COMMON_VERSION, "none of the offered subprotocols is known")
            return
        assert wire is not None
        self.window_bits = ws.window_bits
        self._enter(wire)
        if ws.extensions:
            self._protocol().extensions = ws.extensions

    def _enter(self, wire: Wire) -> None:
        """The upgrade is done."""
        self._upgraded = True
        self._ws = None
        self._peer = self._door.opened(self, wire)
        self.open = True

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
        ws = self._ws
        if ws is None:
            return
        pieces = ws.data_to_send()
        if transport is None or (self.paused and ws.state is State.OPEN):
            return  # pongs, for a peer that pings and does not read
        for piece in pieces:
            if piece:
                transport.write(piece)
            elif transport.can_write_eof():
                transport.write_eof()
            else:  # TLS has no half of a connection: a client waits for us to close, RFC 6455, 7.1.1
                transport.close()
        if ws.state is State.CLOSED:
            transport.close()
        elif ws.close_expected():
            self._arm(CLOSING_S)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self.abort)
