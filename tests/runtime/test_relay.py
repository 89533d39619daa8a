"""Tells: exactly once and in order, whatever is lost; what cannot be run is set aside and holds nobody up."""

from typing import Any

import pytest

from actors.runtime import activation, due
from actors.runtime.relay import TRIES
from protocol import Busy
from tests.runtime.rooms import Get, Look, Order, Pay, Take
from tests.support.clock import settle
from tests.support.cluster import LEASE_S, Cluster, Member


async def _coins(member: Member, purse: str) -> int:
    left: int = (await member.said(Look(id="look", purse=purse))).left
    return left


def _outbox(cluster: Cluster) -> list[tuple[Any, ...]]:
    return cluster.store._db.execute("SELECT actor, number, failed FROM outbox ORDER BY actor, number").fetchall()


def _got(member: Member, purse: str) -> list[int]:
    actor = member.node.host.activations[f"purse:{purse}"].actor
    assert actor is not None
    state: Any = actor.states()["purse"]
    return list(state.got)


async def test_what_one_actor_gives_another_gets_once(cluster: Cluster, north: Member) -> None:
    await north.said(Pay(id="1", amount=5))

    assert (await _coins(north, "a"), await _coins(north, "b")) == (-5, 5)
    assert _outbox(cluster) == []
    assert north.node.relay.waiting == 0


async def test_tells_of_one_actor_to_another_arrive_in_order(cluster: Cluster, north: Member) -> None:
    south = await cluster.start("south")
    for n in range(4):
        north.ask(Pay(id=f"{n}", amount=10 * n, parts=5))
    await settle()

    owner = next(m for m in (north, south) if "purse:b" in m.node.host.activations)
    assert _got(owner, "b") == [10 * n + part for n in range(4) for part in range(5)]


async def test_a_tell_that_waits_for_its_receiver_holds_up_nobody_else(cluster: Cluster, north: Member) -> None:
    north.ask(Pay(id="1", to="purse:b", kind="poison"))
    north.ask(Pay(id="2", to="purse:c", amount=7))
    await settle()

    assert await _coins(north, "c") == 7
    assert north.node.relay.waiting == 1


@pytest.mark.parametrize("lost", ["ask", "answer"])
async def test_a_tell_between_nodes_is_noted_once_however_often_the_bus_loses_it(cluster: Cluster, lost: str) -> None:
    north, south = await cluster.start("north"), await cluster.start("south")
    await north.said(Look(id="1", purse="a"))
    sender = _owner(cluster, "purse:a")
    to = next(f"p{n}" for n in range(99) if sender.node.membership.owner_by_hash(f"purse:p{n}") != sender.name)
    receiver = south if sender is north else north
    lossy = sender if lost == "ask" else receiver
    losses = iter([0, 0, 0])
    lossy.bus.fate = lambda channel, _payload: next(losses, 1) if channel.startswith("node:") else 1

    heard = sender.ask(Pay(id="2", purse="a", to=f"purse:{to}", amount=3))
    await cluster.clock.advance(10)

    assert heard.reply.left == -3
    assert await _coins(receiver, to) == 3
    assert _outbox(cluster) == []


async def test_a_sender_that_dies_between_commit_and_delivery_has_its_tell_delivered_by_the_next(
    cluster: Cluster, north: Member
) -> None:
    south = await cluster.start("south")
    sender = await _owner_after_first_word(cluster, "a")
    other = south if sender is north else north
    with sender.store.holding("commit", applied=True) as hold:
        sender.ask(Pay(id="2", purse="a", to="purse:z", amount=3))
        await hold.reached.wait()
        cluster.crash(sender)
        await settle()
    assert len(_outbox(cluster)) == 1

    await cluster.clock.advance(30)  # the lease, then the look for tells that were left behind

    assert (await _coins(other, "a"), await _coins(other, "z")) == (-3, 3)
    assert _outbox(cluster) == []


async def test_a_busy_receiver_gets_its_tell_later(cluster: Cluster, north: Member) -> None:
    await north.said(Look(id="1", purse="a"))
    with north.store.holding("commit", applied=True) as hold:
        north.ask(Pay(id="2"))
        await hold.reached.wait()
        flood = [north.ask(Look(id=f"m{n}", purse="b")) for n in range(2_000)]
    await settle()
    assert "actor.busy" in [ask.code for ask in flood]
    await cluster.clock.advance(5)

    assert await _coins(north, "b") == 1


async def test_a_refused_tell_is_done_with(cluster: Cluster, north: Member) -> None:
    await north.said(Pay(id="1", kind="refused"))
    await north.said(Pay(id="2", amount=2))

    assert await _coins(north, "b") == 2
    assert _outbox(cluster) == []


async def test_a_poisonous_tell_is_set_aside_and_the_next_one_goes(cluster: Cluster, north: Member) -> None:
    await north.said(Pay(id="1", kind="poison"))
    await north.said(Pay(id="2", amount=2))
    await cluster.clock.advance(TRIES * 3)

    assert await _coins(north, "b") == 2
    ((actor, number, failed),) = _outbox(cluster)
    assert (actor, number) == ("purse:a", 1)
    assert failed.startswith("internal under trace")


async def test_a_tell_that_was_set_aside_is_not_tried_again_by_the_next_owner(
    cluster: Cluster, north: Member, logged: list[Any]
) -> None:
    await north.said(Pay(id="1", kind="poison"))
    await cluster.clock.advance(TRIES * 3)
    failures = [line for line in logged if line["event"] == "turn.failed"]
    await cluster.clock.advance(400)  # passivated
    await _coins(north, "a")
    await cluster.clock.advance(20)

    assert len([line for line in logged if line["event"] == "turn.failed"]) == len(failures) == TRIES


@pytest.mark.parametrize("to", ["counter:x", "nothing:x"])
async def test_a_tell_that_nobody_can_hear_is_set_aside_and_visible(cluster: Cluster, north: Member, to: str) -> None:
    await north.said(Pay(id="1", to=to))
    await cluster.clock.advance(20)

    ((actor, number, failed),) = _outbox(cluster)
    assert (actor, number) == ("purse:a", 1)
    assert "no " in failed
    assert north.node.relay.waiting == 0


async def test_an_actor_that_was_told_what_it_cannot_hear_goes_on_answering(cluster: Cluster, north: Member) -> None:
    """Its refusal once waited for a commit that had nothing to save, and every read after it waited with it."""
    await north.said(Pay(id="1", to="counter:x"))

    assert (await north.said(Get(id="2", counter="x"))).value == 0


async def test_a_tell_whose_row_is_taken_runs_again_and_learns_it(cluster: Cluster, north: Member) -> None:
    await north.said(Take(id="1", name="named bo"))
    await north.said(Pay(id="2", kind="named bo"))
    await north.said(Pay(id="3", kind="named cy", amount=4))

    assert await _coins(north, "b") == 4
    actor = north.node.host.activations["purse:b"].actor
    assert actor is not None
    state: Any = actor.states()["purse"]
    assert state.refused == ["counter.name_taken"]


async def test_a_tell_that_does_not_heed_that_its_row_is_taken_is_set_aside(cluster: Cluster, north: Member) -> None:
    """It was once run, undone and run again without end and without a pause."""
    await north.said(Take(id="1", name="named stubborn"))
    await north.said(Pay(id="2", kind="named stubborn"))
    await cluster.clock.advance(TRIES * 3)

    ((actor, _, failed),) = _outbox(cluster)
    assert actor == "purse:a"
    assert failed.startswith("internal")
    assert await _coins(north, "b") == 0


# Replies that another turn gives.
async def test_an_op_can_be_answered_by_a_later_turn(cluster: Cluster, north: Member) -> None:
    first, again = north.ask(Order(id="1")), north.ask(Order(id="1"))
    await settle()

    assert first.reply.left == again.reply.left == 1
    assert (await north.said(Order(id="1"))).left == 1
    assert await _coins(north, "a") == 1


async def test_an_op_that_was_pending_when_its_node_died_is_answered_later_and_once(
    cluster: Cluster, north: Member
) -> None:
    south = await cluster.start("south")
    sender = await _owner_after_first_word(cluster, "a")
    other = south if sender is north else north
    with sender.store.holding("commit", applied=True) as hold:
        sender.ask(Order(id="1", purse="a", via="z"))
        await hold.reached.wait()
        cluster.crash(sender)
        await settle()

    again = other.ask(Order(id="1", purse="a", via="z"))
    await cluster.clock.advance(14)
    again_later = other.ask(Order(id="1", purse="a", via="z"))
    await cluster.clock.advance(20)

    assert again_later.reply.left == 1
    assert again.code in ("ok", "unavailable")
    assert await _coins(other, "a") == 1


async def test_a_pending_op_does_not_keep_those_who_gave_up_waiting(cluster: Cluster, north: Member) -> None:
    """Everyone who asked again was once remembered until the answer came, and the actor could not be passivated."""
    north.ask(Order(id="1", via="silent"))
    north.node.host.open("purse:silent").quarantine("for the test", seconds=10_000)
    await settle()
    for _ in range(5):
        north.ask(Order(id="1", via="silent"))
        await cluster.clock.advance(20)

    assert len(list(north.node.host.activations["purse:a"]._waiters)) <= 1


def _owner(cluster: Cluster, actor: str) -> Member:
    return next(m for m in cluster.members.values() if actor in m.node.host.activations)


async def _owner_after_first_word(cluster: Cluster, purse: str) -> Member:
    await next(iter(cluster.members.values())).said(Look(id="first", purse=purse))
    return _owner(cluster, f"purse:{purse}")


async def test_an_actor_whose_tells_do_not_get_away_is_asked_no_more_until_they_do(
    cluster: Cluster, north: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outbox grew without bound while a receiver was away. What it is told it still hears: two such actors would
    else wait for each other."""
    monkeypatch.setattr(activation, "OUTBOX", 3)
    south = await cluster.start("south")
    placed = north.node.membership.owner_by_hash
    here = [f"{n}" for n in range(40) if placed(f"purse:{n}") == "north"]
    there = next(f"{n}" for n in range(40) if placed(f"purse:{n}") == "south")
    with south.store.holding("claim"):
        await north.said(Pay(id="1", purse=here[0], to=f"purse:{there}", parts=3))
        with pytest.raises(Busy):
            await north.said(Pay(id="2", purse=here[0], to=f"purse:{there}"))
        await north.said(Pay(id="3", purse=here[1], to=f"purse:{here[0]}", amount=9))
        assert _outbox(cluster)[-1][0] == f"purse:{here[0]}"
    await settle()

    assert (await north.said(Look(id="4", purse=here[0]))).left == 9 - (1 + 2 + 3)
    assert _outbox(cluster) == []


async def test_senders_that_are_stuck_do_not_hide_others_whose_owner_has_died(
    cluster: Cluster, north: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "LIMIT", 2)
    south = await cluster.start("south")
    placed = north.node.membership.owner_by_hash
    mine = [f"{n}" for n in range(80) if placed(f"purse:{n}") == "north"]
    dying = next(f"{n}" for n in range(80) if placed(f"purse:{n}") == "south")
    north.node.host.open(f"purse:{mine[0]}").quarantine("for the test", 1_000)
    for n in range(1, 6):
        await north.said(Pay(id="1", purse=mine[n], to=f"purse:{mine[0]}"))
    await cluster.clock.advance(1)
    south.bus.cut = True
    south.ask(Pay(id="2", purse=dying, to=f"purse:{mine[6]}", amount=4))
    await settle()
    cluster.crash(south)
    await cluster.clock.advance(60)

    assert await _coins(north, mine[6]) == 4


async def test_tells_that_a_dead_node_has_left_behind_are_delivered_soon_after_its_lease(
    cluster: Cluster, north: Member
) -> None:
    """Nobody asks for the sender. They waited until they were old, and then for a look: eleven seconds."""
    south = await cluster.start("south")
    receiver = await _stranded(north, south)
    cluster.crash(south)
    await cluster.clock.advance(LEASE_S + due.LOOK_S + 0.5)

    assert await _coins(north, receiver) == 4


async def test_tells_of_an_actor_that_was_dropped_with_the_lease_are_delivered_soon_after(
    cluster: Cluster, north: Member
) -> None:
    south = await cluster.start("south")
    receiver = await _stranded(north, south)
    south.store.down = True
    await cluster.clock.advance(LEASE_S * 0.95)
    assert not south.node.membership.serving
    south.store.down = south.bus.cut = False
    await cluster.clock.advance(2.5)

    assert await _coins(north, receiver) == 4


async def _stranded(north: Member, south: Member) -> str:
    """A purse of north that one of south has paid, and nobody has told it."""
    placed = north.node.membership.owner_by_hash
    here, there = (next(f"{n}" for n in range(80) if placed(f"purse:{n}") == m.name) for m in (north, south))
    south.bus.cut = True
    south.ask(Pay(id="1", purse=there, to=f"purse:{here}", amount=4))
    await settle()
    return here
