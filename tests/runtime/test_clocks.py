"""Clocks that are not right: a lease is the database's to judge, and a node's own only by what has passed."""

from typing import Any

import msgspec
import pytest

from actors.runtime.membership import MARGIN
from actors.runtime.observer import Activated, LeaseLost
from tests.runtime.rooms import Add, Get, Wind
from tests.support.clock import START_MS, settle
from tests.support.cluster import LEASE_S, Cluster, Member

HOUR_MS = 3_600_000
KEYS = [f"{n}" for n in range(8)]


@pytest.fixture
async def south(cluster: Cluster, north: Member) -> Member:
    """A second node, which ``north`` knows."""
    return await cluster.start("south")


# Leases.
@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS], ids=["ahead", "behind"])
async def test_a_node_whose_wall_clock_jumps_keeps_its_lease_and_takes_nobody_elses(
    cluster: Cluster, north: Member, south: Member, ahead_ms: int
) -> None:
    for key in KEYS:
        await north.said(Add(id="1", counter=key))
    south.clock.ahead_ms = ahead_ms
    await cluster.clock.advance(3 * LEASE_S)

    assert [(await south.said(Add(id="2", counter=key))).value for key in KEYS] == [2] * len(KEYS)
    assert not north.seen(LeaseLost) + south.seen(LeaseLost)
    assert len(north.seen(Activated) + south.seen(Activated)) == len(KEYS)


async def test_a_lease_is_counted_from_before_its_renewal_was_sent(
    cluster: Cluster, north: Member, south: Member
) -> None:
    """The database counts from when it got it: the way back of a slow answer is not part of the lease."""
    with north.store.holding("renew", applied=True) as hold:
        while not hold.reached.is_set():
            await cluster.clock.advance(0.1)
        sent = cluster.clock.monotonic()
        await cluster.clock.advance(LEASE_S / 2)
    north.store.down = True
    await settle()
    assert north.node.membership.serving

    await cluster.clock.advance(sent + LEASE_S * (1 - MARGIN) - cluster.clock.monotonic())
    assert not north.node.membership.serving


async def test_a_node_whose_clock_is_slow_stops_before_others_may_take_over(cluster: Cluster, north: Member) -> None:
    """What it takes for its lease is longer than it is, but shorter than the margin."""
    south = Member(cluster, "south")
    south.clock.rate = 0.95
    await cluster.add(south)
    key = next(key for key in KEYS if south.node.membership.owner_by_hash(f"counter:{key}") == "south")
    await south.said(Add(id="1", counter=key))

    south.store.down = True
    for _ in range(400):
        north.ask(Add(id="2", counter=key))
        await cluster.clock.advance(0.05)
        if north.seen(Activated):
            break

    assert [event.actor for event in north.seen(Activated)] == [f"counter:{key}"]
    assert south.seen(LeaseLost)
    assert (await north.said(Get(id="3", counter=key))).value == 2


async def test_when_the_databases_clock_jumps_two_own_an_actor_and_one_commits(
    cluster: Cluster, north: Member, south: Member
) -> None:
    """As after a failover to a server whose clock is ahead: every lease has run out, and only its owner thinks not."""
    key = next(key for key in KEYS if north.node.membership.owner_by_hash(f"counter:{key}") == "north")
    await north.said(Add(id="1", counter=key))
    cluster.database_clock.ahead_ms = HOUR_MS
    south.node.membership._placing = ("south",)
    assert (await south.said(Add(id="2", counter=key))).value == 2
    assert north.node.membership.serving

    north.ask(Add(id="3", counter=key))
    await cluster.clock.advance(2 * LEASE_S)
    assert (await north.said(Add(id="3", counter=key))).value == 3
    assert (await south.said(Add(id="4", counter=key))).value == 4


# Timers.
def rings(cluster: Cluster) -> list[float]:
    """Seconds since the start of the test that the committed state gives for when it rang."""
    found = cluster.store._db.execute("SELECT body FROM slices WHERE actor = 'counter:a'").fetchone()
    state: Any = msgspec.msgpack.decode(found[0])
    return [(at - START_MS) / 1000 for at in state["rings"]]


async def test_a_timer_fires_once_however_its_nodes_clock_jumps(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="1", in_s=600))
    north.clock.ahead_ms = HOUR_MS
    await cluster.clock.advance(4)
    (at,) = rings(cluster)
    assert at > 3600

    north.clock.ahead_ms = 0
    await cluster.clock.advance(700)
    assert rings(cluster) == [at]


async def test_a_timer_waits_while_the_clock_is_behind_and_fires_when_it_is_right_again(
    cluster: Cluster, north: Member
) -> None:
    await north.said(Wind(id="1", in_s=60))
    north.clock.ahead_ms = -HOUR_MS
    await cluster.clock.advance(120)
    assert rings(cluster) == []

    north.clock.ahead_ms = 0
    await cluster.clock.advance(4)
    assert len(rings(cluster)) == 1


async def test_a_timer_that_was_found_due_before_the_clock_went_back_waits_for_it(
    cluster: Cluster, north: Member
) -> None:
    await north.said(Wind(id="1", in_s=3))
    await cluster.clock.advance(2.1)
    north.clock.ahead_ms = -HOUR_MS
    await cluster.clock.advance(20)
    assert rings(cluster) == []

    north.clock.ahead_ms = 0
    await cluster.clock.advance(4)
    assert len(rings(cluster)) == 1


async def test_a_timers_turn_never_sees_a_time_before_the_timer_was_due(cluster: Cluster, north: Member) -> None:
    """The clock went back a little between the look that had found it and the firing."""
    await north.said(Wind(id="1", in_s=3))
    await cluster.clock.advance(2.1)
    north.clock.ahead_ms = -1_500
    await cluster.clock.advance(2)

    assert rings(cluster) == [3.0]


async def test_what_rings_again_and_again_rings_once_for_an_outage_and_goes_on_from_there(
    cluster: Cluster, north: Member
) -> None:
    """Twenty periods were missed. A room that wants each of them counts them itself, as the leaderboards do."""
    await north.said(Wind(id="1", in_s=5, then="again"))
    cluster.crash(north)
    await cluster.clock.advance(100)
    await cluster.start("south")
    await cluster.clock.advance(20)

    late, next_one = rings(cluster)
    assert late > 100
    assert 5 <= next_one - late <= 6.1
