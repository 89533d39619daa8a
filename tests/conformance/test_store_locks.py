"""MySQL and MariaDB lock the rows of ``actors`` in the order that the product says, whatever order that is."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from storage import Outcome, migrate
from storage import commits as product
from storage.mysql import MysqlStore, open_mysql
from storage.mysql_link import BEGIN, ROLLBACK, Link, MysqlPool
from storage.mysql_text import literal
from storage.urls import MysqlPlace, parse_store_url
from tests.conformance.nodes import taken, write

ACTORS = ['guild:"1"', "guild:\\2\\", "guild:'3'", "guild:four", "guild:ığ😀"]
MIDDLE = "guild:'3'"
BATCH = [ACTORS[place] for place in (3, 0, 4, 2, 1)]
WAITS = "Innodb_row_lock_current_waits"
PATIENCE_S = 10.0
Order = Callable[[Iterable[str]], list[str]]


def backwards(actors: Iterable[str]) -> list[str]:
    return sorted(actors, reverse=True)


@pytest.mark.parametrize("order", [product.lock_order, backwards], ids=["in key order", "backwards"])
async def test_rows_are_locked_in_the_order_of_the_product(
    mysql_url: str, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    await migrate(mysql_url, {})
    place = parse_store_url(mysql_url)
    assert isinstance(place, MysqlPlace)
    rival = MysqlPool(place, size=1, timeout_s=PATIENCE_S)
    async with open_mysql(place) as store:
        held = [await taken(store, actor) for actor in BATCH]
        monkeypatch.setattr(product, "lock_order", order)

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

    in_order = order(ACTORS)
    assert free == set(in_order[in_order.index(MIDDLE) :])


async def _until_somebody_waits(store: MysqlStore) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await store.select(f"SHOW GLOBAL STATUS LIKE '{WAITS}'") == [(WAITS, "0")]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)
