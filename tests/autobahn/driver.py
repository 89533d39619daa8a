"""The client that a case is made of: it sends what the case says, reads what comes, and grades it."""

import asyncio
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

from websockets.utils import apply_mask

from tests.autobahn.case import (
    BINARY,
    CLOSE,
    CONT,
    NORMAL,
    PING,
    PONG,
    TEXT,
    Awaited,
    Case,
    Event,
    Fragmented,
    Message,
    Pause,
    Pong,
    Put,
    Step,
    StillOpen,
    Trips,
    in_turn,
)

PATIENCE_S = 50.0  # for whatever the server has to do
PAUSE_S = {"A": 0.2, "B": 5.0}  # behind what is good yet; for a server to fail fast, on a busy machine too
WITHIN_FRAME_S = 0.5  # for a server that would fail before a frame has ended; ours does not
AT_ONCE = 16  # cases that run side by side
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%s"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Grade(Enum):
    """As the suite calls them."""

    OK = "OK"
    NON_STRICT = "NON-STRICT"
    INFORMATIONAL = "INFORMATIONAL"
    FAILED = "FAILED"


class Verdict(NamedTuple):
    """What came of a case."""

    grade: Grade
    why: str = ""
    """What is wrong; empty if nothing is."""


class Broken(Exception):
    """The server has sent what no client may accept."""


def header(put: Put, mask: bytes) -> bytes:
    """The header of a client's frame."""
    size = len(put.payload)
    first = (0x80 if put.fin else 0) | put.rsv << 4 | put.opcode
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, 0xFE, size)
    else:
        head = struct.pack("!BBQ", first, 0xFF, size)
    return head + mask


class Answers:
    """Reads what a server sends, and is strict about it."""

    def __init__(self) -> None:
        self.window_bits = 0
        """Of a server that may compress; 0: it may not."""
        self.compressed = 0
        """Messages that were."""
        self.events: list[Event] = []
        self.frames = 0
        self.code: int | None = None
        """The code of the server's close frame; 1005 if it has none."""
        self._buffer = bytearray()
        self._parts: list[bytes] | None = None
        self._binary = self._deflated = False

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while (taken := self._take()) is not None:
            self.frames += 1
            self._frame(*taken)

    def _take(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, size = buffer[0], buffer[1]
        if size & 0x80:
            raise Broken("a masked frame")
        start = 2 + {126: 2, 127: 8}.get(size, 0)
        if size > 125:
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + size:
            return None
        payload = bytes(buffer[start : start + size])
        del buffer[: start + size]
        return first, payload

    def _frame(self, first: int, payload: bytes) -> None:
        opcode, fin = first & 0x0F, bool(first & 0x80)
        if self.code is not None:
            raise Broken("a frame behind the close frame")
        allowed = 0x40 if self.window_bits and opcode in (TEXT, BINARY) else 0
        if first & 0x70 & ~allowed or (opcode >= CLOSE and (not fin or len(payload) > 125)):
            raise Broken(f"a frame that begins with {first:#x} and has {len(payload)} bytes")
        if opcode == CLOSE:
            self.code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            payload[2:].decode()
        elif opcode == PONG:
            self.events.append(Pong(payload))
        elif opcode in (TEXT, BINARY, CONT) and (opcode == CONT) is (self._parts is not None):
            self._data(first, payload, fin=fin)
        elif opcode != PING:
            raise Broken(f"opcode {opcode}")

    def _data(self, first: int, payload: bytes, *, fin: bool) -> None:
        if self._parts is None:
            self._parts, self._binary, self._deflated = [], first & 0x0F == BINARY, bool(first & 0x40)
        self._parts.append(payload)
        if fin:
            whole = b"".join(self._parts)
            if self._deflated:
                self.compressed += 1
                whole = inflated(whole, self.window_bits)
            self.events.append(Message(whole, self._binary))
            self._parts = None


def inflated(payload: bytes, window_bits: int) -> bytes:
    """A message of a server that keeps no context and looks back no further than it has said (RFC 7692, 7.2.2)."""
    inflate = zlib.decompressobj(-window_bits)
    try:
        return inflate.decompress(payload + b"\x00\x00\xff\xff")
    except zlib.error as error:
        raise Broken(f"what cannot be inflated: {error}") from error


class Client(asyncio.Protocol):
    """A case's end of the socket."""

    def __init__(self, case: Case) -> None:
        self.answers = Answers()
        self.ended = asyncio.Event()
        """The server has ended the connection."""
        self.sent_close = False
        self.broken = ""
        self._case = case
        self._random = Random(case.number)
        self._head: bytes | None = b""
        self._news = asyncio.Event()
        self._transport: Any = None

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head, _, data = (self._head + data).partition(b"\r\n\r\n")
            if not self._head.startswith(b"HTTP/1.1 101 "):
                self.broken = f"the upgrade was answered {self._head[:60]!r}"
            self._agree(self._head)
            self._head = None
        try:
            self.answers.feed(data)
        except (Broken, UnicodeDecodeError) as error:
            self.broken = f"the server has sent {error}"
        self._news.set()

    def _agree(self, head: bytes) -> None:
        """Take note of what the server has said of compression."""
        answer = re.search(rb"(?im)^Sec-WebSocket-Extensions: *(.*?)\r?$", head)
        if (answer is not None) is not bool(self._case.offer):
            self.broken = f"{self._case.offer or 'nothing'} was offered and answered {answer and answer[1]!r}"
        elif answer is not None:
            bits = re.search(rb"server_max_window_bits=(\d+)", answer[1])
            self.answers.window_bits = int(bits[1]) if bits else 15

    def eof_received(self) -> bool:
        self.ended.set()
        self._news.set()
        return True  # what the case still says may be sent, and is not heard

    def connection_lost(self, exc: Exception | None) -> None:
        self.eof_received()

    # Doing.
    async def play(self) -> None:
        """Send what the case says, close if it is for the client to do so, and see the end."""
        offer = f"Sec-WebSocket-Extensions: {self._case.offer}\r\n" if self._case.offer else ""
        self._transport.write(UPGRADE % offer.encode())
        await self._until(lambda: self._head is None)
        for step in self._case.steps:
            if self.ended.is_set():
                break
            await self._do(step)
        if not self._case.closes and not self._case.by_server:
            await self._until(lambda: tuple(self.answers.events) == self._case.ok)
            await self._do(Put(CLOSE, struct.pack("!H", NORMAL)))
        await self.ended.wait()

    def abort(self) -> None:
        self._transport.abort()

    async def _do(self, step: Step) -> None:
        match step:
            case Put():
                self.sent_close = self.sent_close or (step.opcode == CLOSE and not step.rsv)
                await self._put(step)
            case Fragmented():
                for put in in_turn(step):
                    await self._put(put)
            case Trips():
                for n in range(step.times):
                    await self._put(step.put)
                    await self._do(Awaited(n + 1))
            case Pause():
                await self._pause(step.name, PAUSE_S[step.name])
            case Awaited():
                await self._until(lambda: self.answers.frames >= step.frames)

    async def _put(self, put: Put) -> None:
        mask = self._random.randbytes(4)
        data = header(put, mask) + apply_mask(put.payload, mask)
        start = len(data) - len(put.payload)
        places = [0, *(start + place for place in put.parts), len(data)]
        for n, (begin, end) in enumerate(pairwise(places)):
            if n:
                await self._pause("AB"[n - 1], WITHIN_FRAME_S)
            for at in range(begin, end, put.chop or len(data)):
                if self._transport.is_closing():
                    return
                self._transport.write(data[at : min(at + put.chop, end) if put.chop else end])
                if put.chop or put.alone:
                    await asyncio.sleep(0)  # the server has its turn

    async def _pause(self, name: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            self.answers.events.append(StillOpen(name))

    async def _until(self, true: Any) -> None:
        while not true() and not self.ended.is_set() and not self.broken:
            self._news.clear()
            await self._news.wait()

    # Grading.
    def verdict(self) -> Verdict:
        """What the suite would say."""
        case, seen = self._case, tuple(self.answers.events)
        why = self.broken or self._closing()
        if case.informational:
            return Verdict(Grade.FAILED if self.broken or not self.ended.is_set() else Grade.INFORMATIONAL, self.broken)
        if why:
            return Verdict(Grade.FAILED, why)
        if seen == case.ok:
            return Verdict(Grade.OK)
        if seen == case.non_strict:
            return Verdict(Grade.NON_STRICT)
        return Verdict(Grade.FAILED, f"seen {str(seen)[:200]}, but {str(case.ok)[:200]} is right")

    def _closing(self) -> str:
        case, code = self._case, self.answers.code
        if not self.ended.is_set():
            return "the server has not ended the connection"
        if case.by_server is self.sent_close:
            return "the wrong end has closed"
        if case.clean and code is None:
            return "the server has sent no close frame"
        if code is not None and code not in case.codes and not (code == 1005 and case.clean):
            return f"closed with {code}, not with {case.codes}"
        return ""


async def judged(case: Case, port: int) -> Verdict:
    """Play one case against the echo server at ``port`` of loopback."""
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(case), "127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await client.play()
    except TimeoutError:
        pass
    finally:
        client.abort()
    return client.verdict()


async def all_judged(cases: Iterable[Case], port: int) -> dict[str, Verdict]:
    """Play the cases, some side by side."""
    verdicts: dict[str, Verdict] = {}
    waiting: Iterator[Case] = iter(cases)

    async def play() -> None:
        for case in waiting:
            verdicts[case.number] = await judged(case, port)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(play())
    return verdicts
