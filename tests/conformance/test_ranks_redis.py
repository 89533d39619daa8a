"""What ``RedisRanks`` promises when Redis forgets or comes back older; its pipelines and its names."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from storage import Top, open_ranks
from storage.redis_ranks import SCRIPT_STANDINGS, RedisRanks
from tests.conformance.ranked import HIGHEST, fill, owners, standing
from tests.conformance.ranked_redis import assert_incomplete, running, until_another_link
from tests.support.servers import RedisServer


# Redis forgets.
@pytest.mark.parametrize("command", ["flushall", "flushdb"])
async def test_a_flushed_table_is_incomplete_until_it_is_filled_again(
    ranks: RedisRanks, operator: Redis, command: str
) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1), standing("b", 2)], through_us=5)

    await getattr(operator, command)()

    await assert_incomplete(ranks)
    assert not await ranks.advance(HIGHEST, 5, 6)
    await fill(ranks, HIGHEST, [standing("a", 1), standing("b", 2)])
    assert owners(await ranks.read(HIGHEST, Top(0, 9))) == [(1, "b"), (2, "a")]


async def test_a_fill_that_a_flush_interrupts_has_to_begin_again(ranks: RedisRanks, operator: Redis) -> None:
    token = await ranks.begin(HIGHEST)
    await ranks.put(HIGHEST, [standing("a", 1)], filling=True)
    await operator.flushdb()
    await ranks.put(HIGHEST, [standing("b", 1)], filling=True)

    assert not await ranks.finish(HIGHEST, token, 5)
    await assert_incomplete(ranks)


@pytest.mark.parametrize("evicted", [0, 1], ids=["order", "owners"])
async def test_the_eviction_of_either_key_is_noticed(ranks: RedisRanks, operator: Redis, evicted: int) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1), standing("b", 2), standing("c", 3, removed=True)])

    await operator.delete(ranks._keys(HIGHEST)[evicted])

    await assert_incomplete(ranks)
    assert not await ranks.advance(HIGHEST, 1, 2)


@pytest.mark.parametrize("evicted", [0, 1], ids=["order", "owners"])
async def test_an_eviction_during_a_fill_is_noticed(ranks: RedisRanks, operator: Redis, evicted: int) -> None:
    token = await ranks.begin(HIGHEST)
    await ranks.put(HIGHEST, [standing("a", 1)], filling=True)
    await operator.delete(ranks._keys(HIGHEST)[evicted])
    await ranks.put(HIGHEST, [standing("b", 1)], filling=True)

    assert not await ranks.finish(HIGHEST, token, 5)
    await assert_incomplete(ranks)


async def test_an_evicted_order_stays_incomplete_while_one_owner_is_missing(ranks: RedisRanks, operator: Redis) -> None:
    await fill(ranks, HIGHEST, [standing(name, 1) for name in "abcd"])
    await operator.delete(ranks._keys(HIGHEST)[0])

    await ranks.put(HIGHEST, [standing("e", 1), standing("f", 1)], filling=True)
    await ranks.put(HIGHEST, [standing("a", 1, count=2), standing("b", 2, count=2, removed=True)], filling=True)
    await ranks.put(HIGHEST, [standing("c", 1, count=2)], filling=True)
    await assert_incomplete(ranks)


async def test_a_finished_fill_whose_order_was_evicted_does_not_finish_again(
    ranks: RedisRanks, operator: Redis
) -> None:
    token = await ranks.begin(HIGHEST)
    await ranks.put(HIGHEST, [standing("a", 1)], filling=True)
    assert await ranks.finish(HIGHEST, token, 5)
    await operator.delete(ranks._keys(HIGHEST)[0])

    assert not await ranks.finish(HIGHEST, token, 5)


async def test_scripts_that_redis_has_forgotten_are_sent_again(ranks: RedisRanks, operator: Redis) -> None:
    await operator.script_flush()
    await fill(ranks, HIGHEST, [standing("a", 1)])
    await operator.script_flush()

    async with asyncio.TaskGroup() as tasks:
        for n in range(20):
            tasks.create_task(ranks.put(HIGHEST, [standing(f"o{n}", n)]))
    assert (await ranks.read(HIGHEST, Top(0, 1))).size == 21
    await operator.script_flush()
    assert await ranks.advance(HIGHEST, 1, 2)


# Redis comes back older.
@pytest.fixture
async def older(own_redis: RedisServer, operator: Redis) -> AsyncIterator[Callable[[], None]]:
    """Ends Redis and starts it from the last SAVE."""

    def restore() -> None:
        own_redis.kill()
        own_redis.start()

    yield restore
    async with Redis.from_url(own_redis.url) as client:
        await client.flushall()
        await client.save()


async def test_an_index_restored_from_an_older_copy_has_the_older_watermark(
    ranks: RedisRanks, operator: Redis, older: Callable[[], None]
) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)], through_us=5)
    await operator.save()
    await ranks.put(HIGHEST, [standing("b", 2)])
    assert await ranks.advance(HIGHEST, 5, 9)

    older()
    await until_another_link(ranks, 1)

    assert not await ranks.advance(HIGHEST, 9, 12)
    assert await ranks.through(HIGHEST) == 5
    assert owners(await ranks.read(HIGHEST, Top(0, 9))) == [(1, "a")]
    await ranks.put(HIGHEST, [standing("b", 2)])
    assert await ranks.advance(HIGHEST, 5, 9)


async def test_what_was_put_before_the_index_became_older_does_not_count_for_its_watermark(
    ranks: RedisRanks, operator: Redis, older: Callable[[], None]
) -> None:
    """The copy has the same watermark, but not what was put since: moving it on would lose that for ever."""
    await fill(ranks, HIGHEST, through_us=5)
    await operator.save()
    since = await ranks.through(HIGHEST)
    assert since == 5
    await ranks.put(HIGHEST, [standing("b", 2)])

    older()
    await until_another_link(ranks, 1)

    assert not await ranks.advance(HIGHEST, 5, 9)
    assert await ranks.through(HIGHEST) == 5
    assert await ranks.advance(HIGHEST, 5, 9), "whoever was told anew may go on"


async def test_a_fill_that_became_older_has_to_begin_again(
    ranks: RedisRanks, operator: Redis, older: Callable[[], None]
) -> None:
    token = await ranks.begin(HIGHEST)
    await ranks.put(HIGHEST, [standing("a", 1)], filling=True)
    await operator.save()
    await ranks.put(HIGHEST, [standing("b", 2)], filling=True)

    older()
    await until_another_link(ranks, 1)
    await ranks.put(HIGHEST, [standing("c", 3)], filling=True)

    assert not await ranks.finish(HIGHEST, token, 5)
    await assert_incomplete(ranks)


async def test_a_finish_whose_answer_was_lost_can_be_asked_again(
    ranks: RedisRanks, operator: Redis, older: Callable[[], None]
) -> None:
    token = await ranks.begin(HIGHEST)
    assert await ranks.finish(HIGHEST, token, 5)
    await operator.save()

    older()
    await until_another_link(ranks, 1)

    assert await ranks.finish(HIGHEST, token, 5)


# Sending.
async def test_what_one_turn_asks_goes_out_together(ranks: RedisRanks, operator: Redis) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])  # Redis knows the script
    before = (await operator.info("stats"))["total_reads_processed"]
    async with asyncio.TaskGroup() as tasks:
        for n in range(100):
            tasks.create_task(ranks.put(HIGHEST, [standing(f"o{n}", n)]))
    after = (await operator.info("stats"))["total_reads_processed"]

    assert after - before < 10  # the pipeline, INFO itself, perhaps a ping


async def test_a_large_put_is_many_scripts_so_that_none_stops_redis_for_long(
    ranks: RedisRanks, operator: Redis
) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])  # Redis knows the script
    await operator.config_resetstat()

    await ranks.put(HIGHEST, [standing(f"o{n}", n) for n in range(1000)])

    stats = await operator.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1000 / SCRIPT_STANDINGS
    assert (await ranks.read(HIGHEST, Top(0, 1))).size == 1001


# Names.
async def test_scopes_do_not_see_each_other(own_redis: RedisServer, operator: Redis) -> None:
    async with running(own_redis.url, scope="one") as one, running(own_redis.url, scope="other") as other:
        await fill(one, HIGHEST, [standing("a", 1)])
        await assert_incomplete(other)
        await fill(other, HIGHEST, [standing("b", 1)])
        await one.drop(HIGHEST)

        assert owners(await other.read(HIGHEST, Top(0, 9))) == [(1, "b")]


async def test_who_gives_the_same_scope_shares_the_tables(own_redis: RedisServer, operator: Redis) -> None:
    async with open_ranks(own_redis.url, "epoch") as here, open_ranks(own_redis.url, "epoch") as there:
        await fill(here, HIGHEST, [standing("a", 1)])
        await there.put(HIGHEST, [standing("b", 2)])

        assert owners(await here.read(HIGHEST, Top(0, 9))) == [(1, "b"), (2, "a")]


async def test_the_keys_of_a_table_would_share_a_node_of_a_redis_cluster(ranks: RedisRanks, operator: Redis) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])

    assert sorted(await operator.keys("*")) == sorted(ranks._keys(HIGHEST))
    assert len({key_slot(key) for key in ranks._keys(HIGHEST)}) == 1


async def test_a_dropped_table_leaves_nothing_in_redis(ranks: RedisRanks, operator: Redis) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])

    await ranks.drop(HIGHEST)

    assert await operator.keys("*") == []


def test_a_wrong_url_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="the bus URL is wrong"):
        open_ranks("redis:///0", "epoch")
