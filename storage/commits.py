"""A commit as data: who may write, and which rows go where, in which order. No engine, no I/O.

An engine locks the rows of ``actors`` in the order of ``lock_order``, has each write judged against its row, and
applies the steps of those that may write: one multi-row statement a table for the whole batch.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec import Struct

from storage.faults import Unusable
from storage.schema import SET_ASIDE
from storage.store import (
    OPS_PER_PLAYER,
    ActorWrite,
    Delete,
    EventRow,
    Outcome,
    Record,
    Taken,
    Upsert,
    shard_of,
)

TRIM_LIMIT = 1000
"""Events of one topic that one commit deletes at most: a large cut is spread, so that no commit takes long."""

Row = tuple[Any, ...]


class ActorRow(NamedTuple):
    """A locked row of ``actors``."""

    actor: str
    owner: str | None
    fence: int
    version: int
    told: int


class Put(Struct, frozen=True):
    """Rows to insert; with ``keys``, a row that has the same there gets the new values instead."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    keys: tuple[str, ...] = ()
    culprit: Taken | None = None
    """What to answer if a unique key is taken."""


class Cut(Struct, frozen=True):
    """Rows to delete: those that equal one of ``rows`` in ``columns``."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    below: bool = False
    """Compare the last column by "less than"."""
    by_key: bool = True
    """Whether ``columns`` begin the primary key."""


class Change(Struct, frozen=True):
    """Rows to change: each of ``rows`` holds the new values of ``columns``, then those that ``keys`` must have."""

    table: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    rows: Sequence[Row]


Step = Put | Cut | Change


def lock_order(actors: Iterable[str]) -> list[str]:
    """The order in which every transaction locks its rows of ``actors``: that of their keys.

    As long as all keep to the same one, no transactions wait for each other in a circle.
    """
    return sorted(actors)


def only_releases(write: ActorWrite) -> bool:
    """Whether a write gives its row up and does nothing else. Such a one leaves the version as it is, so that an actor
    which never wrote anything leaves nothing behind."""
    return write.release and not (
        write.slices
        or write.ops
        or write.topics
        or write.events
        or write.outbox
        or write.delivered
        or write.heard
        or write.timers
        or write.cancelled
        or write.records
        or write.redactions
    )


def judge(write: ActorWrite, row: ActorRow | None) -> Outcome | None:
    """What to answer at once; None if the write is to be applied.

    The answers are the same however often a write is repeated after a lost answer: an applied write left
    ``version + 1`` under its fence, a mere release left no owner or no row.
    """
    if row is None:
        harmless = only_releases(write) and write.version == 0
        return Outcome.DONE if harmless else Outcome.FENCED
    if row.fence != write.fence:
        return Outcome.FENCED
    if only_releases(write):
        return None if row.version == write.version else Outcome.FENCED
    if row.version == write.version + 1:
        return Outcome.DONE
    given_up = row.owner is None
    return None if row.version == write.version and not given_up else Outcome.FENCED


def cut_topics(writes: Iterable[ActorWrite]) -> list[str]:
    """Topics whose oldest kept event the engine has to look up for ``steps``."""
    return [topic for w in writes for topic, at in w.topics.items() if at.floor > 1]


def steps(
    writes: Sequence[ActorWrite], owners: Mapping[str, str | None] | None, oldest: Mapping[str, int]
) -> list[Step]:
    """What applies ``writes``, in order.

    ``owners``: as in the locked rows; None where the engine has put versions and owners into them already.
    ``oldest``: the lowest seq in the table, for ``cut_topics``.

    Raises:
        Unusable: a record that is not one.
    """
    return [*_kept(writes, owners, oldest), *_records(writes)]


def steps_apart(write: ActorWrite, owners: Mapping[str, str | None], oldest: Mapping[str, int]) -> Iterator[Step]:
    """The same in the same order for one actor, with every event and record in a step of its own: the one that fails
    is the culprit."""
    for step in _kept([write], owners, oldest):
        if isinstance(step, Put) and step.table == "topic_events":
            for index, row in enumerate(step.rows):
                yield Put(step.table, step.columns, [row], culprit=Taken(event=index))
        else:
            yield step
    for index, record in enumerate(write.records):
        yield _record(_signature(record), [_values(record)], culprit=Taken(record=index))


def _kept(
    writes: Sequence[ActorWrite], owners: Mapping[str, str | None] | None, oldest: Mapping[str, int]
) -> list[Step]:
    """Events go in before old ones are cut: an op in an event that this very write cuts off has still been logged."""
    empty = [w for w in writes if w.version == 0 and only_releases(w)]
    kept = [w for w in writes if not (w.version == 0 and only_releases(w))] if empty else writes
    todo: list[Step] = [
        _told(kept) if owners is None else _actors(kept, owners),
        Cut("actors", ("actor",), [(w.actor,) for w in empty]),
        _slices(writes),
        _ops(writes),
        _topics(writes),
        Put("topic_events", EVENT_COLUMNS, [_event(e) for w in writes for e in w.events]),
        _redactions(writes),
        _trims(writes, oldest),
        _outbox(writes),
        Cut("outbox", ("actor", "number"), [(w.actor, n) for w in writes for n in w.delivered]),
        _heard(writes),
        Cut("timers", ("actor", "name"), [(w.actor, n) for w in writes for n in w.cancelled]),
        _timers(writes),
    ]
    return [step for step in todo if step.rows]


def _actors(writes: Sequence[ActorWrite], owners: Mapping[str, str | None]) -> Put:
    return Put(
        "actors",
        ("actor", "owner", "fence", "version", "told"),
        [
            (
                w.actor,
                None if w.release else owners[w.actor],
                w.fence,
                w.version if w.release and only_releases(w) else w.version + 1,
                w.told,
            )
            for w in writes
        ],
        keys=("actor",),
    )


def _told(writes: Sequence[ActorWrite]) -> Put:
    """The rest of rows that are there, and have their new version."""
    return Put(
        "actors",
        ("actor", "fence", "version", "told"),
        [(w.actor, w.fence, w.version + 1, w.told) for w in writes if w.outbox],
        keys=("actor", "fence", "version"),
    )


def _slices(writes: Sequence[ActorWrite]) -> Put:
    return Put(
        "slices",
        ("actor", "slice", "schema_no", "body"),
        [(w.actor, name, s.schema, s.body) for w in writes for name, s in w.slices.items()],
        keys=("actor", "slice"),
    )


def _ops(writes: Sequence[ActorWrite]) -> Put:
    return Put(
        "ops",
        ("actor", "player", "slot", "op", "op_count", "digest", "at_ms", "reply"),
        [
            (
                w.actor,
                op.player,
                op.count % OPS_PER_PLAYER,
                _utf8(op.op),
                op.count,
                op.digest,
                op.at_ms,
                op.reply,
            )
            for w in writes
            for op in w.ops
        ],
        keys=("actor", "player", "slot"),
    )


def _topics(writes: Sequence[ActorWrite]) -> Put:
    return Put(
        "topics",
        ("topic", "actor", "epoch", "seq", "floor_seq"),
        [(t, w.actor, at.epoch, at.seq, at.floor) for w in writes for t, at in w.topics.items()],
        keys=("topic",),
    )


EVENT_COLUMNS = ("topic", "seq", "at_ms", "player", "op", "part", "ends_player", "body")


def _event(e: EventRow) -> Row:
    op = None if e.op is None else _utf8(e.op)
    return (e.topic, e.seq, e.at_ms, e.player, op, e.part, e.ends, e.body)


def _redactions(writes: Sequence[ActorWrite]) -> Change:
    rows = [(r.body, r.topic, r.seq) for w in writes for r in w.redactions]
    return Change("topic_events", ("body",), ("topic", "seq"), rows)


def _trims(writes: Sequence[ActorWrite], oldest: Mapping[str, int]) -> Cut:
    return Cut(
        "topic_events",
        ("topic", "seq"),
        [
            (topic, min(at.floor, oldest[topic] + TRIM_LIMIT))
            for w in writes
            for topic, at in w.topics.items()
            if oldest.get(topic, at.floor) < at.floor
        ],
        below=True,
    )


def _outbox(writes: Sequence[ActorWrite]) -> Put:
    return Put(
        "outbox",
        ("actor", "number", "shard", "to_actor", "at_ms", "body", "failed"),
        [
            (w.actor, t.number, _shard(w.actor, t.failed), t.to, t.at_ms, t.body, t.failed)
            for w in writes
            for t in w.outbox
        ],
        keys=("actor", "number"),
    )


def _heard(writes: Sequence[ActorWrite]) -> Put:
    return Put(
        "heard",
        ("actor", "sender", "number"),
        [(w.actor, sender, number) for w in writes for sender, number in w.heard.items()],
        keys=("actor", "sender"),
    )


def _timers(writes: Sequence[ActorWrite]) -> Put:
    return Put(
        "timers",
        ("actor", "name", "shard", "due_ms", "body", "failed"),
        [(w.actor, t.name, _shard(w.actor, t.failed), t.due_ms, t.body, t.failed) for w in writes for t in w.timers],
        keys=("actor", "name"),
    )


def _shard(actor: str, failed: str | None) -> int:
    return shard_of(actor) if failed is None else SET_ASIDE


# Records of rooms: any table, so names are checked and runs of the same statement are gathered.
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class _Signature(NamedTuple):
    """What records must share to be gathered in one statement."""

    kind: type[Record]
    table: str
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()


def _signature(record: Record) -> _Signature:
    keys = record.keys if isinstance(record, Upsert) else ()
    return _Signature(type(record), record.table, tuple(_fields(record)), keys)


def _fields(record: Record) -> Mapping[str, Any]:
    return record.where if isinstance(record, Delete) else record.values


def _values(record: Record) -> Row:
    return tuple(_fields(record).values())


def _record(signature: _Signature, rows: Sequence[Row], culprit: Taken | None = None) -> Step:
    kind, table, columns, keys = signature
    if not columns:
        raise Unusable(f"a record of {table!r} names no column")
    for name in (table, *columns):
        if not _IDENTIFIER.fullmatch(name):
            raise Unusable(f"{name!r} is not a name of a table or column")
    if kind is Delete:
        return Cut(table, columns, rows, by_key=False)
    if kind is Upsert and not (keys and set(keys) < set(columns)):
        raise Unusable(f"the keys of a record of {table!r} must be some of its columns, not all")
    return Put(table, columns, rows, keys=keys, culprit=culprit)


_has_records = attrgetter("records")


def _records(writes: Sequence[ActorWrite]) -> Iterator[Step]:
    """Rounds: the first run of like records of every actor, then the second, ... keep each actor's order."""
    gathered: dict[tuple[int, _Signature], list[Row]] = {}
    for write in filter(_has_records, writes):
        for number, (signature, run) in enumerate(groupby(write.records, key=_signature)):
            gathered.setdefault((number, signature), []).extend(_values(r) for r in run)
    for (_, signature), rows in sorted(gathered.items(), key=lambda item: item[0][0]):
        yield _record(signature, rows)


def record_steps(records: Sequence[Record]) -> list[Step]:
    """What applies ``records`` by themselves, in order.

    Raises:
        Unusable: a record that is not one.
    """
    return [_record(_signature(record), [_values(record)]) for record in records]


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Unusable(f"an op id is not Unicode text: {text!r}") from None
