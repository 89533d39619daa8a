"""An attacker's end of a socket: it sends what it likes, byte for byte."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.wire import Frame

PATIENCE_S = 10.0
TEXT, CLOSE, PING, PONG, CONT = 1, 8, 9, 10, 0


class Raw:
    """Sends what it likes; knows just enough of RFC 6455 to read the answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.status = 0
        self.head = ""

    def put(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def answered(self) -> "Raw":
        """Wait for the answer to the upgrade."""
        async with asyncio.timeout(PATIENCE_S):
            self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.status = int(self.head.split(" ")[1])
        return self

    async def next(self) -> Frame | bytes | int | None:
        """A message, a pong's payload, a close code, or None at the end of the stream."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                first, size = await self.reader.readexactly(2)
                if size == 126:
                    (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
                payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        if first & 15 == CLOSE:
            return int(struct.unpack("!H", payload[:2])[0])
        return payload if first & 15 == PONG else json.loads(payload)

    async def reply(self, re: str) -> Frame:
        """The reply to ``re``; what comes before it is skipped."""
        while True:
            seen = await self.next()
            assert isinstance(seen, dict | bytes), f"no reply to {re}, but {seen}"
            if isinstance(seen, dict) and seen.get("re") == re:
                return seen

    async def close_code(self) -> int:
        """The code of the close frame; 1006 if the stream ends without one."""
        while True:
            seen = await self.next()
            if seen is None or isinstance(seen, int):
                return seen or 1006


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def signed_in(port: int, name: str, **hello: Any) -> AsyncIterator[Raw]:
    async with raw(port) as socket:
        socket.put(upgrade(), say("hello", "h", token=f"dev:{name}", **hello))
        await socket.answered()
        yield socket


def upgrade(*, headers: str = "", host: str = "127.0.0.1") -> bytes:
    return (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode("latin-1")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    head += bytes([0x80 | size]) if size < 126 else struct.pack("!BH", 0xFE, size)
    return head + bytes(4) + payload


def say(t: str, number: str, **fields: Any) -> bytes:
    return frame(TEXT, json.dumps({"t": t, "id": number, **fields}).encode())
