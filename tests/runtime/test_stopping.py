"""A node that ends in good order leaves nobody waiting who asked on it."""

from tests.runtime.rooms import Add
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member


def key_of(member: Member) -> str:
    """A counter that is placed on this node."""
    placed = member.node.membership.owner_by_hash
    return next(f"k{n}" for n in range(99) if placed(f"counter:k{n}") == member.name)


async def test_who_waits_for_another_node_is_told_to_come_back(cluster: Cluster, north: Member) -> None:
    """A request over HTTP once hung until it was cut, with a 500 of no known form, while its node was replaced."""
    south = await cluster.start("south")
    key = key_of(south)
    with south.store.holding("commit") as held:
        asked = north.ask(Add(id="a-1", counter=key))
        await held.reached.wait()
        await cluster.stop(north)
        assert asked.code == "unavailable"

    await settle()
    assert (await south.said(Add(id="a-1", counter=key))).value == 1


async def test_who_asks_when_it_has_stopped_is_told_so_too(cluster: Cluster, north: Member) -> None:
    south = await cluster.start("south")
    keys = key_of(north), key_of(south)
    await cluster.stop(north)
    for key in keys:
        asked = north.ask(Add(id="a-1", counter=key))
        await settle()
        assert asked.code == "unavailable"
