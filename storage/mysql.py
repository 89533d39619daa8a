"""The Store on MySQL 8 and MariaDB 10.6 or later.

A commit is one packet whatever its size: it takes for granted that every row of ``actors`` is as its write says, and
fails where one is not. Then, and in a claim, one packet begins the transaction, locks the rows of ``actors`` one after
the other and reads them; another writes (or loads) everything and commits. Reads run by themselves in autocommit.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from storage import commits, reads
from storage.attempts import Sleep, tried
from storage.commits import ActorRow
from storage.faults import Clash, Contended, Unusable
from storage.migrations import SchemaBehind, pending
from storage.mysql_link import BEGIN, COMMIT, ROLLBACK, Link, MysqlPool
from storage.mysql_migrations import applied
from storage.mysql_text import advanced, literal, packets, rendered, statements
from storage.mysql_wire import Rows
from storage.reads import Query
from storage.schema import CORE
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
    StoreDown,
    Taken,
)
from storage.urls import MysqlPlace

T = TypeVar("T")

RENEWAL_S = 0.5
"""A try to renew a lease may take so long however short the lease is, seconds."""

PACKET_MARGIN = 1024
"""Bytes of ``max_allowed_packet`` that are left free."""

_NOW_MS = b"CAST(UNIX_TIMESTAMP(NOW(6)) * 1000 AS SIGNED)"

# A row that was dropped and made again must not repeat a fence, or a paused owner could write into it: hence the clock.
_FIRST_FENCE = b"SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"


class MysqlOptions(Struct, frozen=True):
    """How a node uses its server."""

    connections: int = 8
    """At most so many at once; a commit lane needs one, reads share the rest. One more renews the lease."""
    timeout_s: float = 10.0
    """For each call of the Store, waiting for a connection included; then it is StoreDown."""


class MysqlStore:
    """See ``Store``. ``random`` and ``sleep`` space out the tries after a deadlock. ``renewals``: connections for
    leases alone, so that a renewal waits behind no read and no commit."""

    def __init__(
        self,
        pool: MysqlPool,
        *,
        max_packet: int,
        renewals: MysqlPool | None = None,
        random: Random | None = None,
        sleep: Sleep = asyncio.sleep,  # noqa: TID251 - a pause between tries, not part of any promise
    ) -> None:
        self._pool = pool
        self._renewals = renewals or pool
        self._doubtful = False
        """Whether the last renewal failed: older connections may lead to a server that is not there any more."""
        self._max_packet = max_packet
        self._random = random or Random()  # noqa: S311 - jitter
        self._sleep = sleep

    async def claim(self, node: str, actors: Sequence[str]) -> list[Snapshot | OwnedElsewhere]:
        if not actors:
            return []

        async def work(link: Link) -> list[Snapshot | OwnedElsewhere]:
            _, _, locked, live, fence = await link.run(
                b"%b;%b;SELECT node FROM nodes WHERE expires_ms > %b;%b" % (BEGIN, _lock(actors), _NOW_MS, _FIRST_FENCE)
            )
            takeover = reads.take_over(node, actors, _locked(locked), {name for (name,) in live}, fence[0][0])
            written = _takeover_statements(takeover)
            loads = [rendered(query) for query in reads.load_queries(takeover.written)]
            results = await self._run_all(link, [*written, *loads, COMMIT])
            return reads.snapshots(takeover, actors, results[len(written) : len(written) + len(loads)])

        return await self._transact(work, again=(Contended, Clash))

    async def commit(self, writes: Sequence[ActorWrite]) -> list[CommitResult]:
        if not writes:
            return []
        try:
            await self._transact(lambda link: self._commit_at_once(link, writes))
        except (Clash, Unusable):
            return await self._commit_judged(writes)
        return [Outcome.DONE for _ in writes]

    async def _commit_judged(self, writes: Sequence[ActorWrite]) -> list[CommitResult]:
        """A commit of which some write may not, or cannot, be applied."""
        try:
            return await self._transact(lambda link: self._commit(link, writes))
        except (Clash, Unusable):
            # Some write of the batch cannot be applied. Halving finds it in few transactions.
            if len(writes) == 1:
                return [await self._transact(lambda link: self._commit_apart(link, writes[0]))]
            middle = len(writes) // 2
            return [*await self._commit_judged(writes[:middle]), *await self._commit_judged(writes[middle:])]

    async def read_events(self, span: EventRange) -> list[EventRow]:
        return reads.events(span, await self._read(reads.events_query(span)))

    async def positions(self, topics: Sequence[str]) -> dict[str, Position]:
        if not topics:
            return {}
        return reads.positions(await self._read(reads.positions_query(topics)))

    async def due(
        self, shards: Sequence[int], *, timers_until_ms: int, tells_until_ms: int | None, limit: int
    ) -> tuple[list[DueTimer], list[str]]:
        if not shards:
            return [], []
        queries = reads.due_queries(shards, timers_until_ms=timers_until_ms, tells_until_ms=tells_until_ms, limit=limit)
        packet = b";".join(map(rendered, queries))
        return reads.due(*await self._transact(lambda link: link.run(packet)))

    async def renew(self, node: NodeRow, lease_s: float, *, held: bool = False) -> list[NodeRow]:
        packet = b"%b;SELECT node, address, draining, expires_ms FROM nodes;SELECT %b" % (
            _lease(node, lease_s, held=held),
            _NOW_MS,
        )
        _, rows, ((now_ms,),) = await self._renewed(packet, within_s=max(lease_s / 2, RENEWAL_S))
        forgotten = reads.forgotten(rows, now_ms)
        if forgotten:
            await self._forget(forgotten)
        return reads.live_nodes(rows, now_ms)

    async def select(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._read(Query(sql, values))

    async def edit(self, records: Sequence[Record]) -> None:
        steps = commits.record_steps(records)
        parts = [part for step in steps for part in statements(step, self._max_packet)]
        await self._transact(lambda link: self._run_all(link, [BEGIN, *parts, COMMIT]))

    async def _renewed(self, packet: bytes, within_s: float) -> list[Rows]:
        """Half a lease leaves time for a second try: this connection may be the only thing that is broken. Or all are,
        which is known when the second try has made a new one: then nothing waits any longer on those from before."""
        asked = asyncio.get_running_loop().time()
        renew = partial(self._renewals.run, within_s=within_s)
        try:
            answer: list[Rows] = await self._transact(lambda link: link.run(packet), run=renew)
        except StoreDown:
            self._doubtful = True
            raise
        if self._doubtful:
            self._doubtful = False
            self._pool.abandon(asked)
        return answer

    async def _forget(self, nodes: Sequence[str]) -> None:
        """By key, each by itself: this never waits for a renewal, and spares a node that came back."""
        packet = b";".join(
            b"DELETE FROM nodes WHERE node = %b AND expires_ms <= %b - %d"
            % (literal(node), _NOW_MS, reads.FORGET_AFTER_MS)
            for node in nodes
        )
        await self._transact(lambda link: link.run(packet))

    async def _commit_at_once(self, link: Link, writes: Sequence[ActorWrite]) -> None:
        topics = commits.cut_topics(writes)
        oldest = reads.by_topic((await link.run(rendered(reads.oldest_query(topics))))[0]) if topics else {}
        steps = commits.steps(writes, None, oldest)
        parts = [part for step in steps for part in statements(step, self._max_packet)]
        await self._run_all(link, [BEGIN, *advanced(writes), *parts, COMMIT])

    async def _commit(self, link: Link, writes: Sequence[ActorWrite]) -> list[CommitResult]:
        rows, oldest = await self._lock(link, writes)
        verdicts = [commits.judge(write, rows.get(write.actor)) for write in writes]
        passed = [w for w, verdict in zip(writes, verdicts, strict=True) if verdict is None]
        if not passed:
            await link.run(ROLLBACK)
        else:
            owners = {actor: row.owner for actor, row in rows.items()}
            parts = [
                part for step in commits.steps(passed, owners, oldest) for part in statements(step, self._max_packet)
            ]
            await self._run_all(link, [*parts, COMMIT])
        return [verdict or Outcome.DONE for verdict in verdicts]

    async def _commit_apart(self, link: Link, write: ActorWrite) -> CommitResult:
        """Apply one write step by step, to answer for the step that fails."""
        rows, oldest = await self._lock(link, [write])
        row = rows.get(write.actor)
        verdict = commits.judge(write, row)
        if verdict is not None or row is None:
            await link.run(ROLLBACK)
            return verdict or Outcome.FENCED
        culprit: Taken | None = None
        try:
            for step in commits.steps_apart(write, {row.actor: row.owner}, oldest):
                culprit = step.culprit if isinstance(step, commits.Put) else None
                await self._run_all(link, statements(step, self._max_packet))
        except Unusable as refusal:
            await link.run(ROLLBACK)
            return Refused(str(refusal))
        except Clash as clash:
            await link.run(ROLLBACK)
            return await self._blame(link, write, culprit, clash)
        await link.run(COMMIT)
        return Outcome.DONE

    async def _blame(self, link: Link, write: ActorWrite, culprit: Taken | None, clash: Clash) -> CommitResult:
        if culprit is None:
            return Refused(str(clash))
        if culprit.event is not None:
            event = write.events[culprit.event]
            (found,) = await link.run(rendered(reads.seq_query(event.topic, event.seq)))
            if found:  # the topic has another history than this actor believes
                return Outcome.FENCED
        return culprit

    async def _lock(self, link: Link, writes: Sequence[ActorWrite]) -> tuple[dict[str, ActorRow], dict[str, int]]:
        """Begin, lock the actors' rows, and look up where the topics that are cut begin."""
        parts = [BEGIN, _lock([write.actor for write in writes])]
        topics = commits.cut_topics(writes)
        if topics:
            parts.append(rendered(reads.oldest_query(topics)))
        _, _, locked, *oldest = await link.run(b";".join(parts))
        rows = {row.actor: row for row in _locked(locked)}
        return rows, reads.by_topic(oldest[0]) if oldest else {}

    async def _run_all(self, link: Link, parts: Iterable[bytes]) -> list[Rows]:
        results: list[Rows] = []
        for packet in packets(parts, self._max_packet):
            results += await link.run(packet)
        return results

    async def _read(self, query: Query) -> Rows:
        packet = rendered(query)
        (rows,) = await self._transact(lambda link: link.run(packet))
        return rows

    async def _transact(
        self,
        work: Callable[[Link], Awaitable[T]],
        again: tuple[type[Exception], ...] = (Contended,),
        run: Callable[[Callable[[Link], Awaitable[T]]], Awaitable[T]] | None = None,
    ) -> T:
        """Do ``work``, and again after a random pause if others were in the way."""
        attempt = partial(run or self._pool.run, work)
        return await tried(attempt, random=self._random, sleep=self._sleep, again=again)


def _lock(actors: Sequence[str]) -> bytes:
    """Lock and read the rows of ``actors``, in the order of ``lock_order``: that of the keys is the one in which the
    server goes through its primary key. The hint keeps it to that, and a small table from being locked whole.

    All rows come as one text (``_locked``): the driver takes 10 µs for a row, and this is asked in each commit."""
    return (
        b"SELECT COUNT(*), GROUP_CONCAT(JSON_ARRAY(actor, owner, fence, version, told) ORDER BY actor)"
        b" FROM actors FORCE INDEX (PRIMARY) WHERE actor IN (%b) FOR UPDATE"
        % b",".join(map(literal, commits.lock_order(actors)))
    )


_rows_of = msgspec.json.Decoder(list[ActorRow]).decode


def _locked(answer: Rows) -> list[ActorRow]:
    """The rows in the answer to ``_lock``: JSON arrays with commas between them.

    Raises:
        StoreDown: the server has cut the text (``group_concat_max_len``).
    """
    ((count, text),) = answer
    try:
        rows = _rows_of(f"[{text or ''}]")
    except msgspec.DecodeError:
        rows = []
    if len(rows) != count:
        raise StoreDown(f"{count} rows were locked, {len(rows)} were told")
    return rows


def _lease(node: NodeRow, lease_s: float, *, held: bool) -> bytes:
    """Prolong the lease that is ``held``, take one, or end it."""
    name, address, until = literal(node.node), literal(node.address), b"%b + %d" % (_NOW_MS, round(lease_s * 1000))
    if lease_s <= 0:
        return b"DELETE FROM nodes WHERE node = %b" % name
    if held:
        return b"UPDATE nodes SET address = %b, draining = %d, expires_ms = %b WHERE node = %b AND expires_ms > %b" % (
            *(address, node.draining, until),
            *(name, _NOW_MS),
        )
    return (
        b"INSERT INTO nodes (node, address, draining, expires_ms) VALUES (%b, %b, %d, %b)"
        b" ON DUPLICATE KEY UPDATE address = VALUES(address), draining = VALUES(draining),"
        b" expires_ms = VALUES(expires_ms)" % (name, address, node.draining, until)
    )


def _takeover_statements(takeover: reads.Takeover) -> list[bytes]:
    node = literal(takeover.node)
    parts: list[bytes] = []
    if takeover.taken:
        keys = b",".join(map(literal, sorted(takeover.taken)))
        parts.append(b"UPDATE actors SET owner = %b, fence = fence + 1 WHERE actor IN (%b)" % (node, keys))
    fresh = takeover.fresh
    if fresh:
        rows = b",".join(b"(%b,%b,%d,0,0)" % (literal(actor), node, takeover.fences[actor]) for actor in fresh)
        parts.append(b"INSERT INTO actors (actor, owner, fence, version, told) VALUES " + rows)
    return parts


@asynccontextmanager
async def open_mysql(
    place: MysqlPlace,
    options: MysqlOptions = MysqlOptions(),  # noqa: B008 - frozen
) -> AsyncIterator[MysqlStore]:
    """The store of a migrated database.

    Raises:
        SchemaBehind: the runtime's tables are missing or of an older release.
        StoreDown: the server does not answer, does not admit us or has no such database.
    """
    pool = MysqlPool(place, size=options.connections, timeout_s=options.timeout_s)
    renewals = MysqlPool(place, size=1, timeout_s=options.timeout_s)
    try:
        missing = pending({"core": CORE}, await pool.run(applied))
        if missing:
            raise SchemaBehind(f"{place} has not been migrated: {missing[0].name} is missing; run the migrations")
        ((row,),) = await pool.run(lambda link: link.run(b"SELECT @@max_allowed_packet"))
        yield MysqlStore(pool, max_packet=row[0] - PACKET_MARGIN, renewals=renewals)
    finally:
        await pool.aclose()
        await renewals.aclose()
