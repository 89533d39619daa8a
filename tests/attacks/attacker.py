"""One socket of an attacker: it sends what it likes and remembers how it ended."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

from tests.support.raw import say, upgrade

PATIENCE_S = 30.0
HIGH_BYTES = 1_048_576  # that wait in this process before an attacker pauses


class Attacker(asyncio.Protocol):
    """Sends what it likes. ``end`` says what the node did: an HTTP status, a close code, ``cut`` or ``open``."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.answers = 0
        """HTTP answers so far."""
        self.answered = asyncio.Event()
        self.transport: asyncio.Transport
        self._head = b""
        self._frames = bytearray()
        self._code: int | None = None
        self._room = asyncio.Event()
        self._room.set()

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(HIGH_BYTES)

    def data_received(self, data: bytes) -> None:
        self.answers += data.count(b"HTTP/1.1 ")
        if not self.answered.is_set():
            self._head += data
            if b"\r\n\r\n" not in self._head:
                return
            self._head, _, data = self._head.partition(b"\r\n\r\n")
            self.answered.set()
        self._frames += data
        if self._head.startswith(b"HTTP/1.1 101"):
            self._read()

    def _read(self) -> None:
        """Look for the close frame among the node's."""
        frames, at = self._frames, 0
        while len(frames) >= at + 4:
            size, start = frames[at + 1], at + 2
            if size > 125:
                start += 2 if size == 126 else 8
                size = int.from_bytes(frames[at + 2 : start], "big")
            if len(frames) < start + size:
                break
            if frames[at] == 0x88:
                self._code = int.from_bytes(frames[start : start + 2], "big")
            at = start + size
        del frames[:at]

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        self.answered.set()
        self._room.set()

    # Doing.
    def put(self, *parts: bytes) -> None:
        if not self.ended.is_set():
            self.transport.write(b"".join(parts))

    async def flood(self, piece: bytes, times: int) -> None:
        """Send the same again and again, as fast as the node takes it, until it has had enough."""
        for _ in range(times):
            if self.ended.is_set():
                return
            self.put(piece)
            await asyncio.sleep(0)
            await self._room.wait()

    async def sign_in(self, name: str) -> None:
        self.put(upgrade(), say("hello", "h", token=f"dev:{name}"))
        await self.answered.wait()

    @property
    def end(self) -> str:
        if self._code is not None:
            return str(self._code)
        if self._head and not self._head.startswith(b"HTTP/1.1 101"):
            return self._head[9:12].decode("latin-1")
        return "cut" if self.ended.is_set() else "open"


Does = Callable[[Attacker, int], Awaitable[Any]]
"""What the attacker with this number does."""


async def storm(port: int, address: str, many: int, does: Does, *, hold_s: float = 0.0) -> list[Attacker]:
    """Have so many attackers from one address at once; wait for their ends, at most ``hold_s`` where it is given."""
    loop = asyncio.get_running_loop()
    attackers: list[Attacker] = []

    async def attack(number: int) -> None:
        try:
            _, attacker = await loop.create_connection(Attacker, "127.0.0.1", port, local_addr=(address, 0))
        except ConnectionError:
            return
        attackers.append(attacker)
        await does(attacker, number)
        try:
            async with asyncio.timeout(hold_s or PATIENCE_S):
                await attacker.ended.wait()
        except TimeoutError:
            pass

    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(many):
                tasks.create_task(attack(number))
    finally:
        for attacker in attackers:
            attacker.transport.abort()
    return attackers


def ends(attackers: Iterable[Attacker]) -> Counter[str]:
    """How many ended how."""
    return Counter(attacker.end for attacker in attackers)
