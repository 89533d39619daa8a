"""Calls and services: what runs beside the turns, after the commit, and comes back as a turn. At most once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.runtime.node import Stamps
from protocol import Unavailable
from storage import StoreDown
from tests.runtime.reaching import ROOMS, Closed, Seen, Send, Stamp, owner_of, shop
from tests.support.clock import FakeClock, settle
from tests.support.cluster import Cluster, Member


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(ROOMS).running() as running:
        yield running


@pytest.fixture
async def pair(cluster: Cluster, north: Member) -> tuple[Member, Member]:
    """The node that runs the errand, and the other."""
    south = await cluster.start("south")
    await north.said(Seen(id="where"))
    return owner_of("errand:a", north, south)


async def brought(member: Member) -> list[str]:
    """What the errand has been brought."""
    found: list[str] = (await member.said(Seen(id="seen"))).brought
    return found


def take_over(cluster: Cluster, actor: str, by: Member) -> None:
    """Make ``by`` the owner, as if the other node's lease had run out without that one noticing."""
    cluster.store._db.execute("UPDATE actors SET owner = ?, fence = fence + 1 WHERE actor = ?", (by.name, actor))


# The way there and back.
async def test_a_call_runs_after_the_commit_and_comes_back_as_a_turn(north: Member) -> None:
    with north.store.holding("commit") as hold:
        north.ask(Send(id="1", things=["bread", "milk"]))
        await hold.reached.wait()
        await settle()
        assert shop(north).looks == 0
    await settle()

    assert await brought(north) == ["bread", "milk"]


async def test_what_it_brings_back_is_committed_like_any_turn(cluster: Cluster, pair: tuple[Member, Member]) -> None:
    owner, other = pair
    await owner.said(Send(id="1", things=["bread"]))
    cluster.crash(owner)
    await cluster.pass_lease()

    assert await brought(other) == ["bread"]


async def test_a_refused_or_undone_turn_calls_nobody(cluster: Cluster, north: Member) -> None:
    await north.said(Seen(id="0"))
    await cluster.store.claim("north", ["errand:a"])  # fenced out: the turn runs again on the next activation
    await north.said(Send(id="1", things=["bread"]))
    await north.said(Send(id="1", things=["bread"]))

    assert shop(north).looks == 1
    assert await brought(north) == ["bread"]


async def test_a_call_that_brings_nothing_back_is_over(north: Member) -> None:
    await north.said(Send(id="1", things=["nothing", "bread"]))

    assert (await brought(north), shop(north).looks) == (["bread"], 2)


async def test_it_runs_where_the_actor_is(pair: tuple[Member, Member]) -> None:
    owner, other = pair
    await other.said(Send(id="1", things=["bread"]))
    await settle()

    assert (shop(owner).looks, shop(other).looks) == (1, 0)


# What goes wrong.
@pytest.mark.parametrize(
    ("error", "event"),
    [
        (StoreDown("away"), "call.failed"),
        (Closed("closed"), "call.failed"),
        (Unavailable("away"), "call.failed"),
        (RuntimeError("a mistake"), "call.defect"),
        (KeyError("a mistake"), "call.defect"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_call_that_fails_is_logged_and_harms_nobody(
    north: Member, logged: list[Any], error: Exception, event: str
) -> None:
    shop(north).error = error
    await north.said(Send(id="1", things=["bread"]))
    await settle()
    shop(north).error = None
    await north.said(Send(id="2", things=["milk"]))

    assert await brought(north) == ["milk"]
    assert [line["event"] for line in logged if line["event"].startswith("call.")] == [event]


async def test_a_mistake_in_the_turn_that_hears_it_costs_that_turn_only(north: Member, logged: list[Any]) -> None:
    await north.said(Send(id="1", things=["bread", "mistake", "milk"]))

    assert sorted(await brought(north)) == ["bread", "milk"]
    assert [line["message"] for line in logged if line["event"] == "turn.failed"] == ["Brought"]


async def test_a_call_is_lost_with_its_node(cluster: Cluster, pair: tuple[Member, Member]) -> None:
    owner, other = pair
    shop(owner).open.clear()
    await owner.said(Send(id="1", things=["bread"]))
    cluster.crash(owner)
    await cluster.pass_lease()

    assert await brought(other) == []
    assert (await other.said(Send(id="1", things=["bread"]))).brought == []


async def test_what_comes_back_to_an_actor_that_is_not_here_any_more_is_dropped(
    cluster: Cluster, pair: tuple[Member, Member]
) -> None:
    owner, _ = pair
    shop(owner).open.clear()
    await owner.said(Send(id="1", things=["bread"]))
    owner.node.host.activations["errand:a"].drop("a test")
    shop(owner).open.set()
    await settle()

    assert await brought(owner) == []


async def test_what_was_heard_by_an_actor_that_another_node_has_taken_is_dropped(
    cluster: Cluster, north: Member
) -> None:
    """It was to be sent on like a request, for which there is no frame: the node ended."""
    keys = [f"k{n}" for n in range(20)]
    for key in keys:
        await north.said(Seen(id=f"first-{key}", errand=key))
    south = await cluster.start("south")
    key = next(key for key in keys if north.node.membership.owner_by_hash(f"errand:{key}") == "south")
    shop(north).open.clear()
    await north.said(Send(id="1", errand=key, things=["bread"]))
    with north.store.holding("commit") as hold:
        shop(north).open.set()
        await hold.reached.wait()
        take_over(cluster, f"errand:{key}", south)
    await settle()

    assert (await north.said(Seen(id="2", errand=key))).brought == []
    assert (await south.said(Send(id="3", errand=key, things=["milk"]))).brought == []


async def test_what_comes_back_while_the_actor_is_loaded_anew_is_heard(cluster: Cluster, north: Member) -> None:
    shop(north).open.clear()
    await north.said(Send(id="1", things=["bread", "milk"]))
    with north.store.holding("claim") as hold:
        shop(north).error = None
        north.ask(Send(id="2", things=[]))
        await settle()
        north.node.host.activations["errand:a"]._start_over([])
        await hold.reached.wait()
        shop(north).open.set()
        await settle()
    await settle()

    assert sorted(await brought(north)) == ["bread", "milk"]


async def test_what_comes_back_to_an_actor_that_another_node_has_taken_meanwhile_is_dropped(
    cluster: Cluster, pair: tuple[Member, Member]
) -> None:
    """It waited in the mailbox of an actor that was being claimed, and was then to be sent to the new owner."""
    owner, other = pair
    shop(owner).open.clear()
    await owner.said(Send(id="1", things=["bread"]))
    with owner.store.holding("claim") as hold:
        owner.node.host.activations["errand:a"]._start_over([])
        await hold.reached.wait()
        shop(owner).open.set()
        await settle()
        take_over(cluster, "errand:a", other)
    await settle()

    assert "errand:a" not in owner.node.host.activations
    assert await brought(owner) == []


async def test_a_node_that_ends_does_not_wait_for_a_call_for_long(cluster: Cluster, north: Member) -> None:
    """It was waited for, and what it waited for had ended before."""
    shop(north).open.clear()
    await north.said(Send(id="1", things=["bread"]))

    await cluster.stop(north)


# A part of a room that lives as long as its node.
async def test_a_service_runs_from_the_nodes_start_to_its_end(cluster: Cluster, north: Member) -> None:
    served = shop(north)
    assert served.runs
    await cluster.stop(north)

    assert not served.runs


async def test_every_node_has_its_own(pair: tuple[Member, Member]) -> None:
    assert shop(pair[0]) is not shop(pair[1])


# Stamps.
async def test_a_stamp_is_never_given_twice_whatever_the_clock_does(north: Member) -> None:
    stamps = [(await north.said(Stamp(id=f"{n}", errand=f"{n % 3}"))).total for n in range(30)]

    assert stamps == sorted(set(stamps))


def test_stamps_rise_also_when_the_wall_clock_goes_back() -> None:
    clock = FakeClock()
    stamp = Stamps(clock)
    first = stamp()
    clock.spend(-3600)
    second = stamp()
    clock.spend(7200)

    assert first < second < stamp()
    assert second - first == 1


async def test_an_async_part_asks_other_actors(north: Member) -> None:
    async def ask() -> Any:
        return await shop(north).reach.ask(Send(id="1", errand="b", things=[]))

    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask())
        await settle()

    assert asking.result().brought == []
