"""A node that is told to stop, and then told again, or killed before it has stopped: nothing acknowledged is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from websockets.asyncio.client import connect

from tests.support.crowd import assert_one_history, crowd, talk_through
from tests.support.nodes import NodeProcess, node

NAMES = [f"player{n}" for n in range(6)]
ROOMS = ["room:a", "room:b"]
AT_ONCE_S = 1.5  # a drain with a client that has gone silent lasts two seconds


@asynccontextmanager
async def draining(server: NodeProcess) -> AsyncIterator[None]:
    """Within the block it has begun to drain, and waits for a client that does not answer."""
    async with connect(server.url, max_queue=1, close_timeout=0) as silent:
        await silent.send('{"t":"hello","id":"h","token":"dev:silent"}')
        await silent.recv()
        silent.transport.pause_reading()
        before = server.log.read_text().count("server.draining")
        server.process.send_signal(signal.SIGTERM)
        while server.log.read_text().count("server.draining") == before:  # noqa: ASYNC110 - only looking tells
            await asyncio.sleep(0.02)
        yield
        silent.transport.abort()


async def test_a_second_sigterm_hurries_a_kill_ends_the_drain_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db", "--limits", "off") as server:

        async def end_twice() -> None:
            async with draining(server):
                again = loop.time()
                code = await asyncio.to_thread(server.terminate)
                assert loop.time() - again < AT_ONCE_S
                assert code == 0, server.tail()
            await asyncio.to_thread(server.start)
            async with draining(server):
                await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)

        async with crowd([server], NAMES) as players:
            for player in players:
                await player.join(*ROOMS)
            await talk_through(players, ROOMS, end_twice)
            await assert_one_history(players, ROOMS)
