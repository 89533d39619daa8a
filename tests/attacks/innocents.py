"""Players who do nothing but ping, and what an attack on their node costs them."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.raw import Raw, say, upgrade

INNOCENTS = 10
PING_S = 0.05  # 20 a second each, within a session's rate
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """What a process has used."""

    cpu_s: float
    starved_s: float
    """Seconds that it could have run, but the machine's cores were taken by others."""
    memory: int


def usage(process: int) -> Usage:
    """Of a process so far, as Linux counts it."""
    stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    resident = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    waited = sum(int(task.read_text().split()[1]) for task in Path(f"/proc/{process}/task").glob("*/schedstat"))
    return Usage((int(stat[11]) + int(stat[12])) / TICK, waited / 1e9, resident * PAGE)


class Innocents:
    """Ping, and note how long each answer takes."""

    def __init__(self, sockets: list[Raw]) -> None:
        self.waits: list[float] = []
        """Seconds."""
        self._sockets = sockets
        self._numbers = 0

    async def ping(self, stop: asyncio.Event) -> None:
        """Ping from all sockets until ``stop``. An answer that does not come fails."""
        async with asyncio.TaskGroup() as tasks:
            for socket in self._sockets:
                tasks.create_task(self._ping(socket, stop))

    async def _ping(self, socket: Raw, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            self._numbers += 1
            number = f"p{self._numbers}"
            began = loop.time()
            socket.put(say("ping", number))
            assert (await socket.reply(number))["t"] == "pong"
            self.waits.append(loop.time() - began)
            await asyncio.sleep(PING_S)


@asynccontextmanager
async def signed_in_from(address: str, port: int, name: str) -> AsyncIterator[Raw]:
    """A player whose connection comes from ``address``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    socket = Raw(reader, writer)
    try:
        socket.put(upgrade(), say("hello", "h", token=f"dev:{name}"))
        await socket.answered()
        assert (await socket.reply("h"))["t"] == "welcome"
        yield socket
    finally:
        writer.transport.abort()
