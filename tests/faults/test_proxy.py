"""The proxy of the experiments does what it says, and nothing where it was told nothing."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.proxy import Proxy


class Echo:
    """A server that repeats what it is told, and keeps it."""

    def __init__(self) -> None:
        self.told = b""
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65_536):
                self.told += data
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        self.left.set()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    try:
        async with Proxy(server.sockets[0].getsockname()[1]).running() as made:
            yield made
    finally:
        server.close()


class Caller:
    """A client of the echo."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def says(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def hears(self, size: int) -> bytes:
        return await self._reader.readexactly(size)

    async def hears_nothing(self, for_s: float = 0.1) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self._reader.read(1), for_s)

    async def is_cut(self) -> None:
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(self._reader.read(1), 5) == b""

    def close(self) -> None:
        self._writer.transport.abort()

    def reset(self) -> None:
        """Close as a process that is killed with something unread does."""
        link: socket.socket = self._writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


@pytest.fixture
async def caller(proxy: Proxy) -> AsyncIterator[Caller]:
    made = Caller(*await asyncio.open_connection("127.0.0.1", proxy.port))
    await made.says(b"?")
    await made.hears(1)  # it is through
    yield made
    made.close()


async def test_what_is_sent_arrives_whole_and_in_order(caller: Caller) -> None:
    sent = bytes(range(256)) * 4096
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(caller.says(sent))
        assert await caller.hears(len(sent)) == sent


async def test_a_cut_ends_every_connection_and_refuses_new_ones_until_it_is_mended(
    proxy: Proxy, caller: Caller
) -> None:
    await proxy.cut()
    await caller.is_cut()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.mend()
    again = Caller(*await asyncio.open_connection("127.0.0.1", proxy.port))
    await again.says(b"back")
    assert await again.hears(4) == b"back"
    again.close()


async def test_a_connection_that_one_end_resets_is_over_at_the_other_and_nothing_fails(
    caller: Caller, echo: Echo
) -> None:
    failed: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    caller.reset()
    await asyncio.wait_for(echo.left.wait(), 5)
    await asyncio.sleep(0.05)
    assert not failed


async def test_with_another_target_new_connections_lead_there_and_open_ones_stay(
    proxy: Proxy, caller: Caller, echo: Echo
) -> None:
    other = Echo()
    server = await asyncio.start_server(other.serve, "127.0.0.1", 0)
    proxy.target = server.sockets[0].getsockname()[1]
    newcomer = Caller(*await asyncio.open_connection("127.0.0.1", proxy.port))
    await newcomer.says(b"new")
    assert await newcomer.hears(3) == b"new"
    await caller.says(b"old")
    assert await caller.hears(3) == b"old"
    assert (echo.told, other.told) == (b"?old", b"new")
    newcomer.close()
    server.close()


async def test_connections_are_stranded_and_new_ones_are_not(proxy: Proxy, caller: Caller, echo: Echo) -> None:
    proxy.strand()
    await caller.says(b"lost?")
    await caller.hears_nothing()
    newcomer = Caller(*await asyncio.open_connection("127.0.0.1", proxy.port))
    await newcomer.says(b"new")
    assert await newcomer.hears(3) == b"new"
    assert echo.told == b"?new"
    newcomer.close()


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_black_hole_in_one_direction_holds_what_is_sent_and_ends_nothing(
    proxy: Proxy, caller: Caller, echo: Echo, direction: str
) -> None:
    way = proxy.up if direction == "up" else proxy.down
    way.black_hole()
    await caller.says(b"lost?")
    await caller.hears_nothing()
    assert echo.told == (b"?" if direction == "up" else b"?lost?")
    way.mend()
    assert await caller.hears(5) == b"lost?"


async def test_a_delay_is_added_once_to_each_direction(proxy: Proxy, caller: Caller) -> None:
    loop = asyncio.get_running_loop()
    proxy.up.delay_s, proxy.down.delay_s = 0.1, 0.05
    started = loop.time()
    for n in range(5):
        await caller.says(b"%d" % n)
        await asyncio.sleep(0.01)
    assert await caller.hears(5) == b"01234"
    assert 0.15 < loop.time() - started < 0.4


async def test_a_throttle_bounds_the_bytes_in_a_second(proxy: Proxy, caller: Caller) -> None:
    loop = asyncio.get_running_loop()
    proxy.down.bytes_per_s = 100_000
    started = loop.time()
    await caller.says(b"x" * 20_000)
    await caller.hears(20_000)
    assert loop.time() - started > 0.19


async def test_the_answer_to_a_commit_is_swallowed_after_the_server_has_it_and_no_other(
    proxy: Proxy, caller: Caller, echo: Echo
) -> None:
    proxy.to_lose = 1
    await caller.says(b"INSERT")
    assert await caller.hears(6) == b"INSERT"
    await caller.says(b"COM")
    assert await caller.hears(3) == b"COM"
    await caller.says(b"MIT;SET")
    await caller.is_cut()
    assert echo.told == b"?INSERTCOMMIT;SET"
    assert (proxy.to_lose, proxy.answers_lost) == (0, 1)
    again = Caller(*await asyncio.open_connection("127.0.0.1", proxy.port))
    await again.says(b"COMMIT;")
    assert await again.hears(7) == b"COMMIT;"
    again.close()
