"""Migrations on SQLite: all of them are one transaction, so a node that dies leaves nothing half done."""

import asyncio
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing

from storage.faults import Unusable
from storage.migrations import LEDGER, Applied, Migration, pending
from storage.reads import APPLIED
from storage.schema import with_core
from storage.sqlite_link import NOW_MS, opened, transaction, translating
from storage.store import StoreDown
from storage.urls import SqlitePlace

_BOUNDED = re.compile(r"(`?\w+`?)\s+(?:VARCHAR|VARBINARY)\s*\(\s*(\d+)\s*\)", re.IGNORECASE)
_MEDIUM = re.compile(r"(`?\w+`?)\s+MEDIUM(?:BLOB|TEXT)\b", re.IGNORECASE)
_MEDIUM_MOST = (1 << 24) - 1


def checked(sql: str) -> str:
    """``sql`` with the lengths that it declares enforced: SQLite by itself keeps a value of any length, and what a
    laptop accepts must not be refused in production."""
    bounded = _BOUNDED.sub(r"\g<0> CHECK (length(\1) <= \2)", sql)
    return _MEDIUM.sub(rf"\g<0> CHECK (length(\1) <= {_MEDIUM_MOST})", bounded)


async def migrate_sqlite(place: SqlitePlace, rooms: Mapping[str, Sequence[Migration]]) -> list[str]:
    """Apply what is missing, all or nothing; ``room/number`` of each. Makes the file and its folder.

    Raises:
        MigrationMismatch, StoreDown, Unusable: nothing was applied.
    """
    return await asyncio.to_thread(_migrate, place, rooms)


def _migrate(place: SqlitePlace, rooms: Mapping[str, Sequence[Migration]]) -> list[str]:
    try:
        place.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreDown(f"{place.path.parent}: {error.strerror}") from error
    with translating(), closing(opened(place.path, create=True)) as db, transaction(db):
        db.execute(LEDGER)
        todo = pending(with_core(rooms), applied(db))
        for step in todo:
            try:
                db.execute(checked(step.migration.sql))
            except sqlite3.Error as error:
                raise Unusable(f"migration {step.name}: {error}") from error
            db.execute(
                "INSERT INTO migrations (room, number, checksum, contracts, applied_ms)"  # noqa: S608
                f" VALUES (?, ?, ?, ?, {NOW_MS})",
                (
                    step.room,
                    step.migration.number,
                    step.migration.checksum,
                    step.migration.contracts,
                ),
            )
        return [step.name for step in todo]


def applied(db: sqlite3.Connection) -> list[Applied]:
    """What the database says was applied; nothing if it was never migrated."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone():
        return []
    return [
        Applied(room, number, checksum, bool(contracts), applied_ms)
        for room, number, checksum, contracts, applied_ms in db.execute(APPLIED)
    ]
