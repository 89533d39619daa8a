"""A tell that was set aside can be tried again, and then has its effect once; or it is given up."""

from typing import Any

import pytest
from msgspec import structs

from actors.runtime import Context
from actors.runtime.relay import TRIES
from tests.runtime.rooms import Add, Got, Look, NotAside, Pay, Purse, Settle
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member

GIVEN_UP_S = TRIES * 3
"""Until a tell that fails is set aside."""


def mend(cluster: Cluster) -> None:
    """Have the receivers hear what they could not, as after a release without the mistake."""
    turns = cluster.blueprint.kinds["purse"].turns

    def got(_ctx: Context, mine: Purse, msg: Got) -> None:
        mine.coins += msg.amount
        mine.got.append(msg.amount)

    turns[Got] = structs.replace(turns[Got], run=got)


def outbox(cluster: Cluster) -> list[tuple[Any, ...]]:
    """Number and reason of what was told and not heard."""
    return cluster.store._db.execute("SELECT number, failed FROM outbox ORDER BY number").fetchall()


def got(cluster: Cluster, purse: str = "b") -> list[int]:
    """What a purse has got, in order."""
    holders = [m for m in cluster.members.values() if not m.over and f"purse:{purse}" in m.node.host.activations]
    actor = holders[0].node.host.activations[f"purse:{purse}"].actor
    assert actor is not None
    state: Any = actor.states()["purse"]
    return list(state.got)


async def poisoned(cluster: Cluster, member: Member, *then: int) -> None:
    """Have purse a's first tell to b, of 1 coin, set aside, and the ones after it heard."""
    await member.said(Pay(id="p-1", kind="poison", amount=1))
    for n, amount in enumerate(then, 2):
        await member.said(Pay(id=f"p-{n}", amount=amount))
    await cluster.clock.advance(GIVEN_UP_S)
    ((number, failed),) = outbox(cluster)
    assert (number, failed[:8]) == (1, "internal")


async def test_it_is_heard_once_although_later_ones_were_heard_before(cluster: Cluster, north: Member) -> None:
    """Its receiver has heard higher numbers of the same sender: under its own it would be taken for a repeat."""
    await poisoned(cluster, north, 20, 30)
    mend(cluster)

    await north.said(Settle(id="s-1"))

    assert got(cluster) == [20, 30, 1]
    assert outbox(cluster) == []
    assert north.node.relay.waiting == 0


async def test_it_comes_after_what_was_told_before_it_was_tried_again(cluster: Cluster, north: Member) -> None:
    await poisoned(cluster, north)
    mend(cluster)
    with north.store.holding("commit") as hold:
        north.ask(Pay(id="p-2", amount=20))
        await hold.reached.wait()
        north.ask(Settle(id="s-1"))
        north.ask(Pay(id="p-3", amount=30))
    await settle()

    assert got(cluster) == [20, 1, 30]


async def test_the_second_time_there_is_nothing_to_try_again(cluster: Cluster, north: Member) -> None:
    await poisoned(cluster, north)
    mend(cluster)
    first, second = north.ask(Settle(id="s-1")), north.ask(Settle(id="s-2"))
    await settle()

    assert (first.code, second.code) == ("ok", NotAside.code)
    assert got(cluster) == [1]


async def test_it_is_found_after_its_sender_was_put_away(cluster: Cluster, north: Member) -> None:
    await poisoned(cluster, north, 20)
    mend(cluster)
    await cluster.clock.advance(400)
    assert not north.node.host.activations

    await north.said(Settle(id="s-1"))

    assert got(cluster) == [20, 1]
    assert outbox(cluster) == []


async def test_one_that_fails_again_is_set_aside_again_with_the_new_reason(cluster: Cluster, north: Member) -> None:
    await poisoned(cluster, north, 20)
    ((_, before),) = outbox(cluster)

    await north.said(Settle(id="s-1"))
    await cluster.clock.advance(GIVEN_UP_S)

    ((number, after),) = outbox(cluster)
    assert number == 3
    assert after.startswith("internal under trace")
    assert after != before
    mend(cluster)
    await north.said(Settle(id="s-2", key=3))
    assert got(cluster) == [20, 1]


@pytest.mark.parametrize("applied", [False, True])
async def test_a_crash_at_its_commit_leaves_it_set_aside_or_has_it_heard_once(cluster: Cluster, applied: bool) -> None:
    north, south = await cluster.start("north"), await cluster.start("south")
    await poisoned(cluster, north, 20)
    mend(cluster)
    sender = next(m for m in (north, south) if "purse:a" in m.node.host.activations)
    other = south if sender is north else north
    with sender.store.holding("commit", applied=applied) as hold:
        sender.ask(Settle(id="s-1"))
        await hold.reached.wait()
        cluster.crash(sender)
        await settle()
    await cluster.clock.advance(30)  # the lease, then the look for tells that were left behind

    if applied:
        assert outbox(cluster) == []
    else:
        assert [number for number, _ in outbox(cluster)] == [1]
        await other.said(Settle(id="s-2"))
    await other.said(Look(id="look", purse="b"))
    assert got(cluster)[-1:] == [1]
    assert sorted(got(cluster)) == [1, 20]


async def test_it_is_heard_once_though_its_commit_and_its_delivery_are_repeated(cluster: Cluster) -> None:
    north, south = await cluster.start("north"), await cluster.start("south")
    await poisoned(cluster, north, 20)
    mend(cluster)
    sender = next(m for m in (north, south) if "purse:a" in m.node.host.activations)
    sender.store.lose_next("commit", applied=True)
    for member in (north, south):
        member.bus.fate = lambda channel, _payload: 2 if channel.startswith("node:") else 1

    asked = sender.ask(Settle(id="s-1"))
    await cluster.clock.advance(10)

    assert asked.code == "ok"
    assert got(cluster) == [20, 1]
    assert outbox(cluster) == []


async def test_one_that_is_given_up_is_never_heard(cluster: Cluster, north: Member) -> None:
    await poisoned(cluster, north, 20)
    mend(cluster)

    await north.said(Settle(id="s-1", again=False))
    assert outbox(cluster) == []
    await cluster.clock.advance(400)  # put away, and loaded by the next request
    await north.said(Pay(id="p-9", amount=30))

    assert got(cluster)[-1:] == [30]
    assert (await north.said(Look(id="look", purse="b"))).left == 50


async def test_one_that_is_still_on_its_way_cannot_be_tried_again(cluster: Cluster, north: Member) -> None:
    await north.said(Pay(id="p-1", kind="poison"))
    asked = [north.ask(Settle(id=f"s-{again}", again=again)) for again in (True, False)]
    await settle()

    assert [each.code for each in asked] == [NotAside.code] * 2
    assert outbox(cluster) == [(1, None)]


@pytest.mark.parametrize("actor", ["purse:nobody", "counter:nobody", "player:nobody", "talk:nobody"])
async def test_an_actor_of_any_kind_with_nothing_set_aside_says_so_and_leaves_no_trace(
    cluster: Cluster, north: Member, actor: str
) -> None:
    asked = [north.ask(Settle(id=f"s-{key}", actor=actor, key=key)) for key in (1, "alarm")]
    await settle()
    assert [each.code for each in asked] == [NotAside.code] * 2
    await cluster.clock.advance(400)

    assert cluster.store._db.execute("SELECT actor FROM actors").fetchall() == []


async def test_a_turn_of_every_kind_does_not_save_a_slice(cluster: Cluster, north: Member) -> None:
    await poisoned(cluster, north)
    await north.said(Settle(id="s-1", again=False))
    await north.said(Add(id="1"))

    assert cluster.store._db.execute("SELECT DISTINCT slice FROM slices ORDER BY 1").fetchall() == [
        ("counter",),
        ("purse",),
    ]
