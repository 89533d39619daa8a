"""Every engine against a model in a few dicts: claims, commits, repeats, releases, two nodes, leases that end.

Hypothesis searches for a history in which the store answers, or keeps, something else than the model.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec import Struct
from msgspec.structs import replace

from storage import (
    OPS_PER_PLAYER,
    ActorWrite,
    CommitResult,
    EventRange,
    EventRow,
    Insert,
    OpRow,
    Outcome,
    OwnedElsewhere,
    Position,
    SliceRow,
    Snapshot,
    Store,
    Taken,
    TellRow,
    TimerRow,
    migrate,
    open_store,
)
from tests.conformance.conftest import ROOM
from tests.conformance.nodes import alive

T = TypeVar("T")

NODES = ("north", "south")
SMALL = st.integers(0, 3)

changes = st.fixed_dictionaries(
    {},
    optional={
        "slices": st.dictionaries(st.sampled_from("ab"), st.binary(max_size=4), max_size=2),
        "ops": st.lists(st.sampled_from(("ann", "bo")), max_size=3),
        "events": st.lists(st.sampled_from((None, "o1", "o2", "o3")), max_size=3),
        "tells": st.integers(1, 3),
        "failed": st.just(True),
        "delivered": st.just(True),
        "heard": st.dictionaries(st.sampled_from(("x", "y")), st.integers(1, 9), max_size=2),
        "timers": st.dictionaries(st.sampled_from(("t1", "t2")), SMALL, max_size=2),
        "cancelled": st.lists(st.sampled_from(("t1", "t2", "t3")), max_size=2),
        "records": st.lists(st.sampled_from("pqrs"), max_size=2),
        "release": st.just(True),
    },
)
"""What a write changes, in outline; ``written`` gives it the numbers that follow from what its node holds."""


class Row(Struct):
    """An actor as it must be kept."""

    owner: str | None
    kept: Snapshot


class Model:
    """What the store has been told, kept the plain way."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.live: set[str] = set()
        self.log: dict[str, list[EventRow]] = {}
        self.records: set[str] = set()

    def may_claim(self, node: str, actor: str) -> bool:
        row = self.rows.get(actor)
        return row is None or row.owner in (None, node) or row.owner not in self.live

    def commit(self, write: ActorWrite) -> CommitResult:
        bare = replace(write, told=0) == ActorWrite(
            actor=write.actor, fence=write.fence, version=write.version, told=0, release=True
        )
        row = self.rows.get(write.actor)
        if row is None:
            return Outcome.DONE if bare and write.version == 0 else Outcome.FENCED
        if row.kept.fence != write.fence:
            return Outcome.FENCED
        return self.release(row, write) if bare else self.write(row, write)

    def release(self, row: Row, write: ActorWrite) -> CommitResult:
        if row.kept.version != write.version:
            return Outcome.FENCED
        row.owner = None
        if write.version == 0:
            del self.rows[write.actor]
        return Outcome.DONE

    def write(self, row: Row, write: ActorWrite) -> CommitResult:
        if row.kept.version == write.version + 1:
            return Outcome.DONE
        if row.kept.version != write.version or row.owner is None:
            return Outcome.FENCED
        taken = self.clash(write)
        if taken is None:
            self.apply(row, write)
        return taken or Outcome.DONE

    def clash(self, write: ActorWrite) -> Taken | None:
        logged = {(e.player, e.op, e.part) for e in self.log.get(write.actor, []) if e.op}
        for index, event in enumerate(write.events):
            if (event.player, event.op, event.part) in logged:
                return Taken(event=index)
            if event.op:
                logged.add((event.player, event.op, event.part))
        used = set(self.records)
        for index, record in enumerate(write.records):
            assert isinstance(record, Insert)
            if record.values["id"] in used:
                return Taken(record=index)
            used.add(record.values["id"])
        return None

    def apply(self, row: Row, write: ActorWrite) -> None:
        old = row.kept
        ring = {(op.player, op.count % OPS_PER_PLAYER): op for op in (*old.ops, *write.ops)}
        tells = {tell.number: tell for tell in (*old.outbox, *write.outbox)}
        timers = {t.name: t for t in old.timers if t.name not in write.cancelled}
        timers |= {t.name: t for t in write.timers}
        row.owner = None if write.release else row.owner
        row.kept = Snapshot(
            actor=old.actor,
            fence=old.fence,
            version=old.version + 1,
            told=write.told,
            slices=old.slices | write.slices,
            ops=sorted(ring.values(), key=lambda op: (op.player, op.count)),
            topics=old.topics | write.topics,
            outbox=[tells[n] for n in sorted(tells) if n not in write.delivered],
            heard=old.heard | write.heard,
            timers=[timers[name] for name in sorted(timers)],
        )
        floor = row.kept.topics[write.actor].floor if row.kept.topics else 1
        log = [*self.log.get(write.actor, []), *write.events]
        self.log[write.actor] = [event for event in log if event.seq >= floor]
        self.records |= {r.values["id"] for r in write.records if isinstance(r, Insert)}


def written(held: Snapshot, outline: dict[str, Any], prefix: str) -> ActorWrite:
    """A write that carries ``outline`` on from what a node holds, as an activation would."""
    newest = {op.player: op.count for op in held.ops}
    ops = []
    for player in outline.get("ops", []):
        newest[player] = newest.get(player, 0) + 1
        ops.append(OpRow(player, f"{player}-{newest[player]}", newest[player], b"d", 5, None))
    at = held.topics.get(held.actor, Position("e", 0))
    events = [
        EventRow(held.actor, at.seq + n, 7, b"e", player=op and "ann", op=op)
        for n, op in enumerate(outline.get("events", []), start=1)
    ]
    end = at.seq + len(events)
    tells = [TellRow(held.told + n, "x", b"t", 3) for n in range(1, outline.get("tells", 0) + 1)]
    failed = [replace(t, failed="no") for t in held.outbox[:1] if outline.get("failed")]
    timers = outline.get("timers", {})
    aside = [replace(t, failed="no") for t in held.timers[:1] if outline.get("failed") and t.name not in timers]
    names = outline.get("records", [])
    return ActorWrite(
        actor=held.actor,
        fence=held.fence,
        version=held.version,
        told=held.told + len(tells),
        slices={name: SliceRow(1, body) for name, body in outline.get("slices", {}).items()},
        ops=ops,
        topics={held.actor: Position("e", end, max(1, end - 4))} if events else {},
        events=events,
        outbox=[*failed, *tells],
        delivered=[t.number for t in held.outbox[1:2] if outline.get("delivered")],
        heard=outline.get("heard", {}),
        timers=[*aside, *(TimerRow(name, due, b"") for name, due in timers.items())],
        cancelled=outline.get("cancelled", []),
        records=[Insert("purse_log", {"id": prefix + name, "amount": 1}) for name in names],
        release=outline.get("release", False),
    )


class StoreMachine(RuleBasedStateMachine):
    """Two nodes, each with what it believes to hold, right or wrong."""

    def __init__(self, runner: asyncio.Runner, store: Store, history: int) -> None:
        super().__init__()
        self.runner, self.store = runner, store
        # One database for all histories: each has names of its own.
        self.prefix = f"h{history}."
        self.actors = [f"{self.prefix}{name}" for name in "abc"]
        self.model = Model()
        self.held: dict[str, dict[str, Snapshot]] = {node: {} for node in NODES}
        self.last: list[ActorWrite] = []

    def run(self, call: Awaitable[T]) -> T:
        async def wait() -> T:
            return await call

        return self.runner.run(wait())

    @initialize()
    def both_alive(self) -> None:
        for node in NODES:  # the history before left its leases
            self.run(alive(self.store, node, 0))
        for node in NODES:
            self.renew(node, lives=True)

    @rule(node=st.sampled_from(NODES))
    def hold_on(self, node: str) -> None:
        found = self.run(alive(self.store, node, 3600, held=True))
        assert [row.node for row in found] == sorted(self.model.live)

    @rule(node=st.sampled_from(NODES), lives=st.booleans())
    def renew(self, node: str, lives: bool) -> None:
        if lives:
            self.model.live.add(node)
        else:
            self.model.live.discard(node)
        found = self.run(alive(self.store, node, 3600 if lives else 0))
        assert [row.node for row in found] == sorted(self.model.live)

    @rule(node=st.sampled_from(NODES), wanted=st.permutations(range(3)), size=st.integers(1, 3))
    def claim(self, node: str, wanted: list[int], size: int) -> None:
        actors = [self.actors[n] for n in wanted[:size]]
        answers = self.run(self.store.claim(node, actors))
        assert [answer.actor for answer in answers] == actors
        for answer in answers:
            row = self.model.rows.get(answer.actor)
            if not self.model.may_claim(node, answer.actor):
                assert row is not None
                assert answer == OwnedElsewhere(answer.actor, str(row.owner))
                continue
            assert isinstance(answer, Snapshot)
            if row is None:
                # A fence that nobody has held before.
                held = (views.get(answer.actor) for views in self.held.values())
                assert answer.fence not in {view.fence for view in held if view}
                expected = Snapshot(actor=answer.actor, fence=answer.fence, version=0, told=0)
            else:
                expected = replace(row.kept, fence=row.kept.fence + 1)
            assert answer == expected
            self.model.rows[answer.actor] = Row(node, expected)
            self.held[node][answer.actor] = expected

    @rule(node=st.sampled_from(NODES), outlines=st.lists(changes, min_size=1, max_size=3))
    def commit(self, node: str, outlines: list[dict[str, Any]]) -> None:
        views = list(self.held[node].values())
        self.last = [written(view, outline, self.prefix) for view, outline in zip(views, outlines, strict=False)]
        self.check_commit()
        for write in self.last:
            row = self.model.rows.get(write.actor)
            if row and row.kept.fence == write.fence:
                self.held[node][write.actor] = row.kept

    @rule()
    def repeat_after_a_lost_answer(self) -> None:
        self.check_commit()

    def check_commit(self) -> None:
        results = self.run(self.store.commit(self.last))
        assert results == [self.model.commit(write) for write in self.last]

    @invariant()
    def the_log_is_as_it_was_written(self) -> None:
        for actor, events in self.model.log.items():
            assert self.run(self.store.read_events(EventRange(topic=actor))) == events


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    await migrate(url, {"purse": ROOM})
    async with open_store(url) as store:
        yield store


@pytest.mark.timeout(180)
def test_every_history_is_answered_as_the_model_answers_it(empty_url: str) -> None:
    histories = count()
    with asyncio.Runner() as runner:
        store_of = opened(empty_url)
        store = runner.run(store_of.__aenter__())
        try:
            factory: Any = lambda: StoreMachine(runner, store, next(histories))  # noqa: E731
            run_state_machine_as_test(
                factory,
                settings=settings(
                    max_examples=40,
                    stateful_step_count=25,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(store_of.__aexit__(None, None, None))
