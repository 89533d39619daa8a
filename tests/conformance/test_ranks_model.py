"""Every index against a model that is a dict and a sort.

Hypothesis searches for a history in which the index answers something else than the model.
"""

import asyncio
from collections.abc import Awaitable
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from storage import Around, Incomplete, Of, Page, Placed, Ranked, Ranks, RankTable, Standing, Top
from tests.conformance.ranked import opened

T = TypeVar("T")

EDGES = [edge + n for edge in (-(1 << 63) + 1, -(1 << 53), 0, 1 << 53, (1 << 63) - 2) for n in (-1, 0, 1)]
INT64 = st.sampled_from(EDGES) | st.integers(-(1 << 63), (1 << 63) - 1)
OWNERS = st.sampled_from(["a", "ab", "A", "~", "0", "-", "z.z", "_"])
standings = st.builds(
    Standing,
    owner=OWNERS,
    name=st.sampled_from(["", "Ada", "Gökyüzü"]),
    score=INT64,
    subscore=INT64,
    at_us=st.integers(0, 2),
    count=st.integers(1, 5) | st.sampled_from([1 << 53, (1 << 53) + 1, (1 << 53) + 2]),
    removed=st.sampled_from([False, False, True]),
)
questions = (
    st.builds(Top, start=st.integers(0, 9), limit=st.integers(1, 9))
    | st.builds(Around, owner=OWNERS, limit=st.integers(1, 9))
    | st.builds(Of, owners=st.lists(OWNERS | st.just("nobody"), max_size=4))
)
MARKS = st.integers(0, 3)


class Model:
    """What the index has been told, kept the plain way."""

    def __init__(self, table: RankTable) -> None:
        self.table = table
        self.forget()

    def forget(self) -> None:
        self.known: dict[str, Standing] = {}
        self.token: str | None = None
        self.through: int | None = None

    def order(self) -> list[Ranked]:
        sign = 1 if self.table.lowest_first else -1
        ranked = [s for s in self.known.values() if not s.removed]
        ranked.sort(key=lambda s: (sign * s.score, sign * s.subscore, s.at_us, s.owner.encode()))
        return [Ranked(n, s) for n, s in enumerate(ranked, start=1)]

    def rank(self, owner: str) -> int:
        return next((entry.rank for entry in self.order() if entry.standing.owner == owner), 0)

    def put(self, standing: Standing) -> Placed:
        was = self.rank(standing.owner)
        old = self.known.get(standing.owner)
        if old is None or standing.count > old.count:
            self.known[standing.owner] = standing
        return Placed(self.rank(standing.owner), was)

    def read(self, what: Top | Around | Of) -> Page:
        order = self.order()
        match what:
            case Top(start, limit):
                return Page(len(order), order[start : start + limit])
            case Around(owner, limit):
                rank = self.rank(owner)
                start = max(0, min(rank - 1 - limit // 2, len(order) - limit))
                return Page(len(order), order[start : start + limit] if rank else [])
            case Of(owners):
                return Page(len(order), [entry for entry in order if entry.standing.owner in owners])


class RanksMachine(RuleBasedStateMachine):
    def __init__(self, runner: asyncio.Runner, ranks: Ranks, number: int) -> None:
        super().__init__()
        self.runner = runner
        self.ranks = ranks
        self.model = Model(RankTable(f"t{number}"))
        self.tokens: list[str] = ["never given"]

    @property
    def table(self) -> RankTable:
        return self.model.table

    def run(self, call: Awaitable[T]) -> T:
        async def wait() -> T:
            return await call

        return self.runner.run(wait())

    @initialize(first=st.lists(standings, max_size=8), lowest_first=st.booleans())
    def filled(self, first: list[Standing], *, lowest_first: bool) -> None:
        self.model.table = RankTable(self.table.name, lowest_first)
        self.begin()
        self.put(first, filling=True)
        self.finish(-1, 1)

    @rule(some=st.lists(standings, max_size=4), filling=st.booleans())
    def put(self, some: list[Standing], *, filling: bool) -> None:
        expected = [self.model.put(standing) for standing in some]
        if filling:
            assert self.run(self.ranks.put(self.table, some, filling=True)) == []
        elif some and self.model.through is None:
            with pytest.raises(Incomplete):
                self.run(self.ranks.put(self.table, some))
        else:
            assert self.run(self.ranks.put(self.table, some)) == expected

    @rule(what=questions)
    def read(self, what: Top | Around | Of) -> None:
        if self.model.through is None:
            with pytest.raises(Incomplete):
                self.run(self.ranks.read(self.table, what))
        else:
            assert self.run(self.ranks.read(self.table, what)) == self.model.read(what)

    @rule()
    def begin(self) -> None:
        self.model.forget()
        self.model.token = self.run(self.ranks.begin(self.table))
        assert self.model.token not in self.tokens
        self.tokens.append(self.model.token)

    @rule(which=st.sampled_from([-1, -1, -1, -2]), mark=MARKS)
    def finish(self, which: int, mark: int) -> None:
        token = self.tokens[max(which, -len(self.tokens))]
        right = token == self.model.token
        assert self.run(self.ranks.finish(self.table, token, mark)) == right
        if right and self.model.through is None:
            self.model.through = mark

    @rule(expected=MARKS, mark=MARKS)
    def advance(self, expected: int, mark: int) -> None:
        assert self.run(self.ranks.through(self.table)) == self.model.through
        moves = self.model.through in (expected, mark) and self.model.through is not None
        assert self.run(self.ranks.advance(self.table, expected, mark)) == moves
        if moves:
            self.model.through = mark

    @rule()
    def drop(self) -> None:
        self.model.forget()
        self.run(self.ranks.drop(self.table))

    def teardown(self) -> None:
        self.run(self.ranks.drop(self.table))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["local", "redis"])
def test_every_history_is_answered_as_the_model_answers_it(request: pytest.FixtureRequest, kind: str) -> None:
    url = "local:" if kind == "local" else request.getfixturevalue("redis_url")
    histories = count()
    with asyncio.Runner() as runner:
        index = opened(url)
        ranks = runner.run(index.__aenter__())
        try:
            factory: Any = lambda: RanksMachine(runner, ranks, next(histories))  # noqa: E731
            run_state_machine_as_test(
                factory,
                settings=settings(
                    max_examples=100,
                    stateful_step_count=30,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(index.__aexit__(None, None, None))
