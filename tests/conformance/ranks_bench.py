"""Figures of a rank index, for ``docs/decisions/006-rank-index.md``.

``python -m tests.conformance.ranks_bench local:`` or ``redis://127.0.0.1:6379/9`` (that nobody else uses; the table is
dropped at the end). Options: ``--owners``, ``--callers``, ``--seconds``.
"""

import argparse
import asyncio
import gc
import random
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from redis.asyncio import Redis

from storage import Around, Of, Ranks, RankTable, Standing, Top, open_ranks
from storage.ranks import PUT_LIMIT

TABLE = RankTable("bench")


def say(line: str) -> None:
    print(line)  # noqa: T201 - a command-line tool


def owner(n: int) -> str:
    """Twelve characters, as an id of ours has at most 26 and most have fewer."""
    return f"player-{n:05x}"


class Bench:
    """A table of so many owners, whose scores change."""

    def __init__(self, ranks: Ranks, owners: int) -> None:
        self._ranks = ranks
        self._owners = owners
        self._count = 1
        self._random = random.Random(7)

    def standing(self, n: int) -> Standing:
        score = self._random.randrange(1_000_000)
        return Standing(owner(n), f"Name {n}", score, 0, 1_790_000_000_000_000 + self._count, self._count)

    async def fill(self) -> None:
        """Longest hold is what one put of PUT_LIMIT keeps the loop from anything else."""
        token = await self._ranks.begin(TABLE)
        longest, started = 0.0, time.perf_counter()
        for at in range(0, self._owners, PUT_LIMIT):
            standings = [self.standing(n) for n in range(at, min(at + PUT_LIMIT, self._owners))]
            before = time.thread_time()
            await self._ranks.put(TABLE, standings, filling=True)
            longest = max(longest, time.thread_time() - before)
        took = time.perf_counter() - started
        assert await self._ranks.finish(TABLE, token, 1)
        say(f"fill: {took:.1f} s, {self._owners / took:,.0f}/s; one put of {PUT_LIMIT}: CPU {longest * 1e3:.1f} ms")

    async def put_one(self) -> None:
        self._count += 1
        await self._ranks.put(TABLE, [self.standing(self._random.randrange(self._owners))])

    async def top(self) -> None:
        await self._ranks.read(TABLE, Top(0, 100))

    async def around(self) -> None:
        await self._ranks.read(TABLE, Around(owner(self._random.randrange(self._owners)), 21))

    async def friends(self) -> None:
        await self._ranks.read(TABLE, Of([owner(self._random.randrange(self._owners)) for _ in range(100)]))


async def measure(name: str, call: Callable[[], Awaitable[None]], callers: int, seconds: float) -> None:
    took: list[float] = []
    ends = time.perf_counter() + seconds

    async def caller() -> None:
        while (before := time.perf_counter()) < ends:
            await call()
            took.append(time.perf_counter() - before)

    cpu = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller())
    cpu = time.process_time() - cpu
    took.sort()
    p50, p99, most = (took[min(len(took) - 1, int(len(took) * q))] * 1e3 for q in (0.5, 0.99, 1.0))
    say(
        f"{name}, {callers} callers: {len(took) / seconds:,.0f}/s, our CPU {cpu / len(took) * 1e6:.0f} us each, "
        f"p50 {p50:.2f} p99 {p99:.2f} max {most:.2f} ms"
    )


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def redis_memory(url: str) -> int:
    async with Redis.from_url(url) as operator:
        info: dict[str, Any] = await operator.info("memory")
        return int(info["used_memory"])


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("--owners", type=int, default=1_000_000)
    arguments.add_argument("--callers", type=int, default=200)
    arguments.add_argument("--seconds", type=float, default=5.0)
    given = arguments.parse_args()
    local = given.url == "local:"
    async with open_ranks(given.url, "bench") as ranks:
        bench = Bench(ranks, given.owners)
        gc.collect()
        before = resident() if local else await redis_memory(given.url)
        await bench.fill()
        after = resident() if local else await redis_memory(given.url)
        say(f"memory: {(after - before) / given.owners / 1024:.3f} KiB an owner")
        for callers in (given.callers, 1):
            await measure("put", bench.put_one, callers, given.seconds)
        for name, call in (("top 100", bench.top), ("around 21", bench.around), ("of 100", bench.friends)):
            await measure(name, call, 4, given.seconds)
        await ranks.drop(TABLE)


if __name__ == "__main__":
    uvloop.run(main())
