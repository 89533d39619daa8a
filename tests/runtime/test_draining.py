"""Draining: a node that leaves hands its actors over, however busy they are, and nobody waits for a lease."""

from collections.abc import Iterator
from unittest import mock

import pytest

from actors.runtime import host
from actors.runtime.frames import node_channel
from actors.runtime.node import HEARD_S
from actors.runtime.observer import Activated
from tests.runtime.rooms import Add, Call, Get, Look, Order, Pay, Take, Visit
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member


@pytest.fixture
async def south(cluster: Cluster, north: Member) -> Member:
    """A second node, which is going to leave."""
    return await cluster.start("south")


def keys_of(member: Member, kind: str = "counter") -> Iterator[str]:
    """Keys that are placed on this node."""
    placed = member.node.membership.owner_by_hash
    return (f"k{n}" for n in range(10_000) if placed(f"{kind}:k{n}") == member.name)


def owner(cluster: Cluster, actor: str) -> str | None:
    """The owner by the store; None for an actor that nobody has."""
    rows = cluster.store._db.execute("SELECT owner FROM actors WHERE actor = ?", (actor,)).fetchall()
    return rows[0][0] if rows else None


async def test_an_actor_is_handed_over_in_the_middle_of_its_work(
    cluster: Cluster, north: Member, south: Member
) -> None:
    """It used to be given up only in a moment in which nobody waited for it; a busy one has no such moment."""
    key = next(keys_of(south))
    await north.said(Add(id="0", counter=key))
    with south.store.holding("commit") as hold:
        asks = [south.ask(Add(id="1", counter=key))]
        await hold.reached.wait()
        asks += [north.ask(Add(id="2", counter=key)), south.ask(Add(id="3", counter=key))]
        await settle()
        drained = cluster.drain(south)
        await cluster.clock.advance(HEARD_S)
        asks += [north.ask(Add(id="4", counter=key)), south.ask(Add(id="5", counter=key))]
        await settle()
    await cluster.clock.advance(0.05)

    assert sorted(ask.reply.value for ask in asks) == [2, 3, 4, 5, 6]
    assert owner(cluster, f"counter:{key}") == "north"
    await cluster.clock.advance(0.2)
    assert drained.result()


async def test_a_turn_that_the_last_commit_refuses_is_answered_and_the_actor_leaves_later(
    cluster: Cluster, north: Member, south: Member
) -> None:
    keys = keys_of(south)
    first, second = next(keys), next(keys)
    await south.said(Take(id="0", counter=first, name="castle"))
    await south.said(Get(id="0", counter=second))
    with south.store.holding("commit") as hold:
        asks = [south.ask(Add(id="1", counter=second))]
        await hold.reached.wait()
        asks += [south.ask(Add(id="2", counter=second)), south.ask(Take(id="3", counter=second, name="castle"))]
        await settle()
        drained = cluster.drain(south)
        await cluster.clock.advance(HEARD_S)
    await cluster.clock.advance(0.5)

    assert [ask.code for ask in asks] == ["ok", "ok", "counter.name_taken"]
    assert drained.result()
    assert (await north.said(Get(id="4", counter=second))).value == 2


async def test_no_more_actors_are_silent_at_a_time_than_one_commit_takes(
    cluster: Cluster, north: Member, south: Member
) -> None:
    keys = [key for key, _ in zip(keys_of(south), range(5), strict=False)]
    for key in keys:
        await north.said(Add(id=f"0{key}", counter=key))
    activations = south.node.host.activations
    with mock.patch.object(host, "WAVE", 2), south.store.holding("commit") as hold:
        drained = cluster.drain(south)
        await cluster.clock.advance(HEARD_S)
        await hold.reached.wait()
        leaving = [address for address, activation in activations.items() if activation.leaving]
    await cluster.clock.advance(0.5)

    assert len(leaving) == 2
    assert drained.result()


async def test_tells_that_are_under_way_are_delivered_by_the_next_owner_at_once(
    cluster: Cluster, north: Member, south: Member
) -> None:
    """Nobody would have asked for the sender: its tells waited until somebody looked for what is overdue."""
    mine, theirs = next(keys_of(south, "purse")), next(keys_of(north, "purse"))
    await south.said(Look(id="0", purse=mine))
    south.bus.fate = lambda channel, _payload: 0 if channel == node_channel("north") else 1
    await south.said(Pay(id="1", purse=mine, to=f"purse:{theirs}", amount=7))
    drained = cluster.drain(south)
    await cluster.clock.advance(host.PATIENCE_S + 0.4)
    south.bus.fate = lambda _channel, _payload: 1
    await cluster.clock.advance(1.1)

    assert drained.result()
    assert (await north.said(Look(id="2", purse=theirs))).left == 7


async def test_who_waits_for_a_later_answer_gets_it_from_the_next_owner(
    cluster: Cluster, north: Member, south: Member
) -> None:
    mine = next(keys_of(south, "purse"))
    with north.store.holding("commit"), south.store.holding("claim"):
        heard = south.ask(Order(id="1", purse=mine, via="x"))
        drained = cluster.drain(south)
        await cluster.clock.advance(1.0)
    await cluster.clock.advance(2.0)

    assert heard.code == "ok"
    assert drained.result()


async def test_others_know_at_once_that_a_node_drains_and_that_it_has_left(
    cluster: Cluster, north: Member, south: Member
) -> None:
    assert north.node.membership.successors == ["south"]
    before = len(north.store.calls)
    stepping = cluster.begin(south.node.step_back(1.0))
    await settle()
    assert north.node.membership.successors == []
    assert sorted(row.node for row in north.node.membership.rows) == ["north", "south"]

    await cluster.clock.advance(0.2)
    assert stepping.done()
    drained = cluster.drain(south)
    await cluster.clock.advance(0.2)
    assert drained.result()
    assert [row.node for row in north.node.membership.rows] == ["north"]
    assert north.store.calls[before:].count("renew") == 2


async def test_others_know_at_once_that_a_node_has_come(cluster: Cluster, north: Member) -> None:
    with mock.patch.object(cluster.clock, "advance"):  # no time passes
        await cluster.start("south")

    assert north.node.membership.successors == ["south"]


async def test_what_players_share_goes_first_and_their_own_actors_stay_while_they_do(
    cluster: Cluster, north: Member, south: Member
) -> None:
    key = next(keys_of(south))
    south.players.add("bo")
    await south.said(Visit(id="1"), "bo")
    await south.said(Add(id="2", counter=key))
    stepping = cluster.begin(south.node.step_back(1.0))
    await cluster.clock.advance(0.2)
    assert stepping.done()

    assert owner(cluster, "player:bo") == "south"
    assert owner(cluster, f"counter:{key}") is None
    assert (await south.said(Add(id="3", counter=key))).value == 2
    assert owner(cluster, f"counter:{key}") == "north"


async def test_the_last_node_keeps_what_players_share_until_they_have_left(cluster: Cluster, north: Member) -> None:
    await north.said(Add(id="1"))
    await north.node.step_back(1.0)

    assert (await north.said(Add(id="2"))).value == 2
    assert len(north.seen(Activated)) == 1


async def test_a_message_to_a_node_that_has_left_is_sent_back_and_not_left_to_a_repeat(
    cluster: Cluster, north: Member, south: Member
) -> None:
    key = next(keys_of(south))
    await north.said(Add(id="1", counter=key))
    drained = cluster.drain(south)
    await cluster.clock.advance(HEARD_S + 0.05)
    assert south.node.membership.left
    north.node.router._directory.learn(f"counter:{key}", "south")
    heard = north.ask(Add(id="2", counter=key))
    await settle()

    assert heard.reply.value == 2
    await cluster.clock.advance(0.2)
    assert drained.result()


async def test_a_player_who_is_asked_for_while_its_node_leaves_is_found(
    cluster: Cluster, north: Member, south: Member
) -> None:
    south.players.add("bo")
    await south.said(Visit(id="1"), "bo")
    drained = cluster.drain(south)
    heard = north.ask(Call(id="2", player="bo"), "ann")
    await cluster.clock.advance(0.5)

    assert heard.reply.visits == 1
    assert drained.result()
