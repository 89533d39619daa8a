"""An attack on a real node while others play: what came of the attackers, and what it cost the others and the node."""

import asyncio
import re
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from statistics import quantiles
from typing import NamedTuple

from tests.attacks.attacks import Attack
from tests.attacks.innocents import INNOCENTS, Innocents, signed_in_from, usage
from tests.attacks.run import in_a_process
from tests.support.nodes import NodeProcess

PATIENCE_S = 20.0
_addresses = count(1)
_names = count(1)


class Cost(NamedTuple):
    """What was seen."""

    ends: Counter[str]
    """How the attackers' sockets ended."""
    before: list[float]
    during: list[float]
    """Seconds that pings of the others took."""
    seconds: float
    cpu_s: float
    """Of the node, in these seconds; the pings are a part of it."""
    starved_s: float
    """That the node waited for a core: what players wait for then is the machine."""
    memory: int
    """Bytes that the node was larger at its largest."""


async def attacked(node: NodeProcess, attack: Attack, sockets: int, *, quiet_s: float = 0.0) -> Cost:
    """Run an attack, after ``quiet_s`` of pings to compare with.

    A ping that is not answered, or a newcomer who is not let in, fails.
    """
    number = next(_addresses)
    port = node.gateway_port
    loop = asyncio.get_running_loop()
    async with playing(node, f"127.2.0.{number}") as innocents:
        quiet = asyncio.Event()
        loop.call_later(quiet_s, quiet.set)
        await innocents.ping(quiet)
        before, innocents.waits = innocents.waits, []
        over, began, start = asyncio.Event(), loop.time(), usage(node.process.pid)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(innocents.ping(over))
            largest = tasks.create_task(watched(node.process.pid, over))
            ends = await in_a_process(attack, port, f"127.1.0.{number}", sockets)
            async with signed_in_from(f"127.3.0.{number}", port, f"newcomer{next(_names)}"):
                pass
            over.set()
        used = usage(node.process.pid)
        await left(node, INNOCENTS)
        grown = max(largest.result() - start.memory, 0)
        return Cost(
            ends,
            before,
            innocents.waits,
            loop.time() - began,
            used.cpu_s - start.cpu_s,
            used.starved_s - start.starved_s,
            grown,
        )


@asynccontextmanager
async def playing(node: NodeProcess, address: str) -> AsyncIterator[Innocents]:
    """Players who are signed in."""
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(signed_in_from(address, node.gateway_port, f"innocent{next(_names)}"))
            for _ in range(INNOCENTS)
        ]
        yield Innocents(sockets)


async def watched(process: int, over: asyncio.Event) -> int:
    """The most memory that a process has had."""
    most = 0
    while not over.is_set():
        most = max(most, usage(process).memory)
        await asyncio.sleep(0.02)
    return most


async def left(node: NodeProcess, connections: int) -> None:
    """Wait until the node holds nobody but these; it says so by its metrics only."""
    async with asyncio.timeout(PATIENCE_S):
        while await asyncio.to_thread(held, node) > connections:  # noqa: ASYNC110 - the node is another process
            await asyncio.sleep(0.05)


def held(node: NodeProcess) -> int:
    """Connections of a node."""
    with urllib.request.urlopen(f"{node.http}/metrics", timeout=5) as answer:
        found = re.search(r"^guildhall_connections (\S+)", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def ms(waits: list[float]) -> str:
    """Median, 99th of 100 and worst of waits, in milliseconds."""
    cuts = quantiles(waits, n=100)
    return f"{cuts[49] * 1000:.1f} / {cuts[98] * 1000:.1f} / {max(waits) * 1000:.1f}"
