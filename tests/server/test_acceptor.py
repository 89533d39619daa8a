"""Whoever is at the door is let in, and whoever is inside does not wait for it."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any
from unittest import mock

import pytest
from structlog.testing import capture_logs

from server import acceptor
from server.acceptor import AT_ONCE, Acceptor, Entrance

SHARED = Entrance(share=True)


class Guest(asyncio.Protocol):
    """One who was let in; echoes."""

    def __init__(self, inside: list["Guest"]) -> None:
        self.inside = inside
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.inside.append(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@pytest.fixture
async def inside() -> list[Guest]:
    """Who was let in."""
    return []


@pytest.fixture
async def door(inside: list[Guest]) -> AsyncIterator[Acceptor]:
    """An acceptor that runs."""
    async with Acceptor("127.0.0.1", 0, lambda _: Guest(inside)).running() as running:
        yield running
        for guest in inside:
            guest.transport.abort()


def knock(door: Acceptor) -> socket.socket:
    """A connection, as far as the kernel makes it."""
    return socket.create_connection(("127.0.0.1", door.port), timeout=5)


async def turns(inside: list[Guest], guests: int) -> list[int]:
    """How many are inside after each turn of the loop, until ``guests`` are."""
    seen = []
    async with asyncio.timeout(5):
        while len(inside) < guests:
            await asyncio.sleep(0)
            seen.append(len(inside))
    return seen


async def test_a_crowd_is_let_in_a_few_at_a_time(door: Acceptor, inside: list[Guest]) -> None:
    guests = [knock(door) for _ in range(5 * AT_ONCE)]
    seen = await turns(inside, len(guests))

    steps = [after - before for before, after in zip([0, *seen], seen, strict=False)]
    assert max(steps) <= AT_ONCE
    for guest in guests:
        guest.close()


async def test_a_guest_is_heard_without_delay(door: Acceptor, inside: list[Guest]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"hello")

    assert await reader.readexactly(5) == b"hello"
    taken = inside[0].transport.get_extra_info("socket")
    assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()
    await writer.wait_closed()


async def test_the_kernel_holds_little_for_a_guest_who_reads_slowly(door: Acceptor, inside: list[Guest]) -> None:
    with closing(knock(door)):
        await turns(inside, 1)
        taken = inside[0].transport.get_extra_info("socket")

        assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * acceptor.KERNEL_BYTES


async def test_a_process_without_a_file_descriptor_left_tries_again(door: Acceptor, inside: list[Guest]) -> None:
    with closing(knock(door)) as guest, mock.patch.object(acceptor, "OUT_OF_FILES_S", 0.01):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (guest.fileno(), hard))
        try:
            with capture_logs() as logged:
                door._take(door._listeners[0])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert not inside
        await turns(inside, 1)

    assert [line["event"] for line in logged] == ["gateway.cannot_accept"]


async def test_nobody_is_let_in_once_it_is_closed(inside: list[Guest]) -> None:
    async with Acceptor("127.0.0.1", 0, lambda _: Guest(inside)).running() as door:
        pass

    with pytest.raises(ConnectionRefusedError):
        knock(door)


async def test_an_address_that_is_taken_is_said() -> None:
    async with Acceptor("127.0.0.1", 0, lambda _: asyncio.Protocol()).running() as door:
        with pytest.raises(OSError, match="in use"):
            async with Acceptor("127.0.0.1", door.port, lambda _: asyncio.Protocol()).running():
                pass


async def test_who_waits_in_the_queue_of_a_port_that_is_left_is_still_let_in(inside: list[Guest]) -> None:
    """Closing a listener resets what waits in its queue."""
    async with Acceptor("127.0.0.1", 0, lambda _: Guest(inside), SHARED).running() as door:
        guests = [knock(door) for _ in range(5 * AT_ONCE)]
        door.leave()
        await turns(inside, len(guests))
        for guest in guests:
            guest.close()
        for let_in in inside:
            let_in.transport.abort()


async def test_a_shared_port_that_one_has_left_is_the_others(inside: list[Guest]) -> None:
    mine: list[Guest] = []
    async with Acceptor("127.0.0.1", 0, lambda _: Guest(mine), SHARED).running() as leaving:
        async with Acceptor("127.0.0.1", leaving.port, lambda _: Guest(inside), SHARED).running() as door:
            leaving.leave()
            guests = [knock(door) for _ in range(32)]  # by chance one in two would have come to each
            await turns(inside, len(guests))
            assert not mine
            for guest in guests:
                guest.close()
            for let_in in inside:
                let_in.transport.abort()
