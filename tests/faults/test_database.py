"""What happens to the database, and on the way to it."""

import asyncio
import threading
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pymysql
import pytest

from tests.faults.conftest import Report
from tests.faults.experiment import BACK_S, BUSY_S, LEASE_S, Cluster, Experiment
from tests.faults.finals import ask
from tests.faults.town import Town
from tests.support.proxy import Proxy
from tests.support.servers import MariadbServer

pytestmark = pytest.mark.timeout(180)
OUTAGE_S = 2 * LEASE_S
STALL_S = 3.0  # a client gives a request up after so long, and a commit under way is given up by its node
BETWEEN_S = 0.1
LOST = 20
STORM_S = 6.0
STORMS = 5  # until two transactions have met
LOCKERS = 3


def through(database: MariadbServer, store: str, proxy: Proxy) -> str:
    """The storage URL by way of the proxy."""
    return store.replace(f":{database.port}/", f":{proxy.port}/")


async def test_answers_to_commits_are_lost(
    cluster: Cluster, database: MariadbServer, tmp_path: Path, report: Report
) -> None:
    """The commit is applied, the connection dies: a repeat must not add a second line or a second movement."""
    async with Proxy(database.port).running() as proxy:
        for _ in range(2):
            await cluster.add(store=through(database, cluster.store, proxy))
        experiment = Experiment(cluster, tmp_path)

        async def lose(_: Town) -> None:
            for _n in range(LOST):
                await proxy.lose_answer()
                await asyncio.sleep(BETWEEN_S)
            experiment.note = f"{proxy.answers_lost} answers lost"

        measured = await experiment.run("commits are applied and their answers lost", lose)

        report(measured)
        assert proxy.answers_lost == LOST
        assert measured.silence_s < BACK_S + BUSY_S
        cluster.logged("")


@pytest.mark.faults
async def test_the_database_is_killed_and_restarted(
    cluster: Cluster, database: MariadbServer, tmp_path: Path, report: Report
) -> None:
    await cluster.add_more(2)

    async def kill(_: Town) -> None:
        database.kill()
        await asyncio.sleep(1)
        database.start()  # on this thread: the server ends with the one that started it

    measured = await Experiment(cluster, tmp_path).run("MariaDB is killed and restarted a second later", kill)

    report(measured)
    assert measured.silence_s < measured.ended - measured.began + BACK_S + BUSY_S
    cluster.logged("")


@pytest.mark.faults
async def test_the_database_is_paused_for_longer_than_a_lease(
    cluster: Cluster, database: MariadbServer, tmp_path: Path, report: Report
) -> None:
    await cluster.add_more(2)

    async def pause(_: Town) -> None:
        database.pause()
        await asyncio.sleep(OUTAGE_S)
        database.resume()

    measured = await Experiment(cluster, tmp_path).run("MariaDB is paused for two leases", pause)

    report(measured)
    assert measured.silence_s < OUTAGE_S + STALL_S + BACK_S
    cluster.logged("")


@pytest.mark.faults
async def test_the_way_to_the_database_is_slow_and_narrow(
    cluster: Cluster, database: MariadbServer, tmp_path: Path, report: Report
) -> None:
    async with Proxy(database.port).running() as proxy:
        for _ in range(2):
            await cluster.add(store=through(database, cluster.store, proxy))

        async def slow(_: Town) -> None:
            proxy.up.delay_s = proxy.down.delay_s = 0.1
            proxy.up.bytes_per_s = 500_000
            await asyncio.sleep(STORM_S)
            await proxy.mend()

        measured = await Experiment(cluster, tmp_path).run("the way to MariaDB is 0.1 s long and narrow", slow)

        report(measured)
        assert cluster.logged("lease.lost") == 0


@pytest.mark.faults
@pytest.mark.parametrize("how", ["cut", "silent"])
async def test_a_node_is_cut_from_the_database_alone(
    cluster: Cluster, database: MariadbServer, tmp_path: Path, report: Report, how: str
) -> None:
    async with Proxy(database.port).running() as proxy:
        await cluster.add(store=through(database, cluster.store, proxy))
        await cluster.add()

        async def cut(_: Town) -> None:
            if how == "cut":
                await proxy.cut()
            else:
                proxy.black_hole()
            await asyncio.sleep(OUTAGE_S)
            await proxy.mend()

        says = "its connections are reset" if how == "cut" else "nothing arrives"
        measured = await Experiment(cluster, tmp_path).run(f"a node is cut from MariaDB for two leases: {says}", cut)

        report(measured)
        assert measured.silence_s < OUTAGE_S + STALL_S + BACK_S
        cluster.logged("")


@pytest.mark.faults
async def test_others_lock_rows_in_the_wrong_order(
    cluster: Cluster, database: MariadbServer, tmp_path: Path, report: Report
) -> None:
    await cluster.add_more(2)
    experiment = Experiment(cluster, tmp_path)

    async def storm(_: Town) -> None:
        before, over = await _deadlocks(cluster), threading.Event()
        async with asyncio.TaskGroup() as lockers:
            for seed in range(LOCKERS):
                lockers.create_task(_lock_backwards(cluster, database, Random(seed), over))
            for _storm in range(STORMS):
                await asyncio.sleep(STORM_S)
                if await _deadlocks(cluster) > before:
                    break
            over.set()
        experiment.note = f"{await _deadlocks(cluster) - before} deadlocks"

    measured = await experiment.run("another program locks the rows of actors in the wrong order", storm)

    report(measured)
    assert not experiment.note.startswith("0 ")
    assert cluster.logged("lease.lost") == 0


async def _deadlocks(cluster: Cluster) -> int:
    rows = await ask(cluster.store, "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    return int(rows[0][1])


async def _lock_backwards(cluster: Cluster, database: MariadbServer, random: Random, over: threading.Event) -> None:
    """Until it is ``over``, transactions over a third of all actors, the last one first."""
    actors = sorted(actor for (actor,) in await ask(cluster.store, "SELECT actor FROM actors"))
    name = cluster.store.rpartition("/")[2]

    def storm() -> None:
        with closing(
            pymysql.connect(
                host=database.host, port=database.port, user=database.user, password=database.password, database=name
            )
        ) as link:
            while not over.is_set():
                with suppress(pymysql.MySQLError), link.cursor() as cursor:
                    for actor in sorted(random.sample(actors, len(actors) // 3), reverse=True):
                        cursor.execute("SELECT fence FROM actors WHERE actor = %s FOR UPDATE", (actor,))
                link.rollback()

    await asyncio.to_thread(storm)
