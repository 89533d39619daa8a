"""Turns: a refusal changes nothing, a defect costs only the one who caused it, what keeps failing is set aside."""

import pytest

from actors.runtime import Answer, Caller, Context, Feature, NodeOptions
from actors.runtime.activation import DEFECTS, SLOW_TURN_S
from actors.runtime.observer import Dropped, Isolated, Lifted, SlowTurn
from protocol import Defect, Invalid, Quarantined
from tests.runtime.rooms import ALL, Add, Break, Count, Counted, Full, Get, Mend, Peek, Refuse, Say, Swell, add
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member


# Refusals.
async def test_a_refusal_changes_nothing_and_is_not_kept(north: Member) -> None:
    await north.said(Add(id="1"))

    with pytest.raises(Full):
        await north.said(Refuse(id="2"))

    assert (await north.said(Get(id="3"))).value == 1
    assert (await north.said(Add(id="2"))).value == 2  # the id is still free


async def test_a_request_that_the_kind_does_not_take_is_refused(north: Member) -> None:
    answers: list[Answer] = []
    north.node.router.ask(Add(id="1"), Caller("ann"), answers.append, "talk:t")
    north.node.router.ask(Add(id="2"), Caller("ann"), answers.append, "nothing:t")
    await settle()

    assert [type(answer.error) for answer in answers] == [Invalid, Invalid]


async def test_a_refusal_that_has_changed_something_is_a_defect(north: Member) -> None:
    await north.said(Add(id="1"))

    with pytest.raises(Defect):
        await north.said(Refuse(id="2", after=True))

    assert (await north.said(Get(id="3"))).value == 1


async def test_a_turn_that_says_it_does_not_write_must_not(north: Member) -> None:
    assert (await north.said(Peek(id="1"))).value == 0

    with pytest.raises(Defect):
        await north.said(Peek(id="2", meddle=True))

    assert (await north.said(Get(id="3"))).value == 0


# Defects.
async def test_a_defect_is_answered_with_its_trace_and_its_change_is_gone(north: Member) -> None:
    await north.said(Add(id="1"))

    with pytest.raises(Defect) as caught:
        await north.said(Break(id="2"))

    assert len(caught.value.trace) == 16
    assert (await north.said(Get(id="3"))).value == 1


async def test_those_who_waited_with_a_defect_run_again_in_their_order(north: Member) -> None:
    await north.said(Add(id="0"))
    with north.store.holding("commit") as hold:
        flying = north.ask(Add(id="1"))  # in the commit that is held
        await hold.reached.wait()
        asks = [north.ask(r) for r in (Add(id="2"), Get(id="3"), Break(id="4"), Add(id="5"), Get(id="6"))]
        await settle()
        assert [ask.code for ask in (flying, *asks)] == ["waiting"] * 3 + ["internal"] + ["waiting"] * 2
    await settle()

    assert flying.reply.value == 2
    assert [asks[n].reply.value for n in (0, 1, 3, 4)] == [3, 3, 4, 4]


async def test_a_defect_between_commits_reloads_at_once(north: Member) -> None:
    await north.said(Add(id="0"))
    asks = [north.ask(r) for r in (Add(id="1"), Break(id="2"), Add(id="3"))]
    await settle()

    assert [ask.code for ask in asks] == ["ok", "internal", "ok"]
    assert (asks[0].reply.value, asks[2].reply.value) == (2, 3)


async def test_a_state_that_cannot_be_saved_costs_only_the_turn_that_made_it() -> None:
    """The commit lane once died of it, and with it the node: whoever asked again killed the next one too."""
    async with Cluster(ALL, NodeOptions()).running() as cluster:  # verifying would encode at once
        north = await cluster.start("north")
        asks = [north.ask(r) for r in (Add(id="1"), Swell(id="2"), Add(id="3"), Add(id="4", counter="b"))]
        await settle()

        assert [ask.code for ask in asks] == ["ok", "internal", "ok", "ok"]
        assert (await north.said(Get(id="5"))).value == 2


async def test_a_slow_turn_is_seen(cluster: Cluster) -> None:
    dawdling = Feature(name="slow", actor="slow", state=Count)

    @dawdling.handles(Get, key="counter", writes=False)
    def get(_ctx: Context, count: Count, _msg: Get) -> Counted:
        cluster.clock.spend(SLOW_TURN_S * 2)
        return Counted(value=count.value)

    async with Cluster([dawdling]).running() as other:
        cluster = other
        node = await other.start("north")
        await node.said(Get(id="1"))

    (slow,) = node.seen(SlowTurn)
    assert (slow.actor, slow.message) == ("slow:a", "Get")
    assert slow.took == pytest.approx(SLOW_TURN_S * 2)


# Quarantine.
async def test_an_actor_that_keeps_failing_is_quarantined_for_a_while_and_visible(
    cluster: Cluster, north: Member
) -> None:
    await north.said(Add(id="0"))
    for n in range(DEFECTS):
        with pytest.raises(Defect):
            await north.said(Break(id=f"b{n}"))

    with pytest.raises(Quarantined):
        await north.said(Get(id="1"))
    (isolated,) = north.seen(Isolated)
    assert isolated.actor == "counter:a"
    assert "a mistake in the room" in isolated.reason
    assert (await north.said(Get(id="2", counter="b"))).value == 0

    await cluster.clock.advance(62)
    assert (await north.said(Get(id="3"))).value == 1


async def test_a_good_commit_between_defects_keeps_an_actor_out_of_quarantine(north: Member) -> None:
    for n in range(DEFECTS * 2):
        with pytest.raises(Defect):
            await north.said(Break(id=f"b{n}"))
        await north.said(Add(id=f"a{n}"))

    assert (await north.said(Get(id="1"))).value == DEFECTS * 2


async def test_whoever_waits_for_a_commit_when_quarantine_comes_is_told(north: Member) -> None:
    """They were once put back into the mailbox of an actor that would not run for a minute, and heard nothing."""
    await north.said(Add(id="0"))
    for n in range(DEFECTS - 1):
        with pytest.raises(Defect):
            await north.said(Break(id=f"b{n}"))

    waiting, last = north.ask(Add(id="1")), north.ask(Break(id="last"))
    await settle()

    assert (waiting.code, last.code) == ("actor.quarantined", "internal")
    assert Dropped("counter:a") not in north.events


async def test_whoever_waits_behind_a_commit_when_quarantine_comes_is_told(north: Member) -> None:
    await north.said(Add(id="0"))
    for n in range(DEFECTS - 1):
        with pytest.raises(Defect):
            await north.said(Break(id=f"b{n}"))

    with north.store.holding("commit") as hold:
        flying = north.ask(Add(id="1"))
        await hold.reached.wait()
        waiting, last = north.ask(Add(id="2")), north.ask(Break(id="last"))
        await settle()
    await settle()

    assert (flying.code, waiting.code, last.code) == ("ok", "actor.quarantined", "internal")


async def test_a_request_that_lifts_a_quarantine_is_the_first_to_run_and_knows_that_it_has(north: Member) -> None:
    await north.said(Add(id="0"))
    with pytest.raises(Full, match="well"):
        await north.said(Mend(id="1"))
    for n in range(DEFECTS):
        with pytest.raises(Defect):
            await north.said(Break(id=f"b{n}"))

    lifting, next_one, second = north.ask(Mend(id="2")), north.ask(Add(id="3")), north.ask(Mend(id="4"))
    await settle()

    assert (lifting.reply.value, next_one.reply.value, second.code) == (1, 2, "counter.full")
    assert [event.actor for event in north.seen(Lifted)] == ["counter:a"]


async def test_a_quarantine_that_is_lifted_while_a_commit_is_under_way_ends_with_it(north: Member) -> None:
    await north.said(Add(id="0"))
    for n in range(DEFECTS - 1):
        with pytest.raises(Defect):
            await north.said(Break(id=f"b{n}"))

    with north.store.holding("commit") as hold:
        flying = north.ask(Add(id="1"))
        await hold.reached.wait()
        north.ask(Break(id="last"))
        await settle()
        lifting = north.ask(Mend(id="2"))
        await settle()
        assert lifting.code == "waiting"
    await settle()

    assert (flying.code, lifting.reply.value) == ("ok", 2)


async def test_a_snapshot_that_cannot_be_read_is_quarantined_and_the_others_are_well(
    cluster: Cluster, north: Member
) -> None:
    await north.said(Add(id="1"))
    await north.said(Say(id="2"))
    await cluster.clock.advance(400)  # passivated
    cluster.store._db.execute("UPDATE slices SET body = x'c1'")

    with pytest.raises(Quarantined, match="cannot be loaded"):
        await north.said(Get(id="3"))
    assert (await north.said(Get(id="4", counter="b"))).value == 0
    assert [event.actor for event in north.seen(Isolated)] == ["counter:a"]


async def test_a_snapshot_whose_upgrade_fails_is_quarantined_and_the_others_are_well() -> None:
    """An error of another kind than the decoder's once ended the task that loads actors, and the node with it."""
    newer = Feature(name="counter", actor="counter", state=Count, schema=2, upgrades={1: lambda plain: plain["no"] + 1})
    broken = Feature(name="counter", actor="counter", state=Count, schema=2, upgrades={1: lambda _: [] + 1})  # type: ignore[operator]
    for feature in (newer, broken):
        feature.handles(Add, key="counter")(add)
        async with Cluster([feature]).running() as cluster:
            north = await cluster.start("north")
            await north.said(Add(id="1"))
            await cluster.clock.advance(400)
            cluster.store._db.execute("UPDATE slices SET schema_no = 1")

            with pytest.raises(Quarantined, match="cannot be loaded"):
                await north.said(Add(id="2"))
            assert (await north.said(Add(id="3", counter="b"))).value == 1
