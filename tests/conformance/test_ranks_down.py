"""What ``RedisRanks`` promises while Redis is away, silent, full or read-only."""

import asyncio

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from storage import RanksDown, Top
from storage.redis_pipeline import PipelineOptions
from storage.redis_ranks import RedisRanks
from tests.conformance.ranked import HIGHEST, fill, owners, standing
from tests.conformance.ranked_redis import QUICK, assert_incomplete, running, until, until_another_link, until_up
from tests.support.servers import RedisServer


async def test_while_redis_is_away_every_call_says_so_and_afterwards_all_is_well(
    ranks: RedisRanks, own_redis: RedisServer
) -> None:
    own_redis.kill()
    try:
        for _ in range(3):
            async with asyncio.timeout(2):
                for call in (
                    lambda: ranks.put(HIGHEST, [standing("a", 1)]),
                    lambda: ranks.read(HIGHEST, Top(0, 1)),
                    lambda: ranks.begin(HIGHEST),
                    lambda: ranks.finish(HIGHEST, "token", 1),
                    lambda: ranks.through(HIGHEST),
                    lambda: ranks.advance(HIGHEST, 1, 2),
                    lambda: ranks.drop(HIGHEST),
                ):
                    with pytest.raises(RanksDown):
                        await call()
    finally:
        own_redis.start()
    await until_up(ranks)

    await assert_incomplete(ranks)
    await fill(ranks, HIGHEST, [standing("a", 1)])
    assert owners(await ranks.read(HIGHEST, Top(0, 1))) == [(1, "a")]


async def test_a_redis_that_stays_silent_is_down_after_a_bounded_wait(
    ranks: RedisRanks, own_redis: RedisServer
) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])
    own_redis.pause()
    try:
        async with asyncio.timeout(QUICK.call_s + 1), asyncio.TaskGroup() as tasks:
            for n in range(50):
                tasks.create_task(expect_down(ranks, n))
        await until(lambda: ranks._pipeline.link == 0)
    finally:
        own_redis.resume()
    await until_up(ranks)

    assert await ranks.put(HIGHEST, [standing("b", 2)])


async def expect_down(ranks: RedisRanks, n: int) -> None:
    with pytest.raises(RanksDown):
        await ranks.put(HIGHEST, [standing(f"o{n}", n)])


async def test_an_index_may_be_opened_before_redis_is_there(own_redis: RedisServer) -> None:
    own_redis.kill()
    async with running(own_redis.url) as ranks:
        with pytest.raises(RanksDown):
            await ranks.through(HIGHEST)
        own_redis.start()
        await until_up(ranks)
        assert await ranks.through(HIGHEST) is None


async def test_a_connection_that_redis_closes_is_made_again_and_calls_wait_for_it(
    ranks: RedisRanks, operator: Redis
) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])
    for client in await operator.client_list():
        if client["name"] == "guildhall-ranks":
            await operator.client_kill_filter(_id=client["id"])
    await until(lambda: ranks._pipeline.link != 1)

    assert (await ranks.read(HIGHEST, Top(0, 1))).size == 1


async def test_a_redis_that_only_reads_is_down_until_it_writes(ranks: RedisRanks, operator: Redis) -> None:
    """As a primary is that has become a replica."""
    await operator.slaveof("127.0.0.1", 1)
    try:
        with pytest.raises(RanksDown):
            await ranks.begin(HIGHEST)
    finally:
        await operator.slaveof()
    await until_another_link(ranks, 1)

    await fill(ranks, HIGHEST)


async def test_a_redis_without_memory_is_down_and_says_so_once(ranks: RedisRanks, operator: Redis) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])
    await operator.config_set("maxmemory", "1")
    try:
        with capture_logs() as logs:
            for n in range(3):
                with pytest.raises(RanksDown, match="maxmemory"):
                    await ranks.put(HIGHEST, [standing("b", n)])
    finally:
        await operator.config_set("maxmemory", "0")

    assert [entry["event"] for entry in logs] == ["ranks.refused"]
    assert owners(await ranks.read(HIGHEST, Top(0, 9))) == [(1, "a")]


async def test_a_loss_and_the_return_are_logged_once_each(own_redis: RedisServer) -> None:
    with capture_logs() as logs:
        async with running(own_redis.url) as ranks:
            await ranks.through(HIGHEST)
            own_redis.kill()
            await asyncio.sleep(0.2)  # several attempts
            own_redis.start()
            await until_up(ranks)

    assert [entry["event"] for entry in logs] == ["ranks.lost", "ranks.restored"]


async def test_what_waits_is_bounded(own_redis: RedisServer, operator: Redis) -> None:
    small = PipelineOptions(waiting=10)
    async with running(own_redis.url, small) as ranks, asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(down_or_not(ranks)) for _ in range(15)]

    assert [call.result() for call in calls] == [None] * 10 + ["10 calls wait for Redis"] * 5


async def down_or_not(ranks: RedisRanks) -> str | None:
    try:
        await ranks.through(HIGHEST)
    except RanksDown as down:
        return str(down)
    return None


async def test_calls_that_wait_when_the_index_closes_fail(own_redis: RedisServer) -> None:
    own_redis.pause()
    try:
        async with asyncio.TaskGroup() as tasks:
            async with running(own_redis.url) as ranks:
                waiting = tasks.create_task(down_or_not(ranks))
                await asyncio.sleep(0)
    finally:
        own_redis.resume()

    assert waiting.result() == "closed"
    with pytest.raises(RanksDown, match="closed"):
        await ranks.through(HIGHEST)


async def test_a_cancelled_call_does_not_take_the_answer_of_another(ranks: RedisRanks) -> None:
    await fill(ranks, HIGHEST, [standing(f"o{n}", -n) for n in range(9)])
    async with asyncio.TaskGroup() as tasks:
        reads = [tasks.create_task(ranks.read(HIGHEST, Top(n, 1))) for n in range(9)]
        await asyncio.sleep(0)
        reads[0].cancel()  # before it is sent
        await until(lambda: bool(ranks._pipeline._sent))
        reads[4].cancel()  # on its way

    for n in (1, 2, 3, 5, 6, 7, 8):
        assert owners(reads[n].result()) == [(n + 1, f"o{n}")]
