"""Timers: each fires once for each time it was set, late rather than never, whatever happens to its actor."""

from typing import Any

import msgspec
import pytest

from tests.runtime.rooms import Add, Get, Wind
from tests.support.clock import START_MS, settle
from tests.support.cluster import Cluster, Member


def rings(cluster: Cluster) -> list[float]:
    """Seconds since the start of the test at which the committed state says that it rang."""
    found = cluster.store._db.execute("SELECT body FROM slices WHERE actor = 'counter:a'").fetchone()
    state: Any = msgspec.msgpack.decode(found[0])
    return [(at - START_MS) / 1000 for at in state["rings"]]


def waiting(cluster: Cluster) -> list[str]:
    """Names of the timers that are set."""
    return [name for (name,) in cluster.store._db.execute("SELECT name FROM timers")]


async def test_a_timer_fires_once_about_when_it_is_due(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="1", in_s=10))
    await cluster.clock.advance(9.9)
    assert rings(cluster) == []
    await cluster.clock.advance(30)

    (at,) = rings(cluster)
    assert 10 <= at <= 11.1
    assert waiting(cluster) == []


@pytest.mark.parametrize("in_s", [0.0, 0.2])
async def test_a_timer_that_is_due_at_once_fires_within_about_a_second(
    cluster: Cluster, north: Member, in_s: float
) -> None:
    await north.said(Wind(id="1", in_s=in_s))
    await cluster.clock.advance(2)

    assert len(rings(cluster)) == 1


async def test_a_timer_of_a_passive_actor_fires(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="1", in_s=1_000))
    await cluster.clock.advance(500)
    assert not north.node.host.activations
    await cluster.clock.advance(502)

    assert len(rings(cluster)) == 1


async def test_a_timer_that_was_due_while_nobody_ran_fires_late(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="1", in_s=5))
    cluster.crash(north)
    await cluster.clock.advance(100)
    await cluster.start("south")
    await cluster.clock.advance(3)

    (at,) = rings(cluster)
    assert at > 100


async def test_a_cancelled_timer_does_not_fire(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="1", in_s=10))
    await north.said(Wind(id="2", in_s=None))
    await cluster.clock.advance(30)

    assert (rings(cluster), waiting(cluster)) == ([], [])


async def test_a_timer_that_is_set_again_fires_at_its_new_time_only(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="1", in_s=10))
    await cluster.clock.advance(9.5)  # by now it has been fetched to be fired
    await north.said(Wind(id="2", in_s=20))
    await cluster.clock.advance(60)

    (at,) = rings(cluster)
    assert 29.5 <= at <= 31


async def test_a_timer_may_set_itself_again(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="1", in_s=5, then="again"))
    await cluster.clock.advance(30)

    assert len(rings(cluster)) == 2
    assert waiting(cluster) == []


async def test_a_timer_that_was_fired_and_not_committed_fires_for_the_next_owner_once(
    cluster: Cluster, north: Member
) -> None:
    south = await cluster.start("south")
    await north.said(Wind(id="1", in_s=5))
    owner = north if "counter:a" in north.node.host.activations else south
    with owner.store.holding("commit") as hold:
        await cluster.clock.advance(7)
        assert hold.reached.is_set()
        cluster.pause(owner)
        await cluster.clock.advance(15)
        cluster.resume(owner)
    await cluster.clock.advance(5)

    assert len(rings(cluster)) == 1


async def test_a_timer_fires_once_though_its_commit_is_repeated(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="1", in_s=5))
    for _ in range(3):
        north.store.lose_next("commit", applied=True)
    await cluster.clock.advance(20)

    assert len(rings(cluster)) == 1


async def test_a_timer_that_refuses_is_done_with(cluster: Cluster, north: Member) -> None:
    """Its row was once kept until something else was saved, and fired again every second."""
    await north.said(Wind(id="1", in_s=5, then="refuse"))
    await cluster.clock.advance(8)

    assert waiting(cluster) == []
    assert (await north.said(Get(id="2"))).value == 0


async def test_a_timer_that_fails_is_tried_again_and_its_actor_goes_on(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="1", in_s=5, then="break"))
    await cluster.clock.advance(8)

    assert (await north.said(Add(id="2"))).value == 1
    assert waiting(cluster) == ["alarm"]
    await settle()
