"""Replicated rows: small tables that every node has whole in memory, and how soon each knows of a change."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.runtime.replicas import CHANNEL, PATIENCE_S, RELOAD_S
from storage import StoreDown
from tests.runtime.reaching import ROOMS, SetRule
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member
from tests.support.memory_store import Hold


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(ROOMS).running() as running:
        yield running


@pytest.fixture
async def south(cluster: Cluster, north: Member) -> Member:
    """A second node, which ``north`` knows."""
    return await cluster.start("south")


def known(member: Member) -> dict[str, int]:
    """What a node knows."""
    rules: dict[str, int] = member.node.replicas.values["rules"]
    return rules


async def kept(member: Member, value: int) -> None:
    """Change a row, and tell nobody."""
    await member.said(SetRule(id=f"r{value}", name="speed", value=value, spread=False))


# One node.
async def test_a_node_knows_the_rows_as_they_were_at_its_start(cluster: Cluster, north: Member) -> None:
    assert known(north) == {}
    await kept(north, 1)
    south = await cluster.start("south")

    assert known(south) == {"speed": 1}


async def test_a_node_alone_knows_a_change_at_once_and_tells_nobody(north: Member) -> None:
    await north.said(SetRule(id="1", name="speed", value=7))

    assert known(north) == {"speed": 7}
    assert CHANNEL not in north.bus.sent


async def test_who_watches_sees_what_is_known_and_every_change(north: Member) -> None:
    await north.said(SetRule(id="1", name="speed", value=7))
    seen: list[dict[str, int]] = []
    north.node.replicas.watch("rules", seen.append)
    await north.said(SetRule(id="2", name="speed", value=8))

    assert seen == [{"speed": 7}, {"speed": 8}]


async def test_a_node_alone_looks_again_for_what_it_could_not_read(cluster: Cluster, north: Member) -> None:
    """It looked again only while there were others: what it had missed, it missed for ever."""
    north.store.lose_next("select", applied=False)
    await north.said(SetRule(id="1", name="speed", value=7))
    assert known(north) == {}
    before = north.store.calls.count("select")
    await cluster.clock.advance(2 * RELOAD_S)

    assert known(north) == {"speed": 7}
    assert north.store.calls.count("select") == before + 1


async def test_a_turn_sees_what_its_node_knows(north: Member) -> None:
    await north.said(SetRule(id="1", name="speed", value=7))

    assert (await north.said(SetRule(id="2", name="speed", value=8))).rules == {"speed": 7}


async def test_of_two_readings_that_overlap_the_later_one_counts(north: Member) -> None:
    """The answer to the first came after that to the second, and a node that was alone kept what it said for ever."""
    await kept(north, 1)
    hold = north.store._after["select"] = Hold()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(north.node.replicas.load("rules"))
        await hold.reached.wait()
        del north.store._after["select"]
        await kept(north, 2)
        await north.node.replicas.load("rules")
        hold.over.set()

    assert known(north) == {"speed": 2}


# Several.
async def test_when_a_spread_is_over_every_node_knows(north: Member, south: Member) -> None:
    await kept(north, 1)
    async with asyncio.TaskGroup() as tasks:
        spreading = tasks.create_task(north.node.replicas.spread("rules"))
        with south.store.holding("select") as hold:
            await hold.reached.wait()
            await settle()
            assert not spreading.done()
        await settle()
        assert spreading.result()

    assert known(north) == known(south) == {"speed": 1}


async def test_after_many_changes_at_once_every_node_knows_the_last(
    cluster: Cluster, north: Member, south: Member
) -> None:
    for value in range(20):
        member = (north, south)[value % 2]
        member.ask(SetRule(id=f"r{value}", name=f"rule{value % 3}", value=value))
    await settle()

    rows = await cluster.store.select("SELECT name, value FROM rules")
    assert known(north) == known(south) == dict(rows)
    assert len(rows) == 3


@pytest.mark.parametrize("channel", [CHANNEL, f"{CHANNEL}:north"], ids=["the word", "the answer"])
async def test_a_word_that_is_lost_leaves_a_node_behind_no_longer_than_its_next_look(
    cluster: Cluster, north: Member, south: Member, channel: str
) -> None:
    for member in (north, south):
        member.bus.fate = lambda to, _payload: 0 if to == channel else 1
    await kept(north, 1)
    async with asyncio.TaskGroup() as tasks:
        spreading = tasks.create_task(north.node.replicas.spread("rules"))
        await cluster.clock.advance(PATIENCE_S)
        assert spreading.result() is False
    await cluster.clock.advance(RELOAD_S)

    assert known(north) == known(south) == {"speed": 1}


async def test_after_the_bus_was_away_a_node_looks_at_once(north: Member, south: Member) -> None:
    south.bus.cut = True
    await kept(north, 1)
    south.bus.reconnect()
    await settle()

    assert known(south) == {"speed": 1}


async def test_a_node_whose_store_is_away_knows_once_it_is_back(
    cluster: Cluster, north: Member, south: Member, logged: list[Any]
) -> None:
    await kept(north, 1)
    south.store.down = True
    async with asyncio.TaskGroup() as tasks:
        spreading = tasks.create_task(north.node.replicas.spread("rules"))
        await cluster.clock.advance(PATIENCE_S)
        assert spreading.result() is False
    assert known(south) == {}
    south.store.down = False
    await cluster.clock.advance(RELOAD_S)

    assert known(south) == {"speed": 1}
    assert [line["event"] for line in logged if line["event"] == "replica.not_read"] == ["replica.not_read"]


async def test_who_spreads_is_told_when_it_cannot_read_itself(north: Member, south: Member) -> None:
    await kept(north, 1)
    north.store.lose_next("select", applied=False)

    with pytest.raises(StoreDown):
        await north.node.replicas.spread("rules")
    assert not north.node.replicas._spreading


async def test_a_node_that_has_died_is_waited_for_no_longer_than_that(
    cluster: Cluster, north: Member, south: Member
) -> None:
    cluster.crash(south)
    await kept(north, 1)
    async with asyncio.TaskGroup() as tasks:
        spreading = tasks.create_task(north.node.replicas.spread("rules"))
        await cluster.clock.advance(PATIENCE_S)

    assert spreading.result() is False
    assert known(north) == {"speed": 1}


async def test_a_node_that_starts_while_a_change_is_spread_knows_soon(cluster: Cluster, north: Member) -> None:
    """Whoever spreads may not know of the node yet, and the node has read before the change."""
    north.bus.cut = True
    south = await cluster.start("south")
    await kept(north, 1)
    await north.node.replicas.load("rules")
    north.bus.cut = False
    await cluster.clock.advance(RELOAD_S)

    assert known(south) == {"speed": 1}


async def test_a_node_starts_when_its_store_answers_again(cluster: Cluster, north: Member) -> None:
    await kept(north, 1)
    north.bus.cut = True
    member = Member(cluster, "late")
    member.store.lose_next("select", applied=False)
    async with asyncio.TaskGroup() as tasks, member.bus.running():
        loading = tasks.create_task(member.node.replicas._load_first())
        await settle()
        assert not loading.done()
        await cluster.clock.advance(1)
        assert loading.done()

    assert known(member) == {"speed": 1}


async def test_what_is_not_understood_on_the_bus_is_dropped(north: Member, south: Member) -> None:
    north.bus.publish(CHANNEL, b"\xc1 nonsense")
    await north.said(SetRule(id="1", name="speed", value=3))
    await settle()

    assert known(south) == {"speed": 3}
