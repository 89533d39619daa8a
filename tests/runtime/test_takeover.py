"""Two nodes that want the same actor, or the same op, at the same moment: after a death, in a handover, in a race."""

import pytest

from actors.runtime.observer import Activated, LeaseLost
from tests.runtime.rooms import TOPIC, Add, Get, Join, Look, Order, Say
from tests.support.clock import settle
from tests.support.cluster import LEASE_S, Cluster, Heard, Member, Phone

KEYS = [f"k{n}" for n in range(12)]


@pytest.fixture
async def three(cluster: Cluster, north: Member) -> tuple[Member, Member, Member]:
    """Nodes that know each other."""
    return north, await cluster.start("south"), await cluster.start("east")


def row(cluster: Cluster, actor: str) -> tuple[str, int]:
    """Owner and fence by the store."""
    ((owner, fence),) = cluster.store._db.execute("SELECT owner, fence FROM actors WHERE actor = ?", (actor,))
    return str(owner), int(fence)


def take_everything(*members: Member) -> None:
    """Have each believe that whatever has no owner is its own to take."""
    for member in members:
        member.node.membership._placing = (member.name,)


async def test_of_two_nodes_that_see_a_lease_run_out_at_once_one_takes_over_and_the_other_sends_there(
    cluster: Cluster, three: tuple[Member, Member, Member]
) -> None:
    north, south, east = three
    keys = [key for key in KEYS if north.node.membership.owner_by_hash(f"counter:{key}") == "north"]
    for key in keys:
        await north.said(Add(id="1", counter=key))
    fences = {key: row(cluster, f"counter:{key}")[1] for key in keys}
    cluster.crash(north)
    await cluster.clock.advance(LEASE_S - 0.1)
    take_everything(south, east)
    for member in (south, east):
        member.node.router._directory.forget_nodes(frozenset({"north"}))
    asks: list[Heard] = []
    for _ in range(4):
        asks += [member.ask(Add(id=f"{member.name}", counter=key)) for key in keys for member in (south, east)]
        await cluster.clock.advance(0.5)

    assert [ask.code for ask in asks] == ["ok"] * len(asks)
    assert {ask.reply.value for ask in asks} == {2, 3}
    taken = [event for member in (south, east) for event in member.seen(Activated)]
    assert sorted((event.actor, event.fence) for event in taken) == sorted(
        (f"counter:{key}", fences[key] + 1) for key in keys
    )


async def test_an_owner_that_was_handing_over_when_its_lease_ran_out_takes_nothing_from_the_next(
    cluster: Cluster, three: tuple[Member, Member, Member]
) -> None:
    """What gives an actor up is a write as any other: it came late, and the row was somebody else's by then."""
    north, south, _ = three
    key = next(key for key in KEYS if north.node.membership.owner_by_hash(f"counter:{key}") == "north")
    await north.said(Add(id="1", counter=key))
    with north.store.holding("commit") as hold:
        north.node.host.give_up(f"counter:{key}")
        await hold.reached.wait()
        cluster.pause(north)
        await cluster.pass_lease()
        assert (await south.said(Add(id="2", counter=key))).value == 2
        before = row(cluster, f"counter:{key}")
        cluster.resume(north)
    await settle()

    assert row(cluster, f"counter:{key}") == before
    assert before[0] != "north"
    assert (await south.said(Add(id="3", counter=key))).value == 3


# The same op at once.
@pytest.mark.parametrize("deferred", [False, True], ids=["answered at once", "answered later"])
async def test_the_same_op_on_two_nodes_that_both_take_its_actor_is_one_turn_with_one_reply_for_both(
    cluster: Cluster, three: tuple[Member, Member, Member], deferred: bool
) -> None:
    _, south, east = three
    take_everything(south, east)
    asks = [
        member.ask(Order(id="1", purse=key, via=f"{key}-via") if deferred else Add(id="1", counter=key))
        for key in KEYS
        for member in (south, east, south)
    ]
    await cluster.clock.advance(1)

    assert [ask.code for ask in asks] == ["ok"] * len(asks)
    for key in KEYS:
        if deferred:
            assert (await south.said(Look(id="2", purse=key))).left == 1
        else:
            assert (await south.said(Get(id="2", counter=key))).value == 1


# A seq that was given to what nobody saw.
async def test_a_seq_whose_owner_died_before_its_commit_is_given_again_and_heard_once(
    cluster: Cluster, three: tuple[Member, Member, Member]
) -> None:
    for n in range(9):
        await three[0].said(Say(id=f"{n}", text=f"{n}"))
    owner = next(member for member in three if TOPIC in member.node.host.activations)
    other = next(member for member in three if member is not owner)
    phones = [Phone("on the owner"), Phone("elsewhere")]
    for member, phone in zip((owner, other), phones, strict=True):
        await member.said(Join(id="j"), phone.player, phone)

    with owner.store.holding("commit"):
        unseen = owner.ask(Say(id="unseen", text="never"))
        await settle()
        cluster.pause(owner)
        lost = owner.expect(LeaseLost)
        await cluster.pass_lease()
        said = await other.said(Say(id="seen", text="tenth"))
        cluster.resume(owner)
        await settle()
    await cluster.clock.advance(LEASE_S)

    assert said.seq == 10
    assert lost.done()
    assert unseen.code == "unavailable"
    for phone in phones:
        assert [(frame["seq"], frame["text"]) for frame in phone.frames] == [(10, "tenth")]
