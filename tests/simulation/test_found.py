"""Faults of the product that the simulation has found, each told again in a few lines."""

import pytest
from msgspec import Struct

from actors.runtime import Context, Feature
from protocol import GuildhallError, Reply, Request
from tests.runtime.rooms import ALL, TOPIC, Add, Get, Join, Kick, Say, Take
from tests.support.clock import settle
from tests.support.cluster import Cluster, Phone


async def test_nobody_is_refused_for_what_another_has_not_committed_yet() -> None:
    """Copies of one staff change ran in one commit. The second clashed with the first, which was undone with it, and
    was answered ``request.id_reused`` while nothing was safe: the audit did not have the change yet. (Seed 124.)"""
    async with Cluster(ALL).running() as cluster:
        north = await cluster.start("north")
        await north.said(Add(id="0"))
        with north.store.holding("claim") as hold:  # after the clash the actor is loaded again
            takes = [north.ask(Take(id=op, name="castle"), op) for op in ("1", "2")]
            await hold.reached.wait()
            codes = [take.code for take in takes]
        await settle()

        assert codes == ["waiting", "waiting"]
        assert [take.code for take in takes] == ["ok", "counter.name_taken"]
        assert (await north.said(Get(id="3"))).value == 2


class Passed(Reply, tag="gate.passed", frozen=True, kw_only=True):
    """The caller is in, or the gate is open."""


class Enter(Request[Passed], tag="gate.enter", frozen=True, kw_only=True):
    """Go through the gate."""


class Open(Request[Passed], tag="gate.open", frozen=True, kw_only=True):
    """Let people through."""


class Shut(GuildhallError):
    """The gate is shut."""

    code = "gate.shut"


class Gate(Struct):
    open: bool = False
    inside: list[str] = []


gate = Feature(name="gate", actor="gate", state=Gate)


@gate.handles(Enter, address=lambda _request, _caller: "gate:g")
def enter(ctx: Context, state: Gate, _msg: Enter) -> Passed:
    if not state.open:
        raise Shut
    state.inside.append(ctx.caller)
    return Passed()


@gate.handles(Open, address=lambda _request, _caller: "gate:g")
def let_in(_ctx: Context, state: Gate, _msg: Open) -> Passed:
    state.open = True
    return Passed()


async def test_a_slow_copy_of_a_refused_request_is_not_run_after_all() -> None:
    """The bus was away, so the router sent a request again and again; the first copy was refused and said so, then the
    caller became the guild's leader, then a later copy was run: an effect of what the client knew to be refused.
    (Seeds 1109 and 2054.)"""
    async with Cluster([gate]).running() as cluster:
        north = await cluster.start("north")
        copies = [north.ask(Enter(id="1"), "ann")]
        await settle()
        await north.said(Open(id="1"), "bo")
        copies.append(north.ask(Enter(id="1"), "ann"))
        await settle()

        assert [copy.code for copy in copies] == ["gate.shut", "gate.shut"]
        with pytest.raises(Shut):
            _ = copies[1].reply
        await north.said(Enter(id="2"), "ann")


async def test_who_is_still_catching_up_hears_the_event_that_ends_it() -> None:
    """A node had missed an event of a topic. A player began to follow there, ahead of the node, and so was still to be
    given what was missing when the event came that removed the player: the subscription was ended, and the player never
    heard why. (Seed 2138.)"""
    async with Cluster(ALL).running() as cluster:
        north, south = await cluster.start("north"), await cluster.start("south")
        owner = north if north.node.membership.owner_by_hash(TOPIC) == "north" else south
        other = south if owner is north else north
        ann, bo = Phone("ann"), Phone("bo")
        await other.said(Join(id="1"), "ann", ann)
        owner.bus.fate = lambda channel, _payload: 0 if channel == f"topic:{TOPIC}" else 1
        await owner.said(Say(id="2"))
        with other.store.holding("read_events") as hold:
            await other.said(Join(id="3"), "bo", bo)
            await hold.reached.wait()
            owner.bus.fate = lambda _channel, _payload: 1
            await owner.said(Kick(id="4", player="bo"))
        await settle()
        await owner.said(Say(id="5"))

        assert bo.seqs(TOPIC) == [2]
        assert ann.seqs(TOPIC) == [1, 2, 3]
