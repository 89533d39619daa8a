"""A TCP proxy between a node and its database or Redis, on loopback: cuts, delays, throttles, falls silent.

Each direction by itself. It lives on the test's loop, so what blocks the loop stops the proxy too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

CHUNK = 65_536
QUEUED = 16  # chunks on their way in one direction; then the sender is not read any more
QUIET_S = 0.05  # after this much silence a swallowed answer is whole
COMMIT = b"COMMIT;"  # as the store sends it (storage/mysql_link.py)


class Way:
    """One direction. What is set holds for all connections, those that are open included."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """Everything arrives so much later."""
        self.bytes_per_s: float | None = None
        """No more than this; None: as fast as it goes."""
        self._flows = asyncio.Event()
        self._flows.set()

    def black_hole(self) -> None:
        """Nothing arrives and nothing ends: packets are lost, as if a cable was pulled."""
        self._flows.clear()

    def mend(self) -> None:
        """As at the beginning. What was sent meanwhile arrives now, as TCP sends it again."""
        self.delay_s, self.bytes_per_s = 0.0, None
        self._flows.set()

    async def let_through(self, size: int) -> None:
        """Wait until ``size`` bytes may arrive."""
        if self.bytes_per_s is not None:
            await asyncio.sleep(size / self.bytes_per_s)
        await self._flows.wait()


class _Link:
    """A connection through the proxy."""

    def __init__(self, proxy: "Proxy", client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._up, self._down = proxy.up, proxy.down
        self._ends = (client, server)
        self._tail = b""
        self._swallows = False

    async def run(self, from_client: asyncio.StreamReader, from_server: asyncio.StreamReader) -> None:
        """Until either end closes."""
        client, server = self._ends
        async with asyncio.TaskGroup() as tasks:
            both = [
                tasks.create_task(self._carry(from_client, server, self._up)),
                tasks.create_task(self._carry(from_server, client, self._down)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for one in both:
                one.cancel()

    def abort(self) -> None:
        """End it at once, with a reset."""
        for end in self._ends:
            end.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way) -> None:
        """One direction to its end; what is on its way is written in order, each chunk when it is due."""
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED)
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write(on_its_way, sink, way))
            with suppress(OSError):  # it was reset: that is an end too
                while data := await source.read(CHUNK):
                    if way is self._up:
                        self._look_for_commit(data)
                    elif self._swallows:
                        await self._swallow(source)
                        break
                    await on_its_way.put((asyncio.get_running_loop().time() + way.delay_s, data))
            writing.cancel()

    async def _write(self, queue: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter, way: Way) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            await way.let_through(len(data))
            try:
                sink.write(data)
                await sink.drain()
            except OSError:
                self.abort()
                return

    def _look_for_commit(self, data: bytes) -> None:
        if self._proxy.to_lose > 0 and COMMIT in self._tail + data:
            self._proxy.to_lose -= 1
            self._swallows = True
        self._tail = data[-len(COMMIT) :]

    async def _swallow(self, source: asyncio.StreamReader) -> None:
        """Take the rest of the answer, so that the server has done what was asked, then hang up."""
        with suppress(TimeoutError):
            while await asyncio.wait_for(source.read(CHUNK), QUIET_S):
                pass
        self.abort()
        self._proxy.count_lost()


class Proxy:
    """Stands before ``127.0.0.1:target``; whoever connects to ``port`` is connected there."""

    def __init__(self, target: int) -> None:
        self.target = target
        """May be changed: it is where new connections lead, and those that are open stay where they are."""
        self.up, self.down = Way(), Way()
        """Towards the server, and back."""
        self.port = 0
        self.to_lose = 0
        """The answers to so many of the next COMMITs are swallowed, and their connections are closed."""
        self.answers_lost = 0
        """So many were."""
        self._lost = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen until the end of the block."""
        await self._listen()
        try:
            yield self
        finally:
            await self.cut()
            for task in self._ending:
                task.cancel()  # one that waits for a server that does not answer
            if self._ending:
                await asyncio.wait(self._ending)

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for link in list(self._links):
            link.abort()

    async def mend(self) -> None:
        """Let everything through again."""
        self.up.mend()
        self.down.mend()
        if self._server is None:
            await self._listen()

    async def lose_answer(self) -> None:
        """Wait for the next COMMIT, swallow its answer and close its connection."""
        self._lost.clear()
        self.to_lose += 1
        await self._lost.wait()

    def count_lost(self) -> None:
        """An answer has been swallowed."""
        self.answers_lost += 1
        self._lost.set()

    def black_hole(self) -> None:
        """Nothing arrives in either direction."""
        self.up.black_hole()
        self.down.black_hole()

    def strand(self) -> None:
        """Nothing arrives any more over the connections that are open, as if the machine behind them was gone; new ones
        are not concerned."""
        self.black_hole()
        self.up, self.down = Way(), Way()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        link = _Link(self, writer, to_server)
        self._links.add(link)
        try:
            if self._server is not None:  # else it was cut meanwhile
                await link.run(reader, from_server)
        except asyncio.CancelledError:
            pass  # the end of ``running``: nobody else waits for this task
        finally:
            self._links.discard(link)
            link.abort()
