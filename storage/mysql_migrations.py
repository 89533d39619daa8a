"""Migrations on MySQL and MariaDB, where a change of the schema commits by itself.

So each is noted as begun before it runs and as applied after; one that was only begun is run again, and then what it
was to create may be there already.
"""

import re
from collections.abc import Mapping, Sequence

from storage.faults import Clash, Unusable
from storage.migrations import LEDGER, Applied, Migration, Pending, pending
from storage.mysql_link import EXISTS, GONE, Link, connected
from storage.mysql_text import literal
from storage.reads import APPLIED
from storage.schema import with_core
from storage.store import StoreDown
from storage.urls import MysqlPlace

WAIT_S = 60
"""How long a node waits, whole seconds, while another one migrates."""

CONNECT_S = 10
"""For reaching the server and being admitted."""

_CREATE_TABLE = re.compile(r"CREATE\s+TABLE\b", re.IGNORECASE)
_TABLE_OPTIONS = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"


async def migrate_mysql(place: MysqlPlace, rooms: Mapping[str, Sequence[Migration]]) -> list[str]:
    """Apply what is missing; ``room/number`` of each. One node at a time, the others wait for it.

    Raises:
        MigrationMismatch, StoreDown, Unusable: what was applied until then stays applied.
    """
    await _create_database(place)
    link = await connected(place, database=place.database, timeout_s=CONNECT_S)
    try:
        lock = literal(f"guildhall:{place.database}"[:64])
        ((answer,),) = await link.run(b"SELECT GET_LOCK(%b, %d)" % (lock, WAIT_S))
        if answer != (1,):
            raise StoreDown(f"{place}: another node has been migrating for {WAIT_S} s")
        await link.run(LEDGER.strip().encode() + _TABLE_OPTIONS.encode())
        todo = pending(with_core(rooms), await applied(link))
        for step in todo:
            await _apply(link, step)
        return [step.name for step in todo]
    finally:
        link.quit()  # gives the lock back


async def applied(link: Link) -> list[Applied]:
    """What the database says was applied; nothing if it was never migrated."""
    (found,) = await link.run(b"SHOW TABLES LIKE 'migrations'")
    if not found:
        return []
    (rows,) = await link.run(APPLIED.encode())
    return [Applied(room, number, checksum, bool(c), at) for room, number, checksum, c, at in rows]


async def _create_database(place: MysqlPlace) -> None:
    link = await connected(place, database=None, timeout_s=CONNECT_S)
    try:
        await link.run(
            b"CREATE DATABASE IF NOT EXISTS `%b` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            % place.database.replace("`", "``").encode()
        )
    except StoreDown:
        pass  # no right to create one: if it is missing too, connecting to it says so
    finally:
        link.quit()


async def _apply(link: Link, step: Pending) -> None:
    migration = step.migration
    key = b"room = %b AND number = %d" % (literal(step.room), migration.number)
    if not step.begun:
        await link.run(
            b"INSERT INTO migrations (room, number, checksum, contracts, applied_ms)"
            b" VALUES (%b, %d, %b, %d, 0)"
            % (
                literal(step.room),
                migration.number,
                literal(migration.checksum),
                migration.contracts,
            )
        )
    sql = migration.sql.strip().rstrip(";")
    if _CREATE_TABLE.match(sql):
        sql += _TABLE_OPTIONS
    try:
        await link.run(sql.encode())
    except (Clash, Unusable) as error:
        code = error.code if isinstance(error, Unusable) else None
        if not (step.begun and code in EXISTS | GONE):
            await link.run(b"DELETE FROM migrations WHERE " + key)
            raise Unusable(f"migration {step.name}: {error}", code) from error
    await link.run(b"UPDATE migrations SET applied_ms = CAST(UNIX_TIMESTAMP(NOW(6)) * 1000 AS SIGNED) WHERE " + key)
