"""The rank index of several nodes may be lost, away or late: ranks are right again by themselves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from actors.leaderboards import BoardCheck
from actors.leaderboards.keeper import LAG_S, LOOK_S
from actors.leaderboards.messages import (
    LeaderboardAround,
)
from storage import Incomplete, Of, Page, Placed, RankTable, Standing
from tests.rooms.arena import SERVER, new_id, submitting
from tests.rooms.arena_nodes import ALL, World, playing
from tests.support.clock import settle
from tests.support.cluster import LEASE_S, Heard


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with playing() as made:
        yield made


async def settle_until_answered(heard: Heard) -> None:
    """As few turns of the loop as it takes."""
    while heard.answer is None:  # noqa: ASYNC110 - the loop does not come to rest while somebody waits for us
        await asyncio.sleep(0)


class TestTheIndex:
    async def test_that_was_flushed_is_right_again_for_who_asks_next(self, world: World) -> None:
        await world.begin()
        await world.play(world.north, {"a": 5, "b": 9, "c": 7})
        await world.index.drop(ALL.ranks)
        assert await world.top(world.south) == [(1, "b", 9), (2, "c", 7), (3, "a", 5)]
        assert (await world.said(world.south, submitting(8), "d")).rank == 2

    async def test_that_was_flushed_is_right_again_although_nobody_asks(self, world: World) -> None:
        await world.begin()
        await world.play(world.north, {"a": 5, "b": 9})
        await world.index.drop(ALL.ranks)
        await world.clock.advance(LOOK_S)
        assert await world.indexed() == [(1, "b", 9), (2, "a", 5)]

    async def test_is_filled_once_for_all_who_miss_it(self, world: World) -> None:
        """Each of them had it filled again, from the start, and whoever came meanwhile missed it again."""
        await world.begin()
        await world.play(world.north, {f"p{n}": n for n in range(50)})
        await world.index.drop(ALL.ranks)
        fills = world.index.fills

        heard = [
            node.ask(submitting(100 + n), f"q{n}") for n in range(50) for node in (world.north, world.south)[n % 2 :]
        ]
        await settle()
        await world.clock.advance(0.1)

        assert sorted({h.reply.rank for h in heard}) == list(range(1, 51))
        assert world.index.fills == fills + 1

    async def test_that_is_being_filled_is_not_begun_anew_by_the_other_node(self, world: World) -> None:
        """The board's actor lives on one node and belongs to the other by hash."""
        world.north = await world.cluster.start("north")
        await world.define()
        await world.play(world.north, {"a": 5})
        world.south = await world.cluster.start("south")
        await world.clock.advance(2 * LOOK_S)
        world.index.hold = asyncio.Event()
        await world.index.drop(ALL.ranks)
        fills = world.index.fills
        heard = [node.ask(submitting(7), player) for node, player in ((world.north, "b"), (world.south, "c"))]
        await world.clock.advance(3 * LOOK_S)
        assert world.index.fills == fills + 1
        world.index.hold.set()
        await world.clock.advance(1)
        assert {h.reply.rank for h in heard} == {1, 2}

    async def test_that_goes_away_between_two_steps_costs_an_answer_nothing(self, world: World) -> None:
        """Filled, and lost again before it was read: the answer was an internal error."""
        await world.begin()
        await world.play(world.north, {"a": 5})
        read = world.index.read

        async def lost(table: RankTable, what: Any) -> Any:
            raise Incomplete(table.name)

        world.index.read = lost  # type: ignore[method-assign]
        assert await world.top(world.north) == [(1, "a", 5)]
        world.index.read = read  # type: ignore[method-assign]

    async def test_that_is_away_is_made_up_for_by_the_database(self, world: World) -> None:
        await world.begin()
        await world.play(world.north, {"a": 5, "b": 9})
        world.index.down = True
        assert (await world.said(world.south, submitting(7), "c")).rank == 2
        around = await world.said(world.south, LeaderboardAround(id=new_id(), board="arena", limit=3), "c")
        assert [(e.rank, e.owner) for e in around.entries] == [(1, "b"), (2, "c"), (3, "a")]
        assert around.size == 3

        world.index.down = False
        await world.clock.advance(LOOK_S)
        assert await world.indexed() == [(1, "b", 9), (2, "c", 7), (3, "a", 5)]

    async def test_is_told_the_newest_that_it_missed(self, world: World) -> None:
        """While the older one was placed the newer one failed, and was forgotten with it."""
        await world.begin()
        await world.play(world.north, {"a": 5})
        await world.clock.advance(4 * LOOK_S)
        world.index.down = True
        await world.play(world.north, {"b": 6})
        put = world.index.put
        late: list[Heard] = []

        async def flapping(table: RankTable, standings: Sequence[Standing], *, filling: bool = False) -> list[Placed]:
            if filling and not late:
                world.index.down = True
                late.append(world.north.ask(submitting(8), "b"))
                await settle_until_answered(late[0])
                world.index.down = False
            return await put(table, standings, filling=filling)

        world.index.put = flapping  # type: ignore[method-assign]
        world.index.down = False
        await world.clock.advance(3 * LOOK_S)
        assert late[0].reply.score == 8
        assert await world.indexed() == [(1, "b", 8), (2, "a", 5)]

    async def test_gets_what_a_node_had_committed_and_not_placed_when_it_died(self, world: World) -> None:
        await world.begin()
        await world.clock.advance(3 * LAG_S)
        await world.play(world.south, {"a": 5})
        world.index.down = True
        await world.play(world.north, {"b": 9})
        world.cluster.crash(world.north)
        await settle()
        world.index.down = False
        assert await world.indexed() == [(1, "a", 5)]

        await world.cluster.pass_lease()
        await world.clock.advance(2 * LOOK_S)
        assert await world.indexed() == [(1, "b", 9), (2, "a", 5)]
        assert await world.top(world.south) == [(1, "b", 9), (2, "a", 5)]

    async def test_agrees_with_the_database_and_the_check_says_so(self, world: World) -> None:
        await world.begin()
        await world.play(world.north, {f"p{n}": n for n in range(30)})
        said = await world.said(world.south, BoardCheck(id=new_id(), board="arena"), SERVER)
        assert (said.rows, said.ranked, said.different) == (30, 30, 0)
        await world.index.put(ALL.ranks, [Standing("p3", "p3", 99, 0, 1, 99), Standing("ghost", "", 1, 0, 1, 1)])
        said = await world.said(world.south, BoardCheck(id=new_id(), board="arena"), SERVER)
        assert (said.rows, said.ranked, said.different, said.examples) == (30, 31, 2, ["p3"])

    async def test_that_is_a_moment_behind_is_no_difference(self, world: World) -> None:
        """A check of a board that is played on named whoever was just on the way."""
        await world.begin()
        await world.play(world.north, {"a": 5, "b": 9})
        read = world.index.read

        async def behind(table: RankTable, what: Any) -> Any:
            page = await read(table, what)
            if isinstance(what, Of):
                world.index.read = read  # type: ignore[method-assign]
                return Page(page.size, page.entries[1:])
            return page

        world.index.read = behind  # type: ignore[method-assign]
        checked = await world.said(world.south, BoardCheck(id=new_id(), board="arena"))
        assert (checked.rows, checked.ranked, checked.different) == (2, 2, 0)

    async def test_does_not_keep_a_node_from_ending(self, world: World) -> None:
        await world.begin()
        heard = [world.north.ask(submitting(n), f"p{n}") for n in range(20)]
        await world.cluster.stop(world.north)
        assert {h.code for h in heard} <= {"ok", "node.unavailable", "unavailable"}
        await world.clock.advance(LEASE_S + 2 * LOOK_S)
        taken = sum(h.code == "ok" for h in heard)
        assert len(await world.top(world.south)) >= taken
