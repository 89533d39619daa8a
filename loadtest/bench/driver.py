"""Plays many clients from one core: raw sockets, prebuilt frames, replies counted rather than parsed.

A driver that parsed a million deliveries a second would be the thing that is measured. So a client counts the tags in
what it receives (a substring search in C) and only one client of each room parses, for the latencies.
"""

import asyncio
import base64
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgpack

HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: guildhall.v1.msgpack\r\n\r\n"
)


def masked(payload: bytes) -> bytes:
    """A binary client frame whose mask is zero, so that masking costs nothing (RFC 6455, section 5.3)."""
    size = len(payload)
    if size < 126:
        return b"\x82" + bytes([0x80 | size]) + b"\0\0\0\0" + payload
    return b"\x82\xfe" + size.to_bytes(2) + b"\0\0\0\0" + payload


def request(t: str, number: str, **fields: Any) -> bytes:
    """A request as it goes to the socket."""
    return masked(msgpack.packb({"t": t, "id": number, **fields}))


class Client(asyncio.Protocol):
    """One socket. ``on_data`` gets what arrives once the handshake is done; ``marks`` counts it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_data: Callable[[bytes], None] = self._keep
        self.kept = b""
        self.waiter: asyncio.Future[None] | None = None
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(HANDSHAKE.format(host="localhost", key=key).encode())

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            self.on_data(data)
            return
        self.kept += data
        head, end, rest = self.kept.partition(b"\r\n\r\n")
        if end:
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.opened.set_exception(ConnectionError(head.partition(b"\r\n")[0].decode()))
                return
            self.kept = rest
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("closed"))

    def _keep(self, data: bytes) -> None:
        self.kept += data
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def ask(self, t: str, number: str, **fields: Any) -> bytes:
        """Send a request and wait until its reply is among what arrived; for setting up, not for measuring."""
        self.kept = b""
        self.transport.write(request(t, number, **fields))
        mark = msgpack.packb(number)
        while mark not in self.kept:
            self.waiter = asyncio.get_running_loop().create_future()
            await asyncio.wait_for(self.waiter, 60)
        return self.kept


class Marks:
    """Counts a mark in what one connection receives, also where it is cut between two reads."""

    __slots__ = ("_mark", "_seam", "_tail")

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._seam = len(mark) - 1  # bytes of a mark that one side of a cut holds at most
        self._tail = b""

    def count(self, data: bytes) -> int:
        """How many have been completed by ``data``."""
        found = data.count(self._mark)
        if self._tail:
            found += (self._tail + data[: self._seam]).count(self._mark)
        self._tail = (self._tail + data if len(data) < self._seam else data)[-self._seam :]
        return found


class Trouble:
    """What went wrong in a load. An exception in a connection's callback ends that connection only, so it is kept until
    the load is over: figures of which a part was refused are no figures."""

    def __init__(self) -> None:
        self._refusal = b""

    def look(self, data: bytes) -> None:
        """Keep the first error reply."""
        if b"\xa5error" in data and not self._refusal:
            self._refusal = data[data.index(b"\xa5error") :][:200]

    def check(self, clients: Iterable[Client]) -> None:
        """Raises SystemExit if a request was refused or one of ``clients`` has lost its connection."""
        if self._refusal:
            raise SystemExit(f"a request was refused: {self._refusal!r}")
        if lost := sum(client.lost for client in clients):
            raise SystemExit(f"{lost} clients have lost their connection")


async def connect(host: str, port: int) -> Client:
    """An open WebSocket."""
    _, client = await asyncio.get_running_loop().create_connection(Client, host, port)
    await client.opened
    return client


async def sign_in(host: str, port: int, name: str) -> Client:
    """A signed-in session of player ``name``."""
    client = await connect(host, port)
    reply = await client.ask("hello", f"{name}-hello", token=f"dev:{name}")
    if b"welcome" not in reply:
        raise ConnectionError(f"{name} was not let in: {reply!r}")
    return client


async def in_groups(jobs: Sequence[Callable[[], Awaitable[Any]]], at_once: int = 64) -> list[Any]:
    """Run ``jobs``, so many at a time, and give their results in order."""
    results: list[Any] = []
    for start in range(0, len(jobs), at_once):
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(_run(job)) for job in jobs[start : start + at_once]]
        results.extend(task.result() for task in running)
    return results


async def _run(job: Callable[[], Awaitable[Any]]) -> Any:
    return await job()


class Latencies:
    """Seconds, kept whole: a run has few enough."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @classmethod
    def of(cls, many: Iterable["Latencies"]) -> "Latencies":
        """All of them together."""
        together = cls()
        for one in many:
            together.seconds.extend(one.seconds)
        return together

    def quantile(self, share: float) -> float:
        """Milliseconds below which ``share`` of all lie; 0 without any."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


def now() -> float:
    """Seconds; compared only with each other."""
    return time.perf_counter()
