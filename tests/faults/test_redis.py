"""What happens to Redis, and on the way to it. Nothing durable is kept there, so nothing may be lost."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import redis

from tests.faults.conftest import Report
from tests.faults.experiment import BACK_S, BUSY_S, LEASE_S, Cluster, Experiment
from tests.faults.town import Town
from tests.support.proxy import Proxy
from tests.support.servers import MariadbServer, RedisServer

pytestmark = [pytest.mark.timeout(180), pytest.mark.faults]
OUTAGE_S = 2 * LEASE_S
STALL_S = 3.0  # a client gives a request up after so long


async def kill(broker: RedisServer) -> None:
    """And start it again: it keeps nothing, so it is empty."""
    broker.kill()
    await asyncio.sleep(1)
    broker.start()  # on this thread: the server ends with the one that started it


async def flush(broker: RedisServer) -> None:
    """Empty it, again and again."""
    with redis.Redis.from_url(broker.url) as operator:
        for _ in range(10):
            operator.flushall()
            await asyncio.sleep(0.2)


async def pause(broker: RedisServer) -> None:
    """It hangs, and answers nothing."""
    broker.pause()
    await asyncio.sleep(OUTAGE_S)
    broker.resume()


@pytest.mark.parametrize(
    ("says", "hurt"),
    [
        ("Redis is killed and restarted empty a second later", kill),
        ("FLUSHALL, ten times in two seconds", flush),
        ("Redis is paused for two leases", pause),
    ],
    ids=["killed", "flushed", "paused"],
)
async def test_redis_is_hurt(
    cluster: Cluster,
    broker: RedisServer,
    tmp_path: Path,
    report: Report,
    says: str,
    hurt: Callable[[RedisServer], Awaitable[None]],
) -> None:
    await cluster.add_more(2)

    async def fault(_: Town) -> None:
        await hurt(broker)

    measured = await Experiment(cluster, tmp_path).run(says, fault)

    report(measured)
    assert measured.silence_s < measured.ended - measured.began + STALL_S + BUSY_S
    assert cluster.logged("lease.lost") == 0, "leases are the database's affair"


@pytest.mark.parametrize("everything", [False, True], ids=["redis", "everything"])
async def test_a_node_is_cut_off(
    cluster: Cluster,
    database: MariadbServer,
    broker: RedisServer,
    tmp_path: Path,
    report: Report,
    everything: bool,
) -> None:
    async with Proxy(database.port).running() as to_database, Proxy(broker.port).running() as to_broker:
        store = cluster.store.replace(f":{database.port}/", f":{to_database.port}/")
        await cluster.add(store=store, bus=cluster.bus.replace(f":{broker.port}/", f":{to_broker.port}/"))
        await cluster.add()
        ways = [to_broker, to_database] if everything else [to_broker]

        async def cut(_: Town) -> None:
            for way in ways:
                way.black_hole()
            await asyncio.sleep(OUTAGE_S)
            for way in ways:
                await way.mend()

        whom = "MariaDB and Redis" if everything else "Redis"
        measured = await Experiment(cluster, tmp_path).run(f"nothing arrives between a node and {whom}", cut)

        report(measured)
        assert measured.silence_s < OUTAGE_S + STALL_S + BACK_S
        cluster.logged("")
