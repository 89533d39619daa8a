"""Op ids: the same request has its effect once and gets the same reply, whenever and wherever it comes again."""

import pytest

from actors.runtime.ops import OpWindow, place_of
from protocol import IdReused, TooOld
from storage import OPS_PER_PLAYER
from tests.runtime.rooms import Add, Get
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member


async def test_the_same_id_gets_the_same_reply(north: Member) -> None:
    replies = [await north.said(Add(id="1")) for _ in range(3)]

    assert [reply.value for reply in replies] == [1, 1, 1]
    assert {reply.re for reply in replies} == {"1"}


async def test_the_same_id_waits_with_the_first_for_its_commit(north: Member) -> None:
    await north.said(Get(id="0"))
    with north.store.holding("commit") as hold:
        first = north.ask(Add(id="1"))
        await hold.reached.wait()
        again = [north.ask(Add(id="1")) for _ in range(3)]
        await settle()
        assert [ask.code for ask in (first, *again)] == ["waiting"] * 4
    await settle()

    assert [ask.reply.value for ask in (first, *again)] == [1] * 4


async def test_the_same_id_on_two_nodes_at_once_has_one_effect(cluster: Cluster, north: Member) -> None:
    south = await cluster.start("south")
    asks = [member.ask(Add(id=f"{n}", counter=f"{n}")) for n in range(10) for member in (north, south)]
    await settle()

    assert {ask.reply.value for ask in asks} == {1}


async def test_the_same_id_of_another_player_is_another_op(north: Member) -> None:
    assert (await north.said(Add(id="1"), "ann")).value == 1
    assert (await north.said(Add(id="1"), "bo")).value == 2


@pytest.mark.parametrize("reloaded", [False, True])
async def test_the_same_id_with_another_body_is_refused(cluster: Cluster, north: Member, reloaded: bool) -> None:
    await north.said(Add(id="1"))
    if reloaded:
        await cluster.clock.advance(400)
    with pytest.raises(IdReused):
        await north.said(Add(id="1", by=2))

    assert (await north.said(Get(id="2"))).value == 1


@pytest.mark.parametrize("reloaded", [False, True])
async def test_an_id_older_than_the_window_is_too_old_and_not_run(
    cluster: Cluster, north: Member, reloaded: bool
) -> None:
    for n in range(1, OPS_PER_PLAYER + 6):
        await north.said(Add(id=f"a1-{n}"))
    if reloaded:
        await cluster.clock.advance(400)
    for n in (1, 5):
        with pytest.raises(TooOld):
            await north.said(Add(id=f"a1-{n}"))

    assert (await north.said(Add(id="a1-6"))).value == 6
    assert (await north.said(Get(id="g"))).value == OPS_PER_PLAYER + 5


async def test_a_crowd_pushes_nobodys_op_out(north: Member) -> None:
    await north.said(Add(id="1"), "ann")
    for n in range(OPS_PER_PLAYER * 3):
        await north.said(Add(id=f"{n}"), f"p{n % 5}")

    assert (await north.said(Add(id="1"), "ann")).value == 1


async def test_the_window_survives_a_reload_and_a_takeover(cluster: Cluster, north: Member) -> None:
    for n in range(1, 40):
        await north.said(Add(id=f"a1-{n}"))
    south = await cluster.start("south")
    cluster.crash(north)
    await cluster.pass_lease()

    assert (await south.said(Add(id="a1-39"))).value == 39
    with pytest.raises(TooOld):
        await south.said(Add(id="a1-1"))


@pytest.mark.parametrize("end", ["8", "007", "9" * 15, "9" * 16, "", "1\u0662", "\u00b2", "1_0", " 1", "1-2", "x8"])
@pytest.mark.parametrize("prefix", ["a1-", "b/", "a1", ""])
def test_an_ids_place_does_not_depend_on_what_came_before(prefix: str, end: str) -> None:
    window = OpWindow()
    window.place("a1-7")

    assert window.place(prefix + end) == place_of(prefix + end)
