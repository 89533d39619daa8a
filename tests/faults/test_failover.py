"""The source of MariaDB is lost and its replica takes its place: which replication keeps what was acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pymysql
import pytest

from tests.faults.conftest import Report
from tests.faults.experiment import BACK_S, BUSY_S, Cluster, Experiment, Measured
from tests.faults.town import Town
from tests.support.proxy import Proxy
from tests.support.replicated import Pair, replicated_mariadb
from tests.support.servers import MariadbServer, RedisServer

pytestmark = [pytest.mark.timeout(180), pytest.mark.faults]
NOTICED_S = 1.0  # until whoever watches the source has seen that it is gone
BEHIND_S = 1.0  # for so long the replica has received nothing when the source is lost
MISSED = 20  # commits that are lost with an asynchronous replica, at least
STALL_S = 3.0  # a client gives a request up after so long, and a node its connections that lead nowhere
WAITING = "SHOW STATUS LIKE 'Rpl_semi_sync_master_wait_sessions'"  # commits, for the replica
Loss = Callable[[Pair], Awaitable[None]]


async def killed(pair: Pair) -> None:
    """The process ends: its connections are closed and new ones refused."""
    pair.source.kill()


async def hangs(pair: Pair) -> None:
    """The machine is gone: nothing ends, and nothing is answered any more."""
    pair.source.pause()


async def killed_ahead_of_its_replica(pair: Pair, missed: int = 0) -> None:
    """Killed when the replica has not been able to reach it for a while, and for so many commits."""
    await asyncio.to_thread(pair.replica.run, "STOP SLAVE IO_THREAD")
    before = await commits_of(pair.source)
    while await commits_of(pair.source) < before + missed:  # noqa: ASYNC110 - the server's own state
        await asyncio.sleep(0.1)
    await asyncio.sleep(BEHIND_S)
    pair.source.kill()


async def commits_of(server: MariadbServer) -> int:
    """How many have been written down there (tests/faults/finals.py)."""
    told = await asyncio.to_thread(server.told, "SELECT COUNT(*) AS noted FROM failover.fault_commits")
    return int(told["noted"])


class Failover:
    """Two nodes that reach the pair through a proxy, and the move from the one server to the other."""

    def __init__(self, pair: Pair, proxy: Proxy, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self._pair = pair
        self._proxy = proxy
        self._folder = folder

    async def after(self, loss: Loss, says: str, *, with_new_nodes: bool = False) -> Measured:
        """Lose the source, promote its replica, and judge what that one holds. Fails if the judge finds anything.

        ``with_new_nodes``: they are killed before the promotion and start after it, for where the replica has less than
        they have seen.
        """
        nodes = self.cluster.nodes if with_new_nodes else []

        async def fail_over(_: Town) -> None:
            await loss(self._pair)
            await asyncio.sleep(NOTICED_S)
            for node in nodes:
                await asyncio.to_thread(node.kill)
            await asyncio.to_thread(self._pair.promote)
            self._proxy.target = self._pair.replica.port
            for node in nodes:
                await asyncio.to_thread(node.start)

        return await Experiment(self.cluster, self._folder).run(says, fail_over)


@asynccontextmanager
async def ready(pair: Pair, broker: RedisServer, folder: Path) -> AsyncIterator[Failover]:
    """Nodes that serve from the source. Everybody goes through the proxy, whoever judges as well."""
    async with Proxy(pair.source.port).running() as proxy:
        with ExitStack() as running:
            store = pair.source.url("failover").replace(f":{pair.source.port}/", f":{proxy.port}/")
            cluster = Cluster(folder, store, broker.url, running)
            await cluster.add_more(2)
            yield Failover(pair, proxy, cluster, folder)


@pytest.mark.parametrize(
    ("loss", "says", "noticed_s"),
    [
        (killed, "the source of MariaDB is killed and its replica promoted", NOTICED_S),
        (hangs, "the source of MariaDB hangs and its replica is promoted", NOTICED_S + STALL_S),
        (
            killed_ahead_of_its_replica,
            "the source of MariaDB is cut from its replica for a second, then killed, and the replica promoted",
            BEHIND_S + NOTICED_S,
        ),
    ],
    ids=["killed", "hangs", "ahead"],
)
async def test_a_semi_synchronous_replica_takes_the_place_of_its_source(
    broker: RedisServer, tmp_path: Path, report: Report, loss: Loss, says: str, noticed_s: float
) -> None:
    with replicated_mariadb(semi_sync=True) as pair:
        async with ready(pair, broker, tmp_path) as failover:
            measured = await failover.after(loss, says)

    report(measured)
    assert measured.silence_s < noticed_s + BACK_S + BUSY_S
    failover.cluster.logged("")


async def test_an_asynchronous_replica_that_is_behind_has_lost_what_was_acknowledged(
    broker: RedisServer, tmp_path: Path
) -> None:
    """The loss that a semi-synchronous replica survives; here commits are acknowledged meanwhile, and the judge sees
    that they are gone."""
    loss = partial(killed_ahead_of_its_replica, missed=MISSED)
    with replicated_mariadb(semi_sync=False) as pair:
        async with ready(pair, broker, tmp_path) as failover:
            with pytest.raises(AssertionError, match=r"acknowledged +\d+ BROKEN"):
                await failover.after(loss, "acknowledged work is lost", with_new_nodes=True)


async def test_the_old_source_comes_back_with_what_the_promoted_replica_never_had() -> None:
    """A commit that waited for its replica was seen by nobody; when the source is started again it has happened."""
    with replicated_mariadb(semi_sync=True) as pair:
        pair.source.run("CREATE DATABASE town", "CREATE TABLE town.said (line INT PRIMARY KEY)")
        pair.replica.run("STOP SLAVE IO_THREAD")
        async with asyncio.TaskGroup() as tasks:
            saying = tasks.create_task(asyncio.to_thread(_fails, pair.source, "INSERT INTO town.said VALUES (1)"))
            while pair.source.told(WAITING)["Value"] != "1":  # noqa: ASYNC110 - the server's own state
                await asyncio.sleep(0.02)
            assert lines(pair.source) == 0
            pair.source.kill()
            await saying
        pair.promote()
        pair.source.start()

        assert (lines(pair.source), lines(pair.replica)) == (1, 0)


def lines(server: MariadbServer) -> int:
    """How many were said."""
    return int(server.told("SELECT COUNT(*) AS lines_said FROM town.said")["lines_said"])


def _fails(server: MariadbServer, statement: str) -> None:
    with pytest.raises(pymysql.OperationalError):
        server.run(statement)
