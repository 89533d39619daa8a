"""From a storage URL to an open, migrated store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from storage.migrations import Migration
from storage.sqlite import edit_sqlite, look_into_sqlite, open_sqlite
from storage.sqlite_migrations import migrate_sqlite
from storage.store import Editor, Store
from storage.urls import MysqlPlace, SqlitePlace, parse_store_url

if TYPE_CHECKING:
    from storage.mysql import MysqlStore


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """The store at ``url``: ``sqlite:///PATH`` or ``mysql://USER:PASSWORD@HOST:PORT/DATABASE``.

    Raises:
        ValueError: another form of URL.
        SchemaBehind: ``migrate`` has to run first.
        StoreLocked: another process serves from this SQLite file.
        StoreDown: no such server or database, or it does not admit us.
    """
    place = parse_store_url(url)
    opener = open_sqlite(place) if isinstance(place, SqlitePlace) else _open_mysql(place)
    async with opener as store:
        yield store


@asynccontextmanager
async def look_into_store(url: str) -> AsyncIterator[Store]:
    """The store at ``url`` for an operator's eyes: reads only, also beside the node that an SQLite file belongs to.

    Raises:
        As ``open_store``, but for StoreLocked.
    """
    place = parse_store_url(url)
    opener = look_into_sqlite(place) if isinstance(place, SqlitePlace) else _open_mysql(place)
    async with opener as store:
        yield store


@asynccontextmanager
async def edit_store(url: str) -> AsyncIterator[Editor]:
    """The store at ``url`` for an operator's change to a room's own table, also beside the nodes that serve from it:
    claims nothing, ends no lease.

    Raises:
        As ``open_store``, but for StoreLocked.
    """
    place = parse_store_url(url)
    opener = edit_sqlite(place) if isinstance(place, SqlitePlace) else _open_mysql(place)
    async with opener as editor:
        yield editor


async def migrate(url: str, rooms: Mapping[str, Sequence[Migration]]) -> list[str]:
    """Bring the schema at ``url`` up to date: the runtime's own tables (``core``), then each room's, in order.

    Returns ``room/number`` of what was applied, nothing if all was. Nodes that start at once may all call it: one
    works, the others wait. Makes the database if there is none and the user has the right to.

    Raises:
        ValueError: another form of URL, or a room whose numbers are not 1, 2, 3, ...
        MigrationMismatch: the database has another text under a number, or a newer release's contraction.
        StoreDown: no such server or database, or another node has been migrating for a minute.
        Unusable: a statement that the database refuses; what was applied before it stays on MySQL.
    """
    place = parse_store_url(url)
    if isinstance(place, SqlitePlace):
        return await migrate_sqlite(place, rooms)
    from storage.mysql_migrations import migrate_mysql  # noqa: PLC0415 - as _open_mysql

    return await migrate_mysql(place, rooms)


def _open_mysql(place: MysqlPlace) -> "AbstractAsyncContextManager[MysqlStore]":
    from storage.mysql import open_mysql  # noqa: PLC0415 - a node on SQLite starts sooner without the driver

    return open_mysql(place)
