"""While nodes are replaced, an older one meets what only a newer release knows: it passes it on, or leaves it alone."""

from typing import Any

import pytest
from msgspec import Struct

from actors.runtime import Blueprint, Context, Feature
from protocol import Event, Reply, Request, Tell, Wire
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member, Phone


class Done(Reply, tag="k.done", frozen=True, kw_only=True):
    """It is."""


class Follow(Request[Done], tag="k.follow", frozen=True, kw_only=True):
    room: str = "1"


class Do(Request[Done], tag="k.do", frozen=True, kw_only=True):
    """Say, tell or wind something: what both releases know, or what only the newer one does."""

    room: str = "1"
    what: str


class KnownToAll(Event, tag="k.known_to_all", frozen=True, kw_only=True):
    """Of both releases."""


class OfTheNewer(Event, tag="k.of_the_newer", frozen=True, kw_only=True):
    """Of the newer release."""

    n: int = 1


class Known(Tell, tag="k.known", frozen=True, kw_only=True):
    """Of both releases."""


class Newer(Tell, tag="k.newer", frozen=True, kw_only=True):
    """Of the newer release."""


class Heard(Struct):
    newer: int = 0


def release(number: int) -> Feature[Heard]:
    """The room as release ``number``, 1 or 2, has it."""
    room = Feature(name="k", actor="k", state=Heard)
    room.publishes(KnownToAll, *([OfTheNewer] if number == 2 else []))

    @room.readable("")
    def may_read(_state: Heard, _player: str, _actor: str) -> bool:
        return True

    @room.handles(Follow, key="room", writes=False)
    def follow(ctx: Context, _state: Heard, _msg: Follow) -> Done:
        ctx.follow(ctx.actor)
        return Done()

    @room.handles(Do, key="room")
    def do(ctx: Context, _state: Heard, msg: Do) -> Done:
        match msg.what:
            case "tell":
                ctx.tell("k:9", Newer())
            case "wind":
                ctx.after(5.0, "alarm", Newer())
            case "say the newer":
                ctx.publish(ctx.actor, OfTheNewer())
            case _:
                ctx.publish(ctx.actor, KnownToAll())
        return Done()

    @room.hears(Known)
    def hear(_ctx: Context, _state: Heard, _msg: Known) -> None:
        """Nothing comes of it."""

    if number == 2:

        @room.hears(Newer)
        def hear_newer(_ctx: Context, state: Heard, _msg: Newer) -> None:
            state.newer += 1

    return room


async def start(cluster: Cluster, name: str, number: int) -> Member:
    """A node of a release."""
    cluster.blueprint = Blueprint([release(number)])
    return await cluster.start(name)


def rows(cluster: Cluster, sql: str) -> list[tuple[Any, ...]]:
    return cluster.store._db.execute(sql).fetchall()


@pytest.mark.parametrize("wire", [Wire.MSGPACK, Wire.JSON])
async def test_readers_of_an_older_node_get_every_seq_also_of_events_that_it_does_not_know(wire: Wire) -> None:
    async with Cluster([release(1)]).running() as cluster:
        older, newer = await start(cluster, "older", 1), await start(cluster, "newer", 2)
        room = next(str(n) for n in range(99) if newer.node.membership.owner_by_hash(f"k:{n}") == "newer")
        phone = Phone("ann", wire)
        await older.said(Follow(id="f", room=room), "ann", phone)

        await newer.said(Do(id="1", room=room, what="say the newer"))
        await newer.said(Do(id="2", room=room, what="say"))
        await settle()

        assert [frame["t"] for frame in phone.frames] == ["k.of_the_newer", "k.known_to_all"]
        assert phone.seqs(f"k:{room}") == [1, 2]


async def test_a_tell_that_an_older_node_does_not_know_waits_for_a_newer_one() -> None:
    async with Cluster([release(1)]).running() as cluster:
        newer = await start(cluster, "newer", 2)
        await newer.said(Do(id="0", what="say"))
        with newer.store.holding("claim") as receiver_not_there:
            newer.ask(Do(id="1", what="tell"))
            await receiver_not_there.reached.wait()
            cluster.crash(newer)
        await cluster.pass_lease()
        await start(cluster, "older", 1)
        await cluster.clock.advance(60)
        assert rows(cluster, "SELECT failed FROM outbox") == [(None,)]

        await start(cluster, "newer2", 2)
        await cluster.stop(cluster.members["older"])
        await cluster.clock.advance(60)
        assert rows(cluster, "SELECT failed FROM outbox") == []


async def test_a_timer_that_an_older_node_does_not_know_waits_for_a_newer_one() -> None:
    async with Cluster([release(1)]).running() as cluster:
        newer = await start(cluster, "newer", 2)
        await newer.said(Do(id="1", what="wind"))
        await cluster.stop(newer)
        older = await start(cluster, "older", 1)
        await cluster.clock.advance(60)
        assert rows(cluster, "SELECT name FROM timers") == [("alarm",)]
        assert (await older.said(Do(id="2", what="say"))).re == "2"

        await cluster.stop(older)
        await start(cluster, "newer2", 2)
        await cluster.clock.advance(60)
        assert rows(cluster, "SELECT name FROM timers") == []
