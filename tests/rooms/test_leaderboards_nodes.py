"""Scores on several nodes: replies, ties, definitions and periods are the same on each of them, and models agree."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from random import Random
from typing import Any

import pytest

import actors.runtime.queries
from actors.leaderboards import BoardEntries
from actors.leaderboards.definition import Table
from actors.leaderboards.keeper import LOOK_S, OLD_S
from actors.leaderboards.messages import (
    LeaderboardAround,
    LeaderboardList,
    LeaderboardPeriods,
)
from protocol import IdReused
from storage import Of, RankTable
from storage.local_ranks import LocalRanks
from tests.rooms.arena import MINUTELY, SERVER, defining, new_id, submitting
from tests.rooms.arena_nodes import MINUTE_S, World, playing
from tests.support.clock import settle


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with playing() as made:
        yield made


class TestAReply:
    async def test_tells_the_rank_at_that_moment(self, world: World) -> None:
        await world.begin()
        replies = [await world.said(world.north, submitting(score), player) for player, score in [("a", 5), ("b", 9)]]
        replies.append(await world.said(world.south, submitting(7), "c"))
        assert [(r.score, r.rank, r.improved, r.period) for r in replies] == [
            (5, 1, True, "all"),
            (9, 1, True, "all"),
            (7, 2, True, "all"),
        ]
        assert await world.top(world.south) == [(1, "b", 9), (2, "c", 7), (3, "a", 5)]

    async def test_stays_the_same_for_its_id_wherever_it_is_asked_for(self, world: World) -> None:
        """Also after others have moved, after the actor was put away, and after its node died."""
        await world.begin()
        first = await world.said(world.north, submitting(5, op="op-1"), "a")
        await world.play(world.south, {"b": 9, "c": 8})

        again = [await world.said(node, submitting(5, op="op-1"), "a") for node in (world.north, world.south)]
        await world.clock.advance(40)
        assert world.north.node.host.find("player:a") is None
        again.append(await world.said(world.south, submitting(5, op="op-1"), "a"))
        await world.said(world.south, submitting(6), "a")
        world.cluster.crash(world.south)
        await world.cluster.pass_lease()
        again.append(await world.said(world.north, submitting(5, op="op-1"), "a"))

        assert all((r.rank, r.score, r.improved) == (1, 5, True) for r in [first, *again])
        with pytest.raises(IdReused):
            await world.said(world.north, submitting(6, op="op-1"), "a")
        assert await world.top(world.north) == [(1, "b", 9), (2, "c", 8), (3, "a", 6)]

    async def test_asked_of_both_nodes_at_once_is_one(self, world: World) -> None:
        await world.begin(operator="sum")
        heard = [node.ask(submitting(5, op="op-1"), "a") for node in (world.north, world.south) * 3]
        await settle()
        assert {(h.reply.score, h.reply.rank) for h in heard} == {(5, 1)}
        assert await world.top(world.south) == [(1, "a", 5)]

    async def test_comes_also_where_more_queries_are_under_way_than_are_taken(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A score that was committed and then refused by a full house was in no index: nobody looked for it again."""
        await world.begin()
        monkeypatch.setattr(actors.runtime.queries, "UNDER_WAY", 3)
        replies = await world.play(world.north, {f"p{n}": -n for n in range(20)})
        assert len({r.rank for r in replies}) == 20
        assert len(await world.indexed()) == 20


class TestTies:
    async def test_the_earliest_achiever_is_first_on_whichever_node(self, world: World) -> None:
        await world.begin()
        for n, player in enumerate("dbeac"):
            await world.said((world.north, world.south)[n % 2], submitting(7, 1), player)
            await world.clock.advance(0.001)
        await world.said(world.north, submitting(7, 2), "z")
        await world.said(world.south, submitting(7, 1), "c")  # said again: that is not earlier, nor later
        assert [owner for _, owner, _ in await world.top(world.south)] == ["z", "d", "b", "e", "a", "c"]

    async def test_are_broken_the_same_way_by_the_database(self, world: World) -> None:
        await world.begin()
        for n, player in enumerate("dbeac"):
            await world.said((world.north, world.south)[n % 2], submitting(7), player)
            await world.clock.advance(0.001)
        by_index = await world.top(world.south)
        world.index.down = True
        assert await world.top(world.south) == by_index


class TestDefinitions:
    async def test_are_known_to_every_node_before_the_answer(self, world: World) -> None:
        await world.begin()
        for n in range(5):
            heard = world.north.ask(defining(title=str(n), max_score=n), SERVER)
            while heard.answer is None:  # noqa: ASYNC110 - not a turn of the loop later
                await asyncio.sleep(0)
            assert all(
                node.node.replicas.values["boards"]["arena"].definition.max_score == n
                for node in (world.north, world.south)
            )

    async def test_at_the_same_time_are_all_answered(self, world: World) -> None:
        """The second ended the waiting of the first, and got an internal error itself."""
        await world.begin()
        heard = [world.north.ask(defining(f"b{n}"), SERVER) for n in range(5)]
        await settle()
        assert [each.code for each in heard] == ["ok"] * 5
        assert len(world.south.node.replicas.values["boards"]) == 6

    async def test_are_known_to_a_node_that_has_just_come(self, world: World) -> None:
        """The others learn of it at their next renewal; until then nobody told it, and it had read what was there."""
        world.north = await world.cluster.start("north")
        with world.north.store.holding("renew"):
            world.south = await world.cluster.start("south")
            await world.define(max_score=7)
            assert world.south.node.replicas.values["boards"]["arena"].definition.max_score == 7

    async def test_ranks_of_a_period_from_before_another_order_are_those_of_then(self, world: World) -> None:
        """They were turned round for whoever asked for single owners."""
        await world.begin()
        await world.play(world.north, {"a": 1, "b": 2, "c": 3, "d": 4})
        await world.define(order="asc")
        await world.play(world.south, {"a": 5, "b": 6})

        assert await world.top(world.south) == [(1, "a", 5), (2, "b", 6)]
        assert [owner for _, owner, _ in await world.top(world.south, period="all")] == ["d", "c", "b", "a"]
        asked: list[Any] = [
            LeaderboardList(id=new_id(), board="arena", owners=["a", "d", "x"], period="all"),
            LeaderboardAround(id=new_id(), board="arena", player="a", limit=1, period="all"),
        ]
        found = [[(e.rank, e.owner) for e in (await world.said(world.north, one, "bo")).entries] for one in asked]
        assert found == [[(1, "d"), (4, "a")], [(4, "a")]]


class TestPeriods:
    async def test_end_on_every_node_at_once_and_stay_readable(self, world: World) -> None:
        await world.begin(reset=MINUTELY)
        await world.play(world.north, {"a": 5, "b": 9})
        old = (await world.said(world.south, submitting(7), "c")).period
        await world.clock.advance(MINUTE_S)
        assert await world.top(world.south) == []
        assert (await world.said(world.south, submitting(1), "a")).rank == 1
        assert await world.top(world.north) == [(1, "a", 1)]
        await world.clock.advance(2 * OLD_S)
        assert await world.top(world.north, period=old) == [(1, "b", 9), (2, "c", 7), (3, "a", 5)]
        past = await world.said(world.north, LeaderboardPeriods(id=new_id(), board="arena"), "a")
        assert [each.period for each in past.periods][-1] == old

    async def test_are_written_down_once_whichever_node_dies(self, world: World) -> None:
        await world.begin(reset=MINUTELY)
        await world.clock.advance(MINUTE_S)
        world.cluster.crash(world.north)
        await world.clock.advance(3 * MINUTE_S)
        third = await world.cluster.start("third")
        world.cluster.crash(world.south)
        await world.clock.advance(2 * MINUTE_S)

        past = await world.said(third, LeaderboardPeriods(id=new_id(), board="arena"), "a")
        spans = [(each.started_at, each.ended_at) for each in reversed(past.periods)]
        assert len(spans) == 6
        assert all(one[1] == next_[0] for one, next_ in pairwise(spans))

    async def test_leave_the_index_when_they_are_over(self, world: World) -> None:
        await world.begin(reset=MINUTELY)
        tables = []
        for _ in range(4):
            period = (await world.said(world.north, submitting(5), "a")).period
            tables.append(Table("arena", period, lowest_first=False))
            await world.clock.advance(MINUTE_S)
        await world.clock.advance(2 * OLD_S)
        assert [await world.index.through(table.ranks) for table in tables] == [None] * 4
        assert len(world.index._tables) <= 2

    async def test_leave_the_index_with_their_definition(self, world: World) -> None:
        await world.begin()
        await world.play(world.north, {"a": 5})
        await world.define(operator="sum")
        await world.clock.advance(3 * OLD_S)
        assert set(world.index._tables) == {"arena/all~2"}

    async def test_that_are_over_do_not_come_back_with_a_late_repeat(self, world: World) -> None:
        """The first answer was lost with its node; what the repeat placed and filled had no end any more."""
        await world.begin(reset=MINUTELY)
        await world.play(world.south, {"b": 9})
        world.index.down = True
        await world.said(world.north, submitting(5, op="op-1"), "a")
        world.cluster.crash(world.north)
        world.index.down = False
        await world.clock.advance(4 * MINUTE_S)

        reply = await world.said(world.south, submitting(5, op="op-1"), "a")

        assert reply.rank == 2
        assert Table("arena", reply.period, lowest_first=False).ranks.name not in world.index._tables

    async def test_can_be_read_by_staff(self, world: World) -> None:
        await world.begin()
        await world.play(world.north, {"a": 5, "b": 9, "c": 7})
        page = await world.said(world.south, BoardEntries(id=new_id(), board="arena", start=1, limit=1), SERVER)
        assert [(e.rank, e.owner, e.score) for e in page.entries] == [(2, "c", 7)]
        some = await world.said(world.south, BoardEntries(id=new_id(), board="arena", owners=["a", "b"]), SERVER)
        assert [(e.rank, e.owner) for e in some.entries] == [(1, "b"), (3, "a")]


class Model:
    """Leaderboards as a sorted list: what everybody expects."""

    def __init__(self, operator: str, order: str) -> None:
        self.operator = operator
        self.sign = 1 if order == "asc" else -1
        self.periods: dict[str, dict[str, tuple[int, int, int]]] = {}
        self._moment = 0

    def submit(self, period: str, owner: str, score: int, subscore: int) -> None:
        self._moment += 1
        table = self.periods.setdefault(period, {})
        new = (score, subscore)
        if owner in table:
            old = table[owner][:2]
            if self.operator == "sum":
                new = (old[0] + score, old[1] + subscore)
            if new == old or (self.operator == "best" and self._key(new) > self._key(old)):
                return
        table[owner] = (*new, self._moment)

    def _key(self, pair: tuple[int, ...]) -> tuple[int, int]:
        return self.sign * pair[0], self.sign * pair[1]

    def top(self, period: str) -> list[tuple[int, str, int]]:
        table = self.periods.get(period, {})
        order = sorted(table, key=lambda owner: (*self._key(table[owner]), table[owner][2]))
        return [(rank, owner, table[owner][0]) for rank, owner in enumerate(order, start=1)]


@pytest.mark.parametrize("operator", ["best", "last", "sum"])
@pytest.mark.parametrize("order", ["desc", "asc"])
async def test_whatever_happens_the_ranks_are_those_of_a_sorted_list(world: World, operator: str, order: str) -> None:
    random = Random(f"{operator} {order}")
    model = Model(operator, order)
    await world.begin(operator=operator, order=order, reset=MINUTELY)
    table = Table("arena", "", lowest_first=order == "asc")
    period = ""
    for n in range(300):
        player, node = f"p{random.randrange(20)}", random.choice([world.north, world.south])
        score, subscore = random.randrange(-3, 4), random.randrange(2)
        op = f"x-{n}"
        reply = await world.said(node, submitting(score, subscore, op), player)
        period = reply.period
        model.submit(period, player, score, subscore)
        assert (reply.rank, player, reply.score) in model.top(period)
        match random.randrange(30):
            case 0:
                await LocalRanks.drop(world.index, RankTable(f"arena/{period}", table.lowest_first))
            case 1:
                world.index.down = not world.index.down
                await world.clock.advance(0 if world.index.down else LOOK_S)
            case 2:
                await world.clock.advance(random.randrange(MINUTE_S))
            case 3:
                await world.said(node, submitting(score, subscore, op), player)
            case _:
                pass
        await world.clock.advance(0.002)  # nodes agree about which came first as far as their clocks do
        if n % 50 == 49:
            for each in model.periods:
                asker = random.choice([world.north, world.south])
                assert await world.top(asker, period=each) == model.top(each)
                some = [f"p{k}" for k in range(0, 20, 2)]
                listed = await world.said(asker, LeaderboardList(id=new_id(), board="arena", owners=some, period=each))
                places = [(e.rank, e.owner, e.score) for e in listed.entries]
                assert places == [place for place in model.top(each) if place[1] in some]
    world.index.down = False
    await world.clock.advance(3 * LOOK_S)
    assert await world.top(world.south, period=period) == model.top(period)
    asked = [f"p{n}" for n in range(20)]
    found = await world.index.read(RankTable(f"arena/{period}", table.lowest_first), Of(asked))
    assert [(e.rank, e.standing.owner, e.standing.score) for e in found.entries] == model.top(period)
