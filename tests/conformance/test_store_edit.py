"""An operator's change to a room's own table, beside the nodes that serve from the database."""

import pytest

from storage import Clash, Delete, Insert, Outcome, SchemaBehind, Unusable, Upsert, edit_store, migrate, open_store
from tests.conformance.conftest import ROOM
from tests.conformance.nodes import alive, committed, taken

ROWS = "SELECT id, amount FROM purse_log ORDER BY id"


def row(key: str, amount: int) -> Insert:
    return Insert("purse_log", {"id": key, "amount": amount})


@pytest.fixture
async def url(empty_url: str) -> str:
    await migrate(empty_url, {"purse": ROOM})
    return empty_url


async def test_rows_are_put_changed_and_deleted_in_order(url: str) -> None:
    async with edit_store(url) as editor:
        await editor.edit([row("a", 1), row("b", 2), row("c", 3)])
        await editor.edit([Upsert("purse_log", {"id": "a", "amount": 10}, ("id",)), Delete("purse_log", {"id": "b"})])

        assert await editor.select(ROWS) == [("a", 10), ("c", 3)]


async def test_an_edit_is_all_or_nothing(url: str) -> None:
    async with edit_store(url) as editor:
        await editor.edit([row("a", 1)])
        with pytest.raises(Clash):
            await editor.edit([row("b", 2), row("a", 3)])
        with pytest.raises(Unusable):
            await editor.edit([row("b", 2), Insert("no_such_table", {"id": "x"})])

        assert await editor.select(ROWS) == [("a", 1)]


async def test_a_node_that_serves_goes_on_and_sees_the_edit(url: str) -> None:
    async with open_store(url) as store:
        await alive(store, "north")
        held = await taken(store, "guild:42")
        async with edit_store(url) as editor:
            await editor.edit([row("a", 1)])
        assert await store.select(ROWS) == [("a", 1)]

        assert await committed(store, held, told=1) == Outcome.DONE
        assert await store.select("SELECT node FROM nodes") == [("north",)]


async def test_a_database_that_was_never_migrated_is_not_edited(sqlite_url: str) -> None:
    with pytest.raises(SchemaBehind):
        async with edit_store(sqlite_url):
            pytest.fail("there is nothing to edit")
