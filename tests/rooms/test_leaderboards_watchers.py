"""Who watches a board sees its last state, on whichever node, whatever dies or is away meanwhile."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.leaderboards import ScoreRemove
from actors.leaderboards.keeper import LOOK_S
from actors.leaderboards.messages import (
    LeaderboardWatch,
)
from tests.rooms.arena import MINUTELY, SERVER, by, new_id, submitting
from tests.rooms.arena_nodes import MINUTE_S, World, playing
from tests.support.cluster import Member, Phone


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with playing() as made:
        yield made


class TestWatchers:
    async def watch(self, world: World, member: Member, player: str) -> Phone:
        phone = Phone(player)
        member.players.add(player)
        watched = await member.said(LeaderboardWatch(id=new_id(), board="arena"), player, phone)
        assert watched.board == "arena"
        return phone

    def changes(self, phone: Phone) -> list[dict[str, Any]]:
        return [frame for frame in phone.frames if frame["t"] == "leaderboard.changed"]

    def leaders(self, phone: Phone) -> list[str]:
        return [entry["owner"] for entry in self.changes(phone)[-1]["top"]]

    async def test_on_every_node_see_the_last_state_at_most_four_times_a_second(self, world: World) -> None:
        await world.begin()
        phones = [await self.watch(world, node, f"w{n}") for n, node in enumerate((world.north, world.south))]
        for n in range(100):
            (world.north, world.south)[n % 2].ask(submitting(n), f"p{n}")
            await world.clock.advance(0.02)
        await world.clock.advance(1)
        for phone in phones:
            assert self.leaders(phone) == [f"p{n}" for n in range(99, 89, -1)]
            times = [change["at"] for change in self.changes(phone)]
            assert 4 <= len(times) <= 14
            assert all(later - earlier >= 1000 for earlier, later in zip(times, times[4:], strict=False))

    async def test_hear_nothing_of_what_happens_below(self, world: World) -> None:
        await world.begin()
        await world.play(world.north, {f"p{n}": 100 + n for n in range(10)})
        await world.clock.advance(1)
        phone = await self.watch(world, world.south, "w")
        await world.play(world.north, {f"q{n}": n for n in range(10)})
        await world.clock.advance(1)
        assert self.changes(phone) == []

    async def test_see_the_last_change_although_the_boards_node_died_with_it(self, world: World) -> None:
        await world.begin()
        hosts = [m for m in (world.north, world.south) if m.node.host.find("leaderboard:arena") is not None]
        [home] = hosts
        other = world.south if home is world.north else world.north
        phone = await self.watch(world, other, "w")
        await world.play(other, {"a": 5})
        await world.clock.advance(1)
        home.bus.cut = True
        await world.play(other, {"b": 9})
        world.cluster.crash(home)
        await world.cluster.pass_lease()
        await world.clock.advance(3 * LOOK_S)
        assert self.leaders(phone) == ["b", "a"]

    async def test_see_what_was_missed_while_the_index_was_away(self, world: World) -> None:
        await world.begin()
        phone = await self.watch(world, world.south, "w")
        world.index.down = True
        await world.play(world.north, {"a": 5})
        world.index.down = False
        await world.clock.advance(2 * LOOK_S)
        assert self.leaders(phone) == ["a"]

    async def test_see_the_new_period_begin(self, world: World) -> None:
        await world.begin(reset=MINUTELY)
        phone = await self.watch(world, world.south, "w")
        await world.play(world.north, {"a": 5})
        await world.clock.advance(MINUTE_S)
        [reset] = [frame for frame in phone.frames if frame["t"] == "leaderboard.reset"]
        last = self.changes(phone)[-1]
        assert (last["period"], last["top"], last["size"]) == (reset["period"], [], 0)

    async def test_see_a_new_definition_begin(self, world: World) -> None:
        await world.begin()
        phone = await self.watch(world, world.south, "w")
        await world.play(world.north, {"a": 5})
        await world.clock.advance(1)
        await world.define(order="asc")
        await world.clock.advance(1)
        resets = [(f["ended"], f["period"]) for f in phone.frames if f["t"] == "leaderboard.reset"]
        assert resets == [("all", "all~2")]
        assert (self.changes(phone)[-1]["period"], self.changes(phone)[-1]["top"]) == ("all~2", [])

    async def test_see_somebody_removed(self, world: World) -> None:
        await world.begin()
        phone = await self.watch(world, world.south, "w")
        await world.play(world.north, {"a": 5, "b": 9})
        await world.clock.advance(1)
        await world.said(world.north, ScoreRemove(id=new_id(), owner="b", board="arena", by=by()), SERVER)
        await world.clock.advance(1)
        assert self.leaders(phone) == ["a"]
        assert await world.top(world.south) == [(1, "a", 5)]
