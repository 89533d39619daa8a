"""What the doctor looks for in the tables that every actor shares. Reads only, on a database that is in use."""

from collections.abc import Iterable, Sequence
from typing import Any

from actors.wallet import wallet_faults
from server.doctor import Finding
from storage import SET_ASIDE, Store

LATE_MS = 60_000  # a tell is delivered, and a timer fired, within seconds of its time while any node is alive
SHOWN = 20  # lines of one sort of fault; the rest is counted

_OF_ACTORS = ("slices", "ops", "topics", "timers", "outbox", "heard")
_WITHOUT_ACTOR = "SELECT COUNT(*), MIN(t.actor) FROM {} t LEFT JOIN actors a ON a.actor = t.actor WHERE a.actor IS NULL"
_WITHOUT_TOPIC = (
    "SELECT COUNT(*), MIN(e.topic) FROM topic_events e LEFT JOIN topics t ON t.topic = e.topic WHERE t.topic IS NULL"
)
_AHEAD = (
    "SELECT h.actor, h.sender, h.number, COALESCE(s.told, 0) FROM heard h LEFT JOIN actors s ON s.actor = h.sender"
    " WHERE h.number > COALESCE(s.told, 0) ORDER BY h.actor, h.sender"
)
_SET_ASIDE = "SELECT actor, number, to_actor, failed FROM outbox WHERE failed IS NOT NULL ORDER BY actor, number"
_STUCK = (
    "SELECT actor, number, to_actor, at_ms FROM outbox WHERE failed IS NULL AND at_ms < ? ORDER BY at_ms, actor, number"
)
_TIMERS_ASIDE = "SELECT actor, name, failed FROM timers WHERE shard = ? ORDER BY actor, name"
_OVERDUE = "SELECT actor, name, due_ms FROM timers WHERE shard <> ? AND due_ms < ? ORDER BY due_ms, actor, name"
_REQUEUE = "to try it again: POST /v1/{}/set-aside/{}/{}/requeue"
_HOLES = (
    "SELECT t.topic, t.seq, t.floor_seq FROM topics t"
    " LEFT JOIN topic_events e ON e.topic = t.topic AND e.seq >= t.floor_seq"
    " GROUP BY t.topic, t.seq, t.floor_seq"
    " HAVING COUNT(e.seq) <> t.seq - t.floor_seq + 1 OR COALESCE(MAX(e.seq), 0) > t.seq ORDER BY t.topic"
)
_SEQS = "SELECT seq FROM topic_events WHERE topic = ? AND seq >= ? ORDER BY seq"


async def look_at_rows(store: Store, now_ms: int) -> list[Finding]:
    """Orphans, tells, timers, sequences and wallets, a line for each fault, and one for each sort without any."""
    late_ms = now_ms - LATE_MS
    return [
        *_findings("rows", "each has its actor or topic", await _orphans(store)),
        *_findings("outbox", "nothing set aside, nothing waits for long", await _tells(store, late_ms, now_ms)),
        *_findings("timers", "none set aside, none overdue", await _timers(store, late_ms, now_ms)),
        *_findings("topics", "no sequence has a hole", await _holes(store)),
        *_findings("wallets", "ledger and balances agree", await wallet_faults(store, now_ms)),
    ]


def _findings(sort: str, well: str, faults: Sequence[str]) -> Iterable[Finding]:
    if not faults:
        yield Finding(f"{sort}: {well}", well=True)
    for fault in faults[:SHOWN]:
        yield Finding(f"{sort}: {fault}", well=False)
    if len(faults) > SHOWN:
        yield Finding(f"{sort}: and {len(faults) - SHOWN} more", well=False)


async def _orphans(store: Store) -> list[str]:
    faults = []
    for table in _OF_ACTORS:
        ((count, first),) = await store.select(_WITHOUT_ACTOR.format(table))
        if count:
            faults.append(f"{count} in table {table} without their actor, e.g. {first}")
    ((count, first),) = await store.select(_WITHOUT_TOPIC)
    if count:
        faults.append(f"{count} in table topic_events without their topic, e.g. {first}")
    return faults + [
        f"{actor} has heard tell {number} of {sender}, which has told only {told}: the next are taken for repeats"
        for actor, sender, number, told in await store.select(_AHEAD)
    ]


async def _tells(store: Store, late_ms: int, now_ms: int) -> list[str]:
    aside = [
        f"tell {number} of {actor} to {to} was set aside: {failed}; {_REQUEUE.format('outbox', actor, number)}"
        for actor, number, to, failed in await store.select(_SET_ASIDE)
    ]
    stuck = [
        f"tell {number} of {actor} to {to} has been waiting for {_minutes(now_ms - at_ms)}"
        for actor, number, to, at_ms in await store.select(_STUCK, (late_ms,))
    ]
    return aside + stuck


async def _timers(store: Store, late_ms: int, now_ms: int) -> list[str]:
    aside = [
        f"{name} of {actor} was set aside: {failed}; {_REQUEUE.format('timers', actor, name)}"
        for actor, name, failed in await store.select(_TIMERS_ASIDE, (SET_ASIDE,))
    ]
    overdue = [
        f"{name} of {actor} has been due for {_minutes(now_ms - due_ms)}"
        for actor, name, due_ms in await store.select(_OVERDUE, (SET_ASIDE, late_ms))
    ]
    return aside + overdue


async def _holes(store: Store) -> list[str]:
    rows = await store.select(_HOLES)
    faults = [await _hole(store, *row) for row in rows[:SHOWN]]
    return faults + [f"{topic} has a hole" for topic, _, _ in rows[SHOWN:]]


async def _hole(store: Store, topic: str, newest: int, floor: int) -> str:
    """What is wrong with a topic that should hold ``floor`` to ``newest``."""
    there = [seq for (seq,) in await store.select(_SEQS, (topic, floor))]
    if there and there[-1] > newest:
        return f"{topic} stands at {newest}, but holds an event {there[-1]}"
    missing = next((n for n, seq in enumerate(there, floor) if n != seq), floor + len(there))
    return f"{topic} holds {len(there)} of the events {floor} to {newest}, the first that is missing is {missing}"


def _minutes(ms: int) -> str:
    return f"{ms // 60_000} min"


def again(first: Sequence[Finding], second: Sequence[Finding]) -> list[Finding]:
    """What two looks agree on: on a database in use, what was only seen once was on its way."""
    before: set[Any] = {finding.text for finding in first}
    return [finding for finding in second if finding.well or finding.text in before]
