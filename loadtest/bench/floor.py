"""The bare floor: what asyncio with uvloop and a hand-made WebSocket can do on this machine with no product behind it.

One write a tick and room, no decoding, no actor, no limit, no right. Run as ``python -m loadtest.bench.floor PORT``.
"""

import asyncio
import base64
import hashlib
import sys

import uvloop

SEND, JOIN = b"\xa9chat.send", b"\xa4join"  # with their MessagePack head: four letters alone may be part of a token
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Bare(asyncio.Protocol):
    """Answers each frame with a frame, and gives frames that hold ``chat.send`` to everybody in the room as well."""

    rooms: dict[bytes, list["Bare"]] = {}
    dirty: dict[bytes, list[bytes]] = {}
    scheduled = False

    def __init__(self) -> None:
        self.open = False
        self.transport: asyncio.Transport
        self.room = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self.open:
            self.open = True
            key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())  # noqa: S324 - RFC 6455, section 4.2.2
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Protocol: guildhall.v1.msgpack\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            return
        at = 0
        while at < len(data):
            size = data[at + 1] & 0x7F
            start = at + 6
            if size == 126:
                size = int.from_bytes(data[at + 2 : at + 4])
                start = at + 8
            self._frame(data[start : start + size])
            at = start + size

    def _frame(self, payload: bytes) -> None:
        if SEND in payload:
            self._tell(payload)
        elif JOIN in payload:
            self.room = payload.partition(b"channel")[2]
            Bare.rooms.setdefault(self.room, []).append(self)
        else:
            self.transport.write(b"\x82" + bytes([len(payload)]) + payload)

    def _tell(self, payload: bytes) -> None:
        body = payload.replace(b"chat.send", b"chat.message")
        size = len(body)
        event = (b"\x82" + bytes([size]) if size < 126 else b"\x82\x7e" + size.to_bytes(2)) + body
        Bare.dirty.setdefault(self.room, []).append(event)
        self.transport.write(b"\x82\x09chat.sent")
        if not Bare.scheduled:
            Bare.scheduled = True
            asyncio.get_running_loop().call_soon(Bare.flush)

    @staticmethod
    def flush() -> None:
        """One write for each member of each room that has news."""
        Bare.scheduled = False
        dirty, Bare.dirty = Bare.dirty, {}
        for room, events in dirty.items():
            piece = b"".join(events)
            for member in Bare.rooms[room]:
                member.transport.write(piece)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
