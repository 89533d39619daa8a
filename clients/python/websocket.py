"""Links over WebSocket: the RFC is websockets' Sans-I/O protocol, the reading and writing are asyncio's.

    transport -> data_received -> whole frames -> plain ones ----------------> Ear.heard
                                              -> others -> ClientProtocol ---> Ear.heard
    Link.send -> a plain frame -> transport

Plain frames are opened and made here (``framing``); control frames, fragments and whatever breaks a rule are the
protocol's, which is given whole frames only. No task, queue or timer while a link is open: one process may hold
thousands of players.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from clients.python.framing import BINARY, HEADER_BYTES, TEXT, mask_keys, masked_frame, plain_frame
from clients.python.transport import Ear
from protocol import Wire
from protocol.frames import frame_bytes

MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # inbound; a join's reply holds 50 lines of up to 24 KiB each
CLOSING_S = 2.0  # for the server to answer a close frame; then the socket is cut
END_OF_RESPONSE = b"\r\n\r\n"
_QUIET = logging.getLogger("guildhall.client.websockets")
_QUIET.setLevel(logging.WARNING)  # its debug lines would carry message texts


class WebSocketDial:
    """Dials ``url``, ``ws://HOST:PORT/ws`` or ``wss://...``.

    Raises:
        websockets.exceptions.InvalidURI: it is neither.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._uri = parse_uri(url)
        self._tls = (tls or ssl.create_default_context()) if self._uri.secure else None
        self._keys = mask_keys()

    async def __call__(self, wire: Wire, ear: Ear) -> "WebSocketLink":
        loop = asyncio.get_running_loop()
        ws = ClientProtocol(
            self._uri,
            subprotocols=[Subprotocol(wire.subprotocol)],
            max_size=MAX_MESSAGE_BYTES,
            logger=_QUIET,
        )
        _, link = await loop.create_connection(
            lambda: WebSocketLink(ws, wire, ear, loop, self._keys),
            self._uri.host,
            self._uri.port,
            ssl=self._tls,
        )
        try:
            await link.wait_upgraded()
        except BaseException:
            link.abort()
            raise
        return link


class WebSocketLink(asyncio.Protocol):
    """One connection, from the TCP socket to its end. Made by WebSocketDial."""

    def __init__(
        self, ws: ClientProtocol, wire: Wire, ear: Ear, loop: asyncio.AbstractEventLoop, keys: Iterator[bytes]
    ) -> None:
        self._ws = ws
        self._first = BINARY if wire.binary else TEXT
        self._ear = ear
        self._loop = loop
        self._keys = keys
        self._open = False
        """Whether messages can be sent and received, as the protocol knows it."""
        self._transport: asyncio.Transport | None = None
        self._upgraded: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._response_tail: bytes | None = b""
        """The last bytes of the answer to the upgrade so far; None once it is whole."""
        self._partial: bytearray | None = None
        """The beginning of a frame that has not come whole."""
        self._missing = 0
        """Bytes that ``_partial`` needs before it is worth another look."""
        self._fragments: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    async def wait_upgraded(self) -> None:
        """Return when the server has agreed to talk.

        Raises:
            ConnectionError: it has not.
        """
        await self._upgraded

    # Link
    def send(self, payload: bytes) -> None:
        if self._open and self._transport is not None:
            self._transport.write(masked_frame(self._first, payload, next(self._keys)))

    def close(self, code: int, reason: str) -> None:
        if self._open:
            self._open = False
            self._ws.send_close(code, reason)
            self._write()
        self._arm()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def wait_gone(self) -> None:
        await asyncio.shield(self._gone)

    def pause_reading(self) -> None:
        """Take nothing more from the socket: what comes waits there, and then at the server."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        self._ws.send_request(self._ws.connect())
        self._write()

    def data_received(self, data: bytes) -> None:
        if self._response_tail is not None:
            end = self._end_of_response(self._response_tail, data)
            self._take(data[:end])
            data = data[end:]
        if self._partial is not None:
            self._partial += data
            self._missing -= len(data)
            if self._missing > 0:
                return
            data, self._partial = bytes(self._partial), None
        if self._open:
            data = self._frames(data)
        if data:
            self._take(data)

    def eof_received(self) -> bool:
        if self._partial is not None:
            partial, self._partial = self._partial, None
            self._take(bytes(partial))  # its header may break a rule already
        self._ws.receive_eof()
        self._listen()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        upgraded = self._upgraded
        if not upgraded.done():
            upgraded.set_exception(ConnectionResetError("the connection was lost during the upgrade"))
        elif not upgraded.cancelled() and upgraded.exception() is None:
            self._ear.lost(self._ws.close_code or 1006, self._ws.close_reason or str(exc or ""))
        self._gone.set_result(None)

    # Inside.
    def _end_of_response(self, tail: bytes, data: bytes) -> int:
        """How much of ``data`` belongs to the answer to the upgrade; frames may follow in the same packet."""
        seen = tail + data
        found = seen.find(END_OF_RESPONSE)
        if found < 0:
            self._response_tail = seen[1 - len(END_OF_RESPONSE) :]
            return len(data)
        self._response_tail = None
        return found + len(END_OF_RESPONSE) - len(tail)

    def _frames(self, data: bytes) -> bytes:
        """Take whole frames for as long as the link is open; returns what is not looked at here: it came after the end,
        or begins a frame that is so long that the protocol refuses it by its header."""
        at, end = 0, len(data)
        while at < end and self._open:
            plain = None if self._fragments else plain_frame(data, at)
            if plain is not None:
                payload, at = plain
                self._ear.heard(payload)
                continue
            needed = frame_bytes(data, at)
            if needed > MAX_MESSAGE_BYTES + HEADER_BYTES:
                break
            if at + needed > end:
                self._partial, self._missing = bytearray(data[at:]), at + needed - end
                return b""
            self._take(data[at : at + needed])
            at += needed
        return data[at:]

    def _take(self, data: bytes) -> None:
        """Give ``data`` to the protocol: the answer to the upgrade, a whole frame, or what comes after the end."""
        self._ws.receive_data(data)
        self._listen()

    def _listen(self) -> None:
        """Do what the protocol has made of what it was given."""
        for event in self._ws.events_received():
            if isinstance(event, Response):
                self._answered()
            elif isinstance(event, Frame):
                self._frame(event)
        if self._ws.handshake_exc is not None:
            self._answered()
        self._open = self._ws.state is State.OPEN
        self._write()

    def _answered(self) -> None:
        """The upgrade is done or refused; a cancelled dial has stopped waiting for it."""
        if self._upgraded.done():
            return
        refused = self._ws.handshake_exc
        if refused is None:
            self._upgraded.set_result(None)
        elif isinstance(refused, InvalidHandshake):
            self._upgraded.set_exception(ConnectionRefusedError(f"the server refused the upgrade: {refused}"))
        else:
            self._upgraded.set_exception(ConnectionResetError(f"the upgrade failed: {refused}"))

    def _frame(self, frame: Frame) -> None:
        if frame.opcode not in _DATA:
            return  # control frames were answered by the protocol
        if frame.opcode is not Opcode.CONT and frame.fin:
            self._ear.heard(bytes(frame.data))
            return
        self._fragments.append(bytes(frame.data))  # bounded by MAX_MESSAGE_BYTES, which counts all of them
        if frame.fin:
            whole = b"".join(self._fragments)
            self._fragments.clear()
            self._ear.heard(whole)

    def _write(self) -> None:
        pieces = self._ws.data_to_send()
        transport = self._transport
        if transport is None:
            return
        for piece in pieces:
            if piece:
                transport.write(piece)
            elif transport.can_write_eof():
                transport.write_eof()
        if self._ws.state is State.CLOSED:
            transport.close()
        elif self._ws.close_expected():
            self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._transport is not None:
            self._timer = self._loop.call_later(CLOSING_S, self.abort)


_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
