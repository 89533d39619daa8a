"""A lease that ran out while the node lived on: what it owned, and when it serves again."""

from typing import Any

from actors.runtime.membership import RENEWALS
from actors.runtime.observer import LeaseLost, LeaseTaken
from tests.runtime.rooms import Add, Get
from tests.support.clock import settle
from tests.support.cluster import LEASE_S, Cluster, Member


async def test_after_an_outage_of_the_store_every_actor_answers_again_whoever_owned_it(
    cluster: Cluster, north: Member
) -> None:
    """South came later, so north owned what by hash belongs to south. When both had lost their leases north asked
    south, whose claim was refused in favour of north, which had forgotten all and asked south: nobody ever answered."""
    keys = [f"{n}" for n in range(20)]
    for key in keys:
        await north.said(Add(id="1", counter=key))
    south = await cluster.start("south")
    for member in (north, south):
        member.store.down = True
    await cluster.pass_lease()
    for member in (north, south):
        member.store.down = False
    await cluster.clock.advance(LEASE_S)

    for member in (north, south):
        assert [(await member.said(Add(id=member.name, counter=key))).value for key in keys] == (
            [2] * len(keys) if member is north else [3] * len(keys)
        )


async def test_a_renewal_that_is_answered_after_its_lease_ran_out_is_no_lease(
    cluster: Cluster, north: Member, logged: list[Any]
) -> None:
    """The store hung for longer than a lease: its late yes was taken for a lease that had run out by then, given up
    again a moment later, and what had been loaded in between was dropped a second time."""
    with north.store.holding("renew") as hold:
        await cluster.clock.advance(LEASE_S / 2)
        await hold.reached.wait()
        cluster.clock.spend(2 * LEASE_S)
    await settle()
    await cluster.clock.advance(1)

    assert north.node.membership.serving
    assert len(north.seen(LeaseLost)) == 1
    assert len(north.seen(LeaseTaken)) == 2
    assert [line["event"] for line in logged if line["event"].startswith("lease.")].count("lease.lost") == 1


async def test_a_node_whose_lease_the_databases_clock_has_jumped_over_knows_nothing_from_before(
    cluster: Cluster, north: Member
) -> None:
    """Its next write would have been fenced, but it renewed its row as if nothing had happened, and answered reads
    with what its successor had long changed."""
    south = await cluster.start("south")
    keys = [f"{n}" for n in range(20)]
    theirs = [key for key in keys if north.node.membership.owner_by_hash(f"counter:{key}") == "south"]
    for key in keys:
        await north.said(Add(id="1", counter=key))
    north.bus.cut = True  # nobody tells it
    cluster.database_clock.ahead_ms = 60_000
    south.node.membership.look()
    await settle()
    for key in theirs:
        assert (await south.said(Add(id="2", counter=key))).value == 2
    await cluster.clock.advance(LEASE_S / RENEWALS)
    north.bus.reconnect()
    await settle()

    assert len(north.seen(LeaseLost)) == 1
    assert north.node.membership.serving
    assert [(await north.said(Get(id="3", counter=key))).value for key in theirs] == [2] * len(theirs)


async def test_a_lease_that_ran_out_is_known_as_such_though_the_first_answer_was_lost(
    cluster: Cluster, north: Member
) -> None:
    await north.said(Add(id="1", counter="a"))
    cluster.database_clock.ahead_ms = 60_000
    north.store.lose_next("renew", applied=True)
    await cluster.clock.advance(LEASE_S / RENEWALS + 1)

    assert len(north.seen(LeaseLost)) == 1
    assert north.node.membership.serving
    assert (await north.said(Get(id="2", counter="a"))).value == 1
