"""How many actors a node holds, by kind, as its metrics show: true whatever has become of them."""

from collections import Counter

from actors.runtime.observer import Activated, Dropped, Passivated
from tests.runtime.rooms import Add, Break, Get, Say, Visit
from tests.support.clock import settle
from tests.support.cluster import LEASE_S, Cluster, Member


def held(member: Member) -> dict[str, int]:
    """Counted one by one."""
    return dict(Counter(address.partition(":")[0] for address in member.node.host.activations))


def shown(member: Member) -> dict[str, int]:
    """Counted as they come and go."""
    return {kind: number for kind, number in member.node.host.activations.kinds.items() if number}


async def test_actors_are_counted_by_kind_until_they_are_put_away(cluster: Cluster, north: Member) -> None:
    for counter in "abc":
        await north.said(Add(id=counter, counter=counter))
    await north.said(Say(id="s"))
    assert shown(north) == {"counter": 3, "talk": 1}

    await cluster.clock.advance(400)
    assert len(north.seen(Passivated)) == 4
    assert shown(north) == {}


async def test_an_actor_that_is_loaded_again_after_a_defect_is_counted_once(north: Member) -> None:
    for n in range(3):
        north.ask(Break(id=f"{n}"))
        await settle()

    assert len(north.seen(Activated)) == 4
    assert shown(north) == held(north) == {"counter": 1}


async def test_an_actor_that_cannot_be_loaded_is_counted_while_it_is_set_aside_and_not_after(
    cluster: Cluster, north: Member
) -> None:
    """It left without ever having been activated, and the number fell below zero."""
    await north.said(Add(id="1"))
    await cluster.clock.advance(400)
    cluster.store._db.execute("UPDATE slices SET body = x'c1'")
    north.ask(Get(id="2"))
    await settle()
    assert shown(north) == held(north) == {"counter": 1}

    await cluster.clock.advance(62)
    assert shown(north) == held(north) == {}


async def test_actors_that_another_node_has_are_not_counted(cluster: Cluster, north: Member) -> None:
    south = await cluster.start("south")
    south.players.add("bo")
    await south.said(Visit(id="1"), "bo")
    north.node.router._directory.forget("player:bo")
    north.node.host.open("player:bo")
    await settle()

    assert shown(north) == held(north) == {}
    assert shown(south) == held(south) == {"player": 1}


async def test_nothing_is_counted_after_a_lease_was_lost_among_loaded_and_loading_actors(
    cluster: Cluster, north: Member
) -> None:
    await north.said(Add(id="1"))
    with north.store.holding("claim") as hold:
        north.ask(Add(id="2", counter="b"))
        await hold.reached.wait()
        assert shown(north) == {"counter": 2}
        north.store.down = True
        await cluster.clock.advance(LEASE_S)
        north.store.down = False
    await settle()
    assert len(north.seen(Dropped)) == 2
    assert len(north.seen(Activated)) == 1
    assert shown(north) == held(north) == {}

    await cluster.clock.advance(LEASE_S)
    await north.said(Add(id="3", counter="c"))
    assert shown(north) == held(north) == {"counter": 1}


async def test_an_entry_that_takes_the_place_of_another_is_counted_once(north: Member) -> None:
    await north.said(Add(id="1"))
    table = north.node.host.activations
    table["counter:a"] = table["counter:a"]

    assert shown(north) == held(north) == {"counter": 1}
