"""The Store on SQLite: one file, one process, one node.

All writing happens in one thread, one transaction at a time; reads have a connection and a thread of their own (in WAL
mode they see the last commit and never wait for a writer).
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from storage import commits, reads
from storage.commits import ActorRow, Row
from storage.faults import Clash, Unusable
from storage.migrations import SchemaBehind, pending
from storage.reads import Query
from storage.schema import CORE
from storage.sqlite_link import NOW_MS, SqliteThread, apply, locked, thread_for, transaction
from storage.sqlite_migrations import applied
from storage.store import (
    ActorWrite,
    CommitResult,
    DueTimer,
    EventRange,
    EventRow,
    NodeRow,
    Outcome,
    OwnedElsewhere,
    Position,
    Record,
    Refused,
    Snapshot,
    Taken,
)
from storage.urls import SqlitePlace

T = TypeVar("T")


class SqliteStore:
    """See ``Store``. ``writer`` and ``reader`` are threads on the same migrated file."""

    def __init__(self, writer: SqliteThread, reader: SqliteThread) -> None:
        self._writer = writer
        self._reader = reader
        self._first_fence = 0

    async def claim(self, node: str, actors: Sequence[str]) -> list[Snapshot | OwnedElsewhere]:
        if not actors:
            return []
        return await self._write(lambda db: self._claim(db, node, actors))

    async def commit(self, writes: Sequence[ActorWrite]) -> list[CommitResult]:
        if not writes:
            return []
        try:
            return await self._write(lambda db: _commit(db, writes))
        except (Clash, Unusable):
            # Some write of the batch cannot be applied. Halving finds it in few transactions.
            if len(writes) == 1:
                return [await self._writer.run(lambda db: _commit_apart(db, writes[0]))]
            middle = len(writes) // 2
            return [*await self.commit(writes[:middle]), *await self.commit(writes[middle:])]

    async def read_events(self, span: EventRange) -> list[EventRow]:
        return reads.events(span, await self._read(reads.events_query(span)))

    async def positions(self, topics: Sequence[str]) -> dict[str, Position]:
        return reads.positions(await self._read(reads.positions_query(topics)))

    async def due(
        self, shards: Sequence[int], *, timers_until_ms: int, tells_until_ms: int | None, limit: int
    ) -> tuple[list[DueTimer], list[str]]:
        queries = reads.due_queries(shards, timers_until_ms=timers_until_ms, tells_until_ms=tells_until_ms, limit=limit)
        return reads.due(*[await self._read(query) for query in queries])

    async def renew(self, node: NodeRow, lease_s: float, *, held: bool = False) -> list[NodeRow]:
        return await self._write(lambda db: _renew(db, node, lease_s, held=held))

    async def select(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._read(Query(sql, values))

    async def edit(self, records: Sequence[Record]) -> None:
        steps = commits.record_steps(records)

        def work(db: sqlite3.Connection) -> None:
            for step in steps:
                apply(db, step)

        await self._write(work)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def whole(db: sqlite3.Connection) -> T:
            with transaction(db):
                return work(db)

        return await self._writer.run(whole)

    async def _read(self, query: Query) -> list[Row]:
        return await self._reader.run(lambda db: _rows(db, query))

    def _claim(self, db: sqlite3.Connection, node: str, actors: Sequence[str]) -> list[Snapshot | OwnedElsewhere]:
        now_ms = _now_ms(db)
        live = {name for (name,) in db.execute("SELECT node FROM nodes WHERE expires_ms > ?", (now_ms,))}
        # A row that was dropped and made again must not repeat a fence: hence the clock, and never the same twice.
        self._first_fence = max(now_ms * 1000, self._first_fence + 1)
        takeover = reads.take_over(node, actors, _actor_rows(db, actors).values(), live, self._first_fence)
        db.executemany(
            "UPDATE actors SET owner = ?, fence = fence + 1 WHERE actor = ?",
            [(node, actor) for actor in takeover.taken],
        )
        db.executemany(
            "INSERT INTO actors (actor, owner, fence, version, told) VALUES (?, ?, ?, 0, 0)",
            [(actor, node, takeover.fences[actor]) for actor in takeover.fresh],
        )
        loaded = [_rows(db, query) for query in reads.load_queries(takeover.written)]
        return reads.snapshots(takeover, actors, loaded)


def _commit(db: sqlite3.Connection, writes: Sequence[ActorWrite]) -> list[CommitResult]:
    rows = _actor_rows(db, [write.actor for write in writes])
    verdicts = [commits.judge(write, rows.get(write.actor)) for write in writes]
    passed = [w for w, verdict in zip(writes, verdicts, strict=True) if verdict is None]
    if passed:
        owners = {actor: row.owner for actor, row in rows.items()}
        for step in commits.steps(passed, owners, _oldest(db, passed)):
            apply(db, step)
    return [verdict or Outcome.DONE for verdict in verdicts]


def _commit_apart(db: sqlite3.Connection, write: ActorWrite) -> CommitResult:
    """Apply one write step by step, to answer for the step that fails."""
    culprit: Taken | None = None
    try:
        with transaction(db):
            row = _actor_rows(db, [write.actor]).get(write.actor)
            verdict = commits.judge(write, row)
            if verdict is not None or row is None:
                return verdict or Outcome.FENCED
            oldest = _oldest(db, [write])
            for step in commits.steps_apart(write, {row.actor: row.owner}, oldest):
                culprit = step.culprit if isinstance(step, commits.Put) else None
                apply(db, step)
    except Unusable as refusal:
        return Refused(str(refusal))
    except Clash as clash:
        if culprit is None:
            return Refused(str(clash))
        if culprit.event is not None:
            event = write.events[culprit.event]
            if _rows(db, reads.seq_query(event.topic, event.seq)):
                return Outcome.FENCED  # the topic has another history than this actor believes
        return culprit
    return Outcome.DONE


def _renew(db: sqlite3.Connection, node: NodeRow, lease_s: float, *, held: bool) -> list[NodeRow]:
    now_ms = _now_ms(db)
    if lease_s > 0 and held:
        db.execute(
            "UPDATE nodes SET address = ?, draining = ?, expires_ms = ? WHERE node = ? AND expires_ms > ?",
            (node.address, node.draining, now_ms + round(lease_s * 1000), node.node, now_ms),
        )
    elif lease_s > 0:
        db.execute(
            "INSERT INTO nodes (node, address, draining, expires_ms) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (node) DO UPDATE SET address = excluded.address,"
            " draining = excluded.draining, expires_ms = excluded.expires_ms",
            (node.node, node.address, node.draining, now_ms + round(lease_s * 1000)),
        )
    else:
        db.execute("DELETE FROM nodes WHERE node = ?", (node.node,))
    rows = db.execute("SELECT node, address, draining, expires_ms FROM nodes").fetchall()
    for name in reads.forgotten(rows, now_ms):
        db.execute("DELETE FROM nodes WHERE node = ?", (name,))
    return reads.live_nodes(rows, now_ms)


def _actor_rows(db: sqlite3.Connection, actors: Sequence[str]) -> dict[str, ActorRow]:
    rows = _rows(
        db,
        Query(
            "SELECT actor, owner, fence, version, told FROM actors"  # noqa: S608
            f" WHERE actor IN ({reads.marks(len(actors))})",
            actors,
        ),
    )
    return {row[0]: ActorRow._make(row) for row in rows}


def _oldest(db: sqlite3.Connection, writes: Sequence[ActorWrite]) -> dict[str, int]:
    topics = commits.cut_topics(writes)
    return dict(_rows(db, reads.oldest_query(topics))) if topics else {}


def _now_ms(db: sqlite3.Connection) -> int:
    now_ms: int = db.execute(f"SELECT {NOW_MS}").fetchone()[0]
    return now_ms


def _rows(db: sqlite3.Connection, query: Query) -> list[Row]:
    return db.execute(query.sql, query.values).fetchall()


@asynccontextmanager
async def look_into_sqlite(place: SqlitePlace) -> AsyncIterator[SqliteStore]:
    """The store for reading only, beside a node that may be serving from the file: takes no lock, ends no lease.

    Raises:
        SchemaBehind: there is no such file.
        StoreDown: the file cannot be read.
    """
    if not await asyncio.to_thread(place.path.exists):
        raise SchemaBehind(f"{place.path} does not exist; run the migrations")
    async with thread_for(place.path, name="sqlite-reader", read_only=True) as reader:
        yield SqliteStore(reader, reader)


@asynccontextmanager
async def edit_sqlite(place: SqlitePlace) -> AsyncIterator[SqliteStore]:
    """The store for ``edit`` and ``select`` beside a node that may be serving from the file: takes no lock, ends no
    lease. A node's own transactions wait for ours a moment, and ours for theirs.

    Raises:
        SchemaBehind: there is no such file.
        StoreDown: the file cannot be read or written.
    """
    if not await asyncio.to_thread(place.path.exists):
        raise SchemaBehind(f"{place.path} does not exist; run the migrations")
    async with thread_for(place.path, name="sqlite-editor", read_only=False) as editor:
        yield SqliteStore(editor, editor)


@asynccontextmanager
async def open_sqlite(place: SqlitePlace) -> AsyncIterator[SqliteStore]:
    """The store of a migrated file.

    The lock proves that no other process serves from the file, so the leases that it holds are over.

    Raises:
        SchemaBehind: there is no such file, or the runtime's tables are missing or of an older release.
        StoreLocked: another process has it open.
        StoreDown: the file cannot be read or written.
    """
    if not await asyncio.to_thread(place.path.exists):
        raise SchemaBehind(f"{place.path} does not exist; run the migrations")
    with locked(place):
        async with (
            thread_for(place.path, name="sqlite-writer", read_only=False) as writer,
            thread_for(place.path, name="sqlite-reader", read_only=True) as reader,
        ):
            missing = pending({"core": CORE}, await writer.run(applied))
            if missing:
                raise SchemaBehind(
                    f"{place.path} has not been migrated: {missing[0].name} is missing; run the migrations"
                )
            await writer.run(lambda db: db.execute("DELETE FROM nodes"))
            yield SqliteStore(writer, reader)
