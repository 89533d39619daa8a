"""A node that falls silent, or queues, must cost the others nothing: on MySQL and MariaDB."""

import asyncio
from contextlib import suppress

import pytest

from storage import NodeRow, Outcome, Snapshot, StoreDown, migrate
from storage.mysql import MysqlOptions, MysqlStore, open_mysql
from storage.mysql_link import BEGIN, TRANSACTION_IDLE_S, Link, MysqlPool
from storage.urls import MysqlPlace, parse_store_url
from tests.conformance.nodes import alive, committed, note, taken
from tests.support.proxy import Proxy
from tests.support.servers import MariadbServer

MARGIN_S = 2.0


def place(url: str) -> MysqlPlace:
    found = parse_store_url(url)
    assert isinstance(found, MysqlPlace)
    return found


async def test_a_node_that_stops_in_the_middle_of_a_transaction_gives_its_locks_up_within_two_seconds(
    mysql_url: str,
) -> None:
    """A frozen or lost machine kept the rows that its commit had locked: nobody could take over these actors."""
    await migrate(mysql_url, {})
    locked = asyncio.Event()
    silent = MysqlPool(place(mysql_url), size=1, timeout_s=60)

    async def lock_and_stop(link: Link) -> None:
        await link.run(b"%b;SELECT * FROM actors WHERE actor = 'guild:42' FOR UPDATE" % BEGIN)
        locked.set()
        await asyncio.Event().wait()

    async with open_mysql(place(mysql_url)) as store, asyncio.TaskGroup() as tasks:
        await store.claim("one", ["guild:42"])
        frozen = tasks.create_task(silent.run(lock_and_stop))
        await locked.wait()
        async with asyncio.timeout(TRANSACTION_IDLE_S + MARGIN_S):
            (taken,) = await store.claim("two", ["guild:42"])
        frozen.cancel()
        with suppress(asyncio.CancelledError):
            await frozen
    await silent.aclose()
    assert isinstance(taken, Snapshot)


async def test_a_lease_is_renewed_while_reads_that_hang_hold_every_other_connection(mysql_url: str) -> None:
    """An operator's ALTER TABLE, or a slow query: the node lost its lease although the database was there."""
    await migrate(mysql_url, {})
    async with open_mysql(place(mysql_url), MysqlOptions(connections=2)) as store, asyncio.TaskGroup() as tasks:
        hanging = [tasks.create_task(_hang(store)) for _ in range(8)]
        await asyncio.sleep(0)
        async with asyncio.timeout(MARGIN_S):
            (alive,) = await store.renew(NodeRow("one", "here:7350", draining=False), 10.0)
        for read in hanging:
            read.cancel()
    assert alive.node == "one"


async def _hang(store: MysqlStore) -> None:
    await store.select("SELECT SLEEP(5)")


def through(url: str, mariadb: MariadbServer, proxy: Proxy) -> MysqlPlace:
    """The same database by way of the proxy."""
    return place(url.replace(f":{mariadb.port}/", f":{proxy.port}/"))


async def test_an_answer_that_did_not_come_ends_the_trust_in_every_idle_connection(
    mysql_url: str, mariadb: MariadbServer
) -> None:
    """The machine of the server was lost and another one took its address: each connection that had been idle cost the
    whole time limit once more, 20 seconds for two."""
    await migrate(mysql_url, {})
    async with (
        Proxy(mariadb.port).running() as proxy,
        open_mysql(through(mysql_url, mariadb, proxy), MysqlOptions(connections=3, timeout_s=0.5)) as store,
    ):
        held = await taken(store, "guild:42")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(store.select("SELECT SLEEP(0.1)"))
        proxy.strand()

        with pytest.raises(StoreDown, match=r"no answer within 0\.5 s"):
            await committed(store, held, slices=note("x"))
        assert await committed(store, held, slices=note("x")) is Outcome.DONE


async def test_what_waits_on_a_connection_that_leads_nowhere_is_given_up_when_a_new_one_renews_the_lease(
    mysql_url: str, mariadb: MariadbServer
) -> None:
    """A commit went on waiting at the lost server for the whole time limit, although the node had its lease from the
    promoted one."""
    await migrate(mysql_url, {})
    async with (
        Proxy(mariadb.port).running() as proxy,
        open_mysql(through(mysql_url, mariadb, proxy), MysqlOptions(timeout_s=60)) as store,
        asyncio.TaskGroup() as tasks,
    ):
        await alive(store, "north")
        held = await taken(store, "guild:42")
        proxy.strand()
        waiting = tasks.create_task(_given_up(store, held))
        await asyncio.sleep(0)

        with pytest.raises(StoreDown):
            await alive(store, "north", lease_s=1)
        await alive(store, "north")

        async with asyncio.timeout(MARGIN_S):
            await waiting
            assert await committed(store, held, slices=note("x")) is Outcome.DONE


async def _given_up(store: MysqlStore, held: Snapshot) -> None:
    with pytest.raises(StoreDown):
        await committed(store, held, slices=note("x"))
