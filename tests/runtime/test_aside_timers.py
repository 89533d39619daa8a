"""A timer that keeps failing is set aside: it is visible, tried no more and holds nobody up, until it is tried again or
given up."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from msgspec import structs

from actors.runtime import Context, due
from actors.runtime.due import TRIES
from storage import DueTimer, TimerRow
from tests.runtime.rooms import Add, Count, Get, NotAside, Rang, Settle, Wind
from tests.runtime.test_timers import rings
from tests.support.clock import START_MS, settle
from tests.support.cluster import Cluster, Member

GIVEN_UP_S = 45
"""Until a timer that fails is set aside: five tries, with pauses of 2, 4, 8 and 16 s between them."""
HERE = "counter:a"


def mend(cluster: Cluster) -> None:
    """Have timers ring that could not, as after a release without the mistake."""
    turns = cluster.blueprint.kinds["counter"].turns

    def ring(ctx: Context, count: Count, _msg: Rang) -> None:
        count.rings.append(ctx.now_ms)

    turns[Rang] = structs.replace(turns[Rang], run=ring)


def timers(cluster: Cluster) -> list[tuple[Any, ...]]:
    """Name of every timer, and the beginning of the reason where it was set aside."""
    return cluster.store._db.execute("SELECT name, SUBSTR(failed, 1, 8) FROM timers ORDER BY name").fetchall()


def tries(logged: list[Any]) -> int:
    return len([line for line in logged if line["event"] == "turn.failed"])


async def broken(cluster: Cluster, member: Member, name: str = "alarm", counter: str = "a") -> None:
    """Have a timer set that is due and fails."""
    await member.said(Wind(id=f"{counter}-{name}-1", counter=counter, name=name, in_s=0, then="break"))


async def set_aside(cluster: Cluster, member: Member) -> None:
    await broken(cluster, member)
    await cluster.clock.advance(GIVEN_UP_S)
    assert timers(cluster) == [("alarm", "internal")]


async def test_it_is_tried_some_times_with_growing_pauses_and_then_set_aside(
    cluster: Cluster, north: Member, logged: list[Any]
) -> None:
    await broken(cluster, north)
    at: list[float] = []
    for second in range(GIVEN_UP_S):
        at += [second] * (tries(logged) - len(at))
        await cluster.clock.advance(1)

    assert len(at) == TRIES
    pauses = [after - before for before, after in pairwise(at)]
    assert pauses == [2, 4, 8, 16]
    assert timers(cluster) == [("alarm", "internal")]
    (line,) = [line for line in logged if line["event"] == "timer.set_aside"]
    assert (line["actor"], line["timer"], line["reason"][:20]) == (HERE, "alarm", "internal under trace")


async def test_one_that_was_set_aside_is_tried_no_more_and_its_actor_can_be_put_away(
    cluster: Cluster, north: Member, logged: list[Any]
) -> None:
    await set_aside(cluster, north)
    await cluster.clock.advance(600)

    assert tries(logged) == TRIES
    assert not north.node.host.activations
    assert north.node._due._firings == {}
    assert (await north.said(Add(id="1"))).value == 1


async def test_it_fires_once_and_late_when_it_is_tried_again(cluster: Cluster, north: Member) -> None:
    await set_aside(cluster, north)
    mend(cluster)
    await cluster.clock.advance(100)

    await north.said(Settle(id="s-1", actor=HERE, key="alarm"))
    assert timers(cluster) == [("alarm", None)]
    await cluster.clock.advance(60)

    (at,) = rings(cluster)
    assert GIVEN_UP_S + 100 < at < GIVEN_UP_S + 103
    assert timers(cluster) == []


async def test_one_that_fails_again_is_set_aside_again(cluster: Cluster, north: Member, logged: list[Any]) -> None:
    await set_aside(cluster, north)
    await north.said(Settle(id="s-1", actor=HERE, key="alarm"))
    await cluster.clock.advance(GIVEN_UP_S)

    assert timers(cluster) == [("alarm", "internal")]
    assert tries(logged) == 2 * TRIES


async def test_the_second_time_there_is_nothing_to_try_again(cluster: Cluster, north: Member) -> None:
    await set_aside(cluster, north)
    mend(cluster)
    first = north.ask(Settle(id="s-1", actor=HERE, key="alarm"))
    second = north.ask(Settle(id="s-2", actor=HERE, key="alarm"))
    await cluster.clock.advance(60)

    assert (first.code, second.code) == ("ok", NotAside.code)
    assert len(rings(cluster)) == 1


@pytest.mark.parametrize("applied", [False, True])
async def test_a_crash_at_the_commit_leaves_it_set_aside_or_fires_it_once(cluster: Cluster, applied: bool) -> None:
    north, south = await cluster.start("north"), await cluster.start("south")
    await set_aside(cluster, north)
    mend(cluster)
    await north.said(Get(id="g"))
    owner = next(m for m in (north, south) if HERE in m.node.host.activations)
    other = south if owner is north else north
    with owner.store.holding("commit", applied=applied) as hold:
        owner.ask(Settle(id="s-1", actor=HERE, key="alarm"))
        await hold.reached.wait()
        cluster.crash(owner)
        await settle()
    await cluster.clock.advance(60)

    if not applied:
        assert timers(cluster) == [("alarm", "internal")]
        await other.said(Settle(id="s-2", actor=HERE, key="alarm"))
        await cluster.clock.advance(5)
    assert timers(cluster) == []
    assert len(rings(cluster)) == 1


async def test_one_that_is_given_up_never_fires(cluster: Cluster, north: Member) -> None:
    await set_aside(cluster, north)
    mend(cluster)
    await north.said(Settle(id="s-1", actor=HERE, key="alarm", again=False))
    assert timers(cluster) == []
    await cluster.clock.advance(400)

    assert rings(cluster) == []


@pytest.mark.parametrize(("in_s", "left"), [(20, [("alarm", None)]), (None, [])])
async def test_its_actor_may_set_it_anew_or_cancel_it(
    cluster: Cluster, north: Member, in_s: float | None, left: list[Any]
) -> None:
    await set_aside(cluster, north)
    await north.said(Wind(id="w", in_s=in_s))
    assert timers(cluster) == left
    await cluster.clock.advance(30)

    assert timers(cluster) == []
    assert (await north.said(Get(id="1"))).value == 0


async def test_what_is_still_under_way_for_its_old_time_finds_nothing(cluster: Cluster, north: Member) -> None:
    """A copy of the word that it is to be set aside, or fired, may come late."""
    await set_aside(cluster, north)
    mend(cluster)
    ((due_ms,),) = cluster.store._db.execute("SELECT due_ms FROM timers").fetchall()
    answers: list[Any] = []

    async def late_copies() -> None:
        for failed in (None, "a late copy"):
            north.node.router.fire(DueTimer(HERE, TimerRow("alarm", due_ms, b"", failed)), answers.append)
        await settle()

    await late_copies()
    assert timers(cluster) == [("alarm", "internal")]
    await north.said(Settle(id="s-1", actor=HERE, key="alarm"))
    await late_copies()
    assert timers(cluster) == [("alarm", None)]

    assert [(answer.reply, answer.error) for answer in answers] == [(None, None)] * 4
    assert rings(cluster) == []


# Others.
async def test_timers_that_fail_take_no_places_of_others_in_a_look(
    cluster: Cluster, north: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "LIMIT", 3)
    for n in range(12):
        await broken(cluster, north, counter=f"broken{n}")
    await cluster.clock.advance(12)
    await north.said(Wind(id="w", in_s=0.5))
    await cluster.clock.advance(4)

    assert len(rings(cluster)) == 1
    assert [failed for _, failed in timers(cluster)] == [None] * 12
    await cluster.clock.advance(GIVEN_UP_S + 20)
    assert [failed for _, failed in timers(cluster)] == ["internal"] * 12


async def test_more_of_them_than_one_look_finds_are_set_aside_one_lot_after_the_other(
    cluster: Cluster, north: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "LIMIT", 2)
    monkeypatch.setattr(due, "MOST", 3)
    for n in range(6):
        await broken(cluster, north, counter=f"broken{n}")
    await cluster.clock.advance(3 * GIVEN_UP_S)

    assert [failed for _, failed in timers(cluster)] == ["internal"] * 6
    assert north.node._due._firings == {}


async def test_one_that_is_cancelled_while_it_is_being_tried_is_forgotten(cluster: Cluster, north: Member) -> None:
    await broken(cluster, north)
    await cluster.clock.advance(3)
    assert len(north.node._due._firings) == 1
    await north.said(Wind(id="w", in_s=None))
    await cluster.clock.advance(3)

    assert north.node._due._firings == {}


async def test_an_actor_with_many_of_them_goes_on_answering(cluster: Cluster, north: Member) -> None:
    """Its other timers and whoever asks it are not refused because of them: it is not quarantined."""
    for n in range(12):
        await broken(cluster, north, name=f"alarm{n}")
    for second in range(GIVEN_UP_S):
        assert (await north.said(Add(id=f"add-{second + 1}"))).value == second + 1
        await cluster.clock.advance(1)

    assert [failed for _, failed in timers(cluster)] == ["internal"] * 12


async def test_a_node_that_takes_over_the_looking_counts_anew(cluster: Cluster, north: Member) -> None:
    await broken(cluster, north)
    await cluster.clock.advance(12)
    cluster.crash(north)
    await cluster.clock.advance(1)
    await cluster.start("south")
    await cluster.clock.advance(15)
    assert timers(cluster) == [("alarm", None)]
    await cluster.clock.advance(GIVEN_UP_S)

    assert timers(cluster) == [("alarm", "internal")]


async def test_a_node_away_from_its_actor_sets_it_aside_all_the_same(cluster: Cluster, north: Member) -> None:
    """The node that looks after a timer and the one that owns its actor are two."""
    south = await cluster.start("south")
    names = [f"c{n}" for n in range(8)]
    for name in names:
        await broken(cluster, north, counter=name)
    owners = {m.name for m in (north, south) for name in names if f"counter:{name}" in m.node.host.activations}
    assert owners == {"north", "south"}
    await cluster.clock.advance(GIVEN_UP_S + 5)

    assert [failed for _, failed in timers(cluster)] == ["internal"] * 8


# What is no defect of the timer's turn.
async def test_a_timer_of_an_actor_that_answers_nothing_waits_however_long_it_takes(
    cluster: Cluster, north: Member
) -> None:
    north.node.host.open(HERE).quarantine("for the test", seconds=600)
    cluster.store._db.execute("INSERT INTO actors VALUES (?, NULL, 1, 1, 0)", (HERE,))
    body = msgspec.msgpack.encode(Rang(then="count"))
    cluster.store._db.execute("INSERT INTO timers VALUES (?, 'alarm', 1, ?, ?, NULL)", (HERE, START_MS, body))
    await cluster.clock.advance(500)
    assert timers(cluster) == [("alarm", None)]
    await cluster.clock.advance(120)

    (at,) = rings(cluster)
    assert 600 <= at < 620


async def test_a_timer_waits_for_the_store_however_long_it_is_away(cluster: Cluster, north: Member) -> None:
    await north.said(Wind(id="w", in_s=5))
    north.store.down = True
    await cluster.clock.advance(300)
    north.store.down = False
    await cluster.clock.advance(20)

    (at,) = rings(cluster)
    assert at > 300


async def test_a_timer_that_cannot_be_read_is_set_aside(cluster: Cluster, north: Member) -> None:
    """It was once looked at every two seconds for ever: what is of a newer release waits, this never becomes whole."""
    await north.said(Wind(id="w", in_s=0))
    cluster.crash(north)
    spoilt = msgspec.msgpack.encode({"t": "counter.rang", "then": 1})
    cluster.store._db.execute("UPDATE timers SET body = ?", (spoilt,))
    await cluster.start("south")
    await cluster.clock.advance(GIVEN_UP_S)

    assert timers(cluster) == [("alarm", "internal")]
