"""A node that falls silent, or queues, must cost the others nothing: on MySQL and MariaDB."""

import asyncio
from contextlib import suppress

from storage import NodeRow, Snapshot, migrate
from storage.mysql import MysqlOptions, MysqlStore, open_mysql
from storage.mysql_link import BEGIN, TRANSACTION_IDLE_S, Link, MysqlPool
from storage.urls import MysqlPlace, parse_store_url

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
