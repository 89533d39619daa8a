"""What the tests of ``RedisRanks`` share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from storage import Incomplete, RankTable, Top
from storage.bus_urls import redis_address
from storage.redis_pipeline import PipelineOptions, RedisPipeline
from storage.redis_ranks import RedisRanks
from tests.conformance.ranked import HIGHEST, standing

QUICK = PipelineOptions(call_s=0.4, answer_s=0.5, ping_s=0.2, first_pause_s=0.02, longest_pause_s=0.05)


@asynccontextmanager
async def running(url: str, options: PipelineOptions = QUICK, scope: str = "epoch") -> AsyncIterator[RedisRanks]:
    pipeline = RedisPipeline(redis_address(url), options, jitter=lambda: 1.0)
    async with pipeline.running():
        yield RedisRanks(pipeline, scope)


async def until(fact: Callable[[], bool]) -> None:
    """The pipeline tells nobody of its connections, so this has to look again and again."""
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def until_up(ranks: RedisRanks) -> None:
    await until(lambda: ranks._pipeline.link > 0)


async def until_another_link(ranks: RedisRanks, link: int) -> None:
    await until(lambda: ranks._pipeline.link > link)


async def assert_incomplete(ranks: RedisRanks, table: RankTable = HIGHEST) -> None:
    with pytest.raises(Incomplete):
        await ranks.read(table, Top(0, 1))
    with pytest.raises(Incomplete):
        await ranks.put(table, [standing("x", 1)])
    assert await ranks.through(table) is None
