"""What only the index in process has to promise: it shares its loop with everybody else."""

import asyncio
from typing import Self

from storage.local_ranks import FREED_AT_ONCE, PLACED_AT_ONCE, LocalRanks
from storage.ranks import PUT_LIMIT
from tests.conformance.ranked import HIGHEST, fill, standing


class Turns:
    """Counts the turns of the loop while its block runs."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> Self:
        self._call()
        return self

    async def __aexit__(self, *failed: object) -> None:
        self._handle.cancel()

    def _call(self) -> None:
        self.count += 1
        self._handle = asyncio.get_running_loop().call_soon(self._call)


async def until_freed(ranks: LocalRanks) -> None:
    async with asyncio.timeout(5):
        while ranks._forgotten:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)


async def test_others_get_their_turns_during_a_large_put() -> None:
    ranks = LocalRanks()
    await ranks.begin(HIGHEST)
    async with Turns() as turns:
        await ranks.put(HIGHEST, [standing(f"o{n}", n) for n in range(PUT_LIMIT)], filling=True)

    assert turns.count >= PUT_LIMIT / PLACED_AT_ONCE


async def test_others_get_their_turns_while_a_large_table_is_freed() -> None:
    ranks = LocalRanks()
    await fill(ranks, HIGHEST, [standing(f"o{n}", n) for n in range(PUT_LIMIT)])
    for part in range(1, 5):
        await ranks.put(HIGHEST, [standing(f"o{part}.{n}", n) for n in range(PUT_LIMIT)], filling=True)
    size = 5 * PUT_LIMIT

    async with Turns() as turns:
        await ranks.drop(HIGHEST)
        await until_freed(ranks)

    assert turns.count >= size / FREED_AT_ONCE


async def test_a_table_dropped_while_another_is_freed_is_freed_as_well() -> None:
    ranks = LocalRanks()
    for _ in range(3):
        await fill(ranks, HIGHEST, [standing(f"o{n}", n) for n in range(PUT_LIMIT)])
    await ranks.drop(HIGHEST)

    await until_freed(ranks)


async def test_a_table_dropped_during_a_large_put_takes_what_is_put_after_it_as_incomplete() -> None:
    """The put goes on; nothing of it is lost, and nothing claims to be complete."""
    ranks = LocalRanks()
    await fill(ranks, HIGHEST)
    async with asyncio.TaskGroup() as tasks:
        put = tasks.create_task(ranks.put(HIGHEST, [standing(f"o{n}", n) for n in range(PUT_LIMIT)], filling=True))
        await asyncio.sleep(0)
        await ranks.drop(HIGHEST)

    assert put.result() == []
    assert await ranks.through(HIGHEST) is None
