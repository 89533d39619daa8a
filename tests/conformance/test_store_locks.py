"""What a transaction locks: its own rows, one after the other in the order of the product, and not the places between
them where others have theirs."""

import asyncio
from contextlib import closing

import pytest

from storage import Outcome, StoreDown, TellRow, migrate, open_store
from storage.commits import lock_order
from storage.mysql import MysqlStore, _locked, open_mysql
from storage.mysql_link import BEGIN, ROLLBACK, SESSION, Link, MysqlPool
from storage.mysql_text import literal
from storage.urls import MysqlPlace, parse_store_url
from tests.conformance.nodes import alive, committed, taken, write
from tests.support.servers import driver

ACTORS = ['guild:"1"', "guild:\\2\\", "guild:'3'", "guild:four", "guild:ığ😀"]
MIDDLE = "guild:'3'"
BATCH = [ACTORS[place] for place in (3, 0, 4, 2, 1)]
WAITS = "Innodb_row_lock_current_waits"
PATIENCE_S = 10.0


@pytest.mark.parametrize("told", ['["guild:1", null, 7, 1, 0]', '["guild:1", null, 7, 1, 0],["guild:2", "nor', None])
def test_rows_of_which_the_server_has_cut_the_text_are_not_taken_for_all_that_are_locked(told: str | None) -> None:
    with pytest.raises(StoreDown):
        _locked([(2, told)])


async def test_rows_are_locked_in_the_order_of_the_product(mysql_url: str) -> None:
    """The server chooses it; the simulation goes by ``lock_order``, and so must the server."""
    await migrate(mysql_url, {})
    place = parse_store_url(mysql_url)
    assert isinstance(place, MysqlPlace)
    rival = MysqlPool(place, size=1, timeout_s=PATIENCE_S)
    async with open_mysql(place) as store:
        held = [await taken(store, actor) for actor in BATCH]

        async def free_while_it_waits(link: Link) -> set[str]:
            """The rival holds the row in the middle; which rows a commit of all has not locked when it waits there."""
            await link.run(b"%b;SELECT 1 FROM actors WHERE actor = %b FOR UPDATE" % (BEGIN, literal(MIDDLE)))
            async with asyncio.TaskGroup() as tasks:
                committing = tasks.create_task(store.commit([write(one) for one in held]))
                await _until_somebody_waits(store)
                *_, rows = await link.run(b"SELECT actor FROM actors FOR UPDATE SKIP LOCKED")
                await link.run(ROLLBACK)
            assert committing.result() == [Outcome.DONE] * len(held)
            return {actor for (actor,) in rows}

        free = await rival.run(free_while_it_waits)
        await rival.aclose()

    in_order = lock_order(ACTORS)
    assert free == set(in_order[in_order.index(MIDDLE) :])


async def _until_somebody_waits(store: MysqlStore) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await store.select(f"SHOW GLOBAL STATUS LIKE '{WAITS}'") == [(WAITS, "0")]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.timeout(20)
async def test_a_transaction_that_finds_nothing_keeps_nobody_from_writing_there(mysql_url: str) -> None:
    """It deletes what is delivered already, as a repeated commit does; with gap locks its neighbours would wait for it,
    and two of them for each other."""
    await migrate(mysql_url, {})
    place = parse_store_url(mysql_url)
    assert isinstance(place, MysqlPlace)
    async with open_store(mysql_url) as store:
        await alive(store, "north")
        held = await taken(store, "guild:b")
        with closing(driver(place)) as neighbour:
            with neighbour.cursor() as cursor:
                for setting in SESSION:
                    cursor.execute(setting.decode())
                cursor.execute("START TRANSACTION")
                for actor in ("guild:a", "guild:c"):
                    cursor.execute("DELETE FROM outbox WHERE actor = %s AND number = 1", (actor,))
                    cursor.execute("DELETE FROM topic_events WHERE topic = %s AND seq = 1", (actor,))
            assert await committed(store, held, outbox=[TellRow(1, "player:x", b"", 1)]) is Outcome.DONE
            neighbour.rollback()
