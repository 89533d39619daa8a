"""The commit: nothing is seen before it is safe, nothing is lost or doubled whatever the store does."""

from typing import Any

import pytest

from actors.runtime.observer import Committed, StoreLost
from protocol import TooOld
from tests.runtime.rooms import TOPIC, Add, Get, Join, Look, NameTaken, Pay, Refuse, Say, Spoil, Take
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member, Phone


# Before it.
async def test_a_reply_an_event_and_a_tell_wait_for_the_commit(cluster: Cluster, north: Member) -> None:
    phone = Phone("bo")
    await north.said(Join(id="j"), "bo", phone)
    await north.said(Look(id="0", purse="b"))
    with north.store.holding("commit") as hold:
        asks = [north.ask(Pay(id="1")), north.ask(Say(id="2"))]
        await hold.reached.wait()
        await settle()
        assert [ask.code for ask in asks] == ["waiting", "waiting"]
        assert phone.frames == []
        assert north.node.relay.waiting == 0
    await settle()

    assert [ask.code for ask in asks] == ["ok", "ok"]
    assert phone.seqs(TOPIC) == [1]
    assert (await north.said(Look(id="3", purse="b"))).left == 1


async def test_a_read_and_a_refusal_wait_for_the_commits_that_they_have_seen(north: Member) -> None:
    await north.said(Add(id="0"))
    with north.store.holding("commit") as hold:
        north.ask(Add(id="1"))
        await hold.reached.wait()
        behind = [north.ask(Get(id="2")), north.ask(Refuse(id="3"))]
        elsewhere = north.ask(Get(id="4", counter="b"))
        await settle()
        assert [ask.code for ask in behind] == ["waiting", "waiting"]
        assert elsewhere.code == "ok"
    await settle()

    assert [ask.code for ask in behind] == ["ok", "counter.full"]


async def test_a_read_that_has_seen_nothing_new_does_not_wait(north: Member) -> None:
    await north.said(Add(id="1"))
    before = north.store.calls.count("commit")

    assert (await north.said(Get(id="2"))).value == 1
    assert north.store.calls.count("commit") == before


# Together.
async def test_turns_of_many_actors_are_one_commit(north: Member) -> None:
    for n in range(50):
        await north.said(Get(id="0", counter=f"{n}"))
    with north.store.holding("commit") as hold:
        north.ask(Add(id="1", counter="first"))
        await hold.reached.wait()
        asks = [north.ask(Add(id=f"{k}", counter=f"{n}")) for k in range(3) for n in range(50)]
        await settle()
    await settle()

    assert all(ask.code == "ok" for ask in asks)
    assert north.seen(Committed)[-1].actors == 50


async def test_one_fenced_actor_costs_only_itself(cluster: Cluster, north: Member) -> None:
    for counter in ("a", "b", "c"):
        await north.said(Add(id="0", counter=counter))
    await cluster.store.claim("north", ["counter:b"])  # somebody else in this node's name
    asks = [north.ask(Add(id="1", counter=counter)) for counter in ("a", "b", "c")]
    await settle()

    assert [ask.reply.value for ask in asks] == [2, 2, 2]
    assert north.seen(Committed)[-2].lost + north.seen(Committed)[-1].lost == 1


# What the store does.
@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "applied"])
async def test_a_commit_that_is_lost_is_repeated_and_takes_effect_once(
    cluster: Cluster, north: Member, applied: bool
) -> None:
    phone = Phone("bo")
    await north.said(Join(id="j"), "bo", phone)
    for _ in range(3):
        north.store.lose_next("commit", applied=applied)
    asks = [north.ask(Add(id="1")), north.ask(Say(id="2")), north.ask(Pay(id="3"))]
    await cluster.clock.advance(8)

    assert [ask.code for ask in asks] == ["ok", "ok", "ok"]
    assert (await north.said(Get(id="4"))).value == 1
    assert phone.seqs(TOPIC) == [1]
    assert (await north.said(Look(id="5", purse="b"))).left == 1
    assert len(north.seen(StoreLost)) == 3


async def test_what_comes_while_the_store_is_away_is_kept_and_committed_afterwards(
    cluster: Cluster, north: Member
) -> None:
    await north.said(Add(id="0"))
    north.store.down = True
    asks = [north.ask(Add(id=f"{n}")) for n in range(1, 21)]
    await cluster.clock.advance(5)
    assert {ask.code for ask in asks} == {"waiting"}
    north.store.down = False
    await cluster.clock.advance(3)

    assert [ask.reply.value for ask in asks] == list(range(2, 22))


async def test_after_a_long_outage_every_op_took_effect_once_or_not_at_all(cluster: Cluster, north: Member) -> None:
    await north.said(Add(id="0"))
    north.store.down = True
    asks = [north.ask(Add(id=f"{n}")) for n in range(1, 21)]
    await cluster.clock.advance(60)
    assert {ask.code for ask in asks} == {"unavailable"}
    north.store.down = False
    await cluster.clock.advance(10)

    again = [await north.said(Add(id=f"{n}")) for n in range(1, 21)]
    assert max(reply.value for reply in again) == (await north.said(Get(id="g"))).value == 21


# What a unique key refuses.
async def test_a_taken_row_refuses_its_turn_and_the_others_run_again(north: Member) -> None:
    await north.said(Take(id="0", name="ann", counter="other"))
    asks = [north.ask(r) for r in (Add(id="1"), Take(id="2", name="ann"), Add(id="3"), Get(id="4"))]
    await settle()

    assert [ask.code for ask in asks] == ["ok", "counter.name_taken", "ok", "ok"]
    assert [asks[n].reply.value for n in (0, 2, 3)] == [1, 2, 2]
    with pytest.raises(NameTaken):
        await north.said(Take(id="5", name="ann"))


async def test_of_two_who_want_a_name_at_once_one_gets_it(north: Member) -> None:
    asks = [north.ask(Take(id="1", name="ann", counter=f"{n}")) for n in range(8)]
    await settle()

    codes = [ask.code for ask in asks]
    assert sorted(codes) == ["counter.name_taken"] * 7 + ["ok"]


async def test_an_op_that_was_logged_before_the_window_is_too_old(cluster: Cluster, north: Member) -> None:
    """Its id has no form that places it in time: the log remembers it all the same."""
    phone = Phone("bo")
    await north.said(Join(id="j"), "bo", phone)
    await north.said(Say(id="odd"))
    for n in range(40):
        await north.said(Say(id=f"x{n}x"))
    with pytest.raises(TooOld):
        await north.said(Say(id="odd"))

    assert phone.seqs(TOPIC) == list(range(1, 42))


async def test_a_write_that_the_store_refuses_is_the_defect_of_its_turn(north: Member, logged: list[Any]) -> None:
    asks = [north.ask(r) for r in (Add(id="1"), Spoil(id="2"), Add(id="3"), Get(id="4"))]
    await settle()

    assert [ask.code for ask in asks] == ["ok", "internal", "ok", "ok"]
    assert asks[3].reply.value == 2
    (failed,) = [line for line in logged if line["event"] == "turn.failed"]
    assert (failed["message"], "no_such_table" in failed["reason"]) == ("Spoil", True)
