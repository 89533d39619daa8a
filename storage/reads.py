"""What is read, as text that every engine understands (``?`` for values), and how rows become the store's records."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from storage.commits import ActorRow, Row
from storage.schema import SET_ASIDE
from storage.store import (
    DueTimer,
    EventRange,
    EventRow,
    NodeRow,
    OpRow,
    OwnedElsewhere,
    Position,
    SliceRow,
    Snapshot,
    TellRow,
    TimerRow,
)

FORGET_AFTER_MS = 3_600_000
"""A node that has been gone this long, one hour, loses its row."""

APPLIED = "SELECT room, number, checksum, contracts, applied_ms FROM migrations"


class Query(NamedTuple):
    """A statement with ``?`` where its values go."""

    sql: str
    values: Sequence[Any] = ()


def marks(count: int) -> str:
    """``?, ?, ?``."""
    return ", ".join("?" * count)


# Claiming.
class Takeover(Struct, frozen=True, kw_only=True):
    """Who gets what in a claim, decided while the rows are locked."""

    node: str
    fences: dict[str, int]
    """The new fence of every actor that is taken."""
    taken: dict[str, ActorRow]
    """Rows as they were; actors in ``fences`` but not here never had one."""
    elsewhere: dict[str, str]

    @property
    def fresh(self) -> list[str]:
        """Actors that get their first row, in key order."""
        return sorted(self.fences.keys() - self.taken.keys())

    @property
    def written(self) -> list[str]:
        """Actors that have something to load, in key order."""
        return sorted(actor for actor, row in self.taken.items() if row.version)


def take_over(node: str, actors: Sequence[str], rows: Iterable[ActorRow], live: set[str], first_fence: int) -> Takeover:
    """Decide a claim; ``live`` are the nodes whose lease holds, ``first_fence`` is for rows yet to be made."""
    found = {row.actor: row for row in rows}
    elsewhere = {
        actor: row.owner
        for actor, row in found.items()
        if row.owner is not None and row.owner != node and row.owner in live
    }
    taken = {actor: row for actor, row in found.items() if actor not in elsewhere}
    fences = {actor: first_fence for actor in actors if actor not in found}
    fences |= {actor: row.fence + 1 for actor, row in taken.items()}
    return Takeover(node=node, fences=fences, taken=taken, elsewhere=elsewhere)


_LOADS = (
    "SELECT actor, slice, schema_no, body FROM slices WHERE actor IN ({})",
    (
        "SELECT actor, player, op, op_count, digest, at_ms, reply FROM ops WHERE actor IN ({})"
        " ORDER BY actor, player, op_count"
    ),
    "SELECT actor, topic, epoch, seq, floor_seq FROM topics WHERE actor IN ({})",
    "SELECT actor, number, to_actor, body, at_ms, failed FROM outbox WHERE actor IN ({}) ORDER BY actor, number",
    "SELECT actor, sender, number FROM heard WHERE actor IN ({})",
    # The shard has the last word: a release before the column ``failed`` sets a timer anew without clearing it.
    (
        f"SELECT actor, name, due_ms, body, CASE shard WHEN {SET_ASIDE} THEN failed END FROM timers"  # noqa: S608
        " WHERE actor IN ({}) ORDER BY actor, name"
    ),
)


def load_queries(actors: Sequence[str]) -> list[Query]:
    """All that is kept of ``actors``: one query a table, for ``snapshots``. None without actors."""
    return [Query(sql.format(marks(len(actors))), actors) for sql in _LOADS] if actors else []


def snapshots(
    takeover: Takeover, actors: Sequence[str], loaded: Sequence[Iterable[Row]]
) -> list[Snapshot | OwnedElsewhere]:
    """The answer to a claim, in the order of ``actors``; ``loaded`` as ``load_queries`` asked."""
    made: dict[str, Snapshot] = {}
    for actor, fence in takeover.fences.items():
        row = takeover.taken.get(actor)
        version, told = (row.version, row.told) if row else (0, 0)
        made[actor] = Snapshot(actor=actor, fence=fence, version=version, told=told)
    if loaded:
        slices, ops, topics, outbox, heard, timers = loaded
        for actor, name, schema, body in slices:
            made[actor].slices[name] = SliceRow(schema, body)
        for actor, player, op, count, digest, at_ms, reply in ops:
            made[actor].ops.append(OpRow(player, op.decode(), count, digest, at_ms, reply))
        for actor, topic, epoch, seq, floor in topics:
            made[actor].topics[topic] = Position(epoch, seq, floor)
        for actor, number, to, body, at_ms, failed in outbox:
            made[actor].outbox.append(TellRow(number, to, body, at_ms, failed))
        for actor, sender, number in heard:
            made[actor].heard[sender] = number
        for actor, name, due_ms, body, failed in timers:
            made[actor].timers.append(TimerRow(name, due_ms, body, failed))
    return [made[actor] if actor in made else OwnedElsewhere(actor, takeover.elsewhere[actor]) for actor in actors]


# Topics.
def oldest_query(topics: Sequence[str]) -> Query:
    """(topic, lowest seq in the table) of each topic that has events."""
    return Query(
        f"SELECT topic, MIN(seq) FROM topic_events WHERE topic IN ({marks(len(topics))})"  # noqa: S608
        " GROUP BY topic",
        topics,
    )


def seq_query(topic: str, seq: int) -> Query:
    """One row if there is such an event."""
    return Query("SELECT seq FROM topic_events WHERE topic = ? AND seq = ?", (topic, seq))


def events_query(span: EventRange) -> Query:
    """The rows for ``events``."""
    values: list[Any] = [span.topic, span.after]
    until = ""
    if span.before is not None:
        until = " AND seq < ?"
        values.append(span.before)
    values.append(max(span.limit, 0))
    order = "DESC" if span.newest else "ASC"
    return Query(
        "SELECT topic, seq, at_ms, body, player, op, part, ends_player FROM topic_events"  # noqa: S608
        f" WHERE topic = ? AND seq > ?{until} ORDER BY seq {order} LIMIT ?",
        values,
    )


def events(span: EventRange, rows: Sequence[Row]) -> list[EventRow]:
    """In rising order of seq."""
    return [
        EventRow(topic, seq, at_ms, body, player, None if op is None else op.decode(), part, ends)
        for topic, seq, at_ms, body, player, op, part, ends in (reversed(rows) if span.newest else rows)
    ]


def positions_query(topics: Sequence[str]) -> Query:
    """The rows for ``positions``."""
    return Query(
        f"SELECT topic, epoch, seq, floor_seq FROM topics WHERE topic IN ({marks(len(topics))})",  # noqa: S608
        topics,
    )


def positions(rows: Iterable[Row]) -> dict[str, Position]:
    return {topic: Position(epoch, seq, floor) for topic, epoch, seq, floor in rows}


# What is due, and who is alive.
def due_queries(shards: Sequence[int], *, timers_until_ms: int, tells_until_ms: int | None, limit: int) -> list[Query]:
    """The rows for ``due``. What was set aside has a shard of its own, so it is never met."""
    within = f"WHERE shard IN ({marks(len(shards))})"
    timers = Query(
        f"SELECT actor, name, due_ms, body FROM timers {within} AND due_ms <= ? ORDER BY due_ms, actor, name LIMIT ?",  # noqa: S608
        (*shards, timers_until_ms, limit),
    )
    if tells_until_ms is None:
        return [timers]
    tellers = Query(
        f"SELECT actor FROM outbox {within} AND at_ms < ? GROUP BY actor ORDER BY MIN(at_ms), actor LIMIT ?",  # noqa: S608
        (*shards, tells_until_ms, limit),
    )
    return [timers, tellers]


def due(timers: Iterable[Row], tellers: Iterable[Row] = ()) -> tuple[list[DueTimer], list[str]]:
    return (
        [DueTimer(actor, TimerRow(name, due_ms, body)) for actor, name, due_ms, body in timers],
        [actor for (actor,) in tellers],
    )


def live_nodes(rows: Iterable[Row], now_ms: int) -> list[NodeRow]:
    """Of (node, address, draining, expires_ms): those whose lease holds, by name."""
    return sorted(
        (
            NodeRow(node, address, bool(draining), expires_ms - now_ms)
            for node, address, draining, expires_ms in rows
            if expires_ms > now_ms
        ),
        key=lambda row: row.node,
    )


def forgotten(rows: Iterable[Row], now_ms: int) -> list[str]:
    """Of the same rows: nodes whose row is to go."""
    return [node for node, _, _, expires_ms in rows if expires_ms <= now_ms - FORGET_AFTER_MS]


def by_topic(rows: Iterable[Row]) -> dict[str, int]:
    """Rows of ``oldest_query``."""
    return dict(rows)
