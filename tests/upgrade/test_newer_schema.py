"""An actor with a newer schema is left to the nodes that know it, without a loop, and nothing of it is lost."""

import msgspec
import pytest

from actors.runtime import Blueprint
from actors.runtime.host import NEWER_S
from actors.runtime.observer import Activated, Isolated
from tests.support.clock import settle
from tests.support.cluster import Cluster, Heard, Member
from tests.upgrade.releases import Chest2, Peek, Stock, chest


async def start(cluster: Cluster, name: str, release: int) -> Member:
    cluster.blueprint = Blueprint([chest(release)])
    return await cluster.start(name)


def key_of(member: Member) -> str:
    """A chest that is placed on this node."""
    placed = member.node.membership.owner_by_hash
    return next(f"{n}" for n in range(99) if placed(f"chest:{n}") == member.name)


async def heard(cluster: Cluster, asked: Heard, seconds: float = 3.0) -> Heard:
    await cluster.clock.advance(seconds)
    await settle()
    return asked


def owner(cluster: Cluster, key: str) -> str | None:
    ((name,),) = cluster.store._db.execute("SELECT owner FROM actors WHERE actor = ?", (f"chest:{key}",)).fetchall()
    return name if name is None else str(name)


async def mixed(cluster: Cluster, *olds: str) -> tuple[Member, list[Member], str]:
    """A node of release 3, older ones beside it, and a chest that the newer one has written and put away; it belongs on
    the first of the older ones."""
    new = await start(cluster, "new", 3)
    for n in range(20):
        await new.said(Stock(id=f"n-{n}", chest=f"{n}"))
    await cluster.clock.advance(400)
    assert not new.node.host.activations
    older = [await start(cluster, name, 1) for name in olds]
    return new, older, key_of(older[0])


async def test_an_older_node_gives_the_row_back_and_the_newer_one_answers() -> None:
    async with Cluster([chest(1)]).running() as cluster:
        new, [old], key = await mixed(cluster, "old")

        asked = await heard(cluster, old.ask(Stock(id="o-1", chest=key)))
        assert asked.reply.count == 2
        assert owner(cluster, key) == "new"
        assert len(new.seen(Activated)) == 21
        assert not old.seen(Isolated)


async def test_the_older_node_claims_such_an_actor_once_and_then_only_sends_on() -> None:
    async with Cluster([chest(1)]).running() as cluster:
        _, [old], key = await mixed(cluster, "old")
        for n in range(10):
            asked = await heard(cluster, old.ask(Peek(id=f"p-{n}", chest=key)), 0.5)
            assert asked.reply.count == 1
        assert old.store.calls.count("claim") == 1


async def test_it_is_found_among_many_older_nodes() -> None:
    async with Cluster([chest(1)]).running() as cluster:
        _, olds, key = await mixed(cluster, "old1", "old2", "old3")
        for n, old in enumerate(olds):
            asked = old.ask(Stock(id=f"o-{n}", chest=key))
            while (await heard(cluster, asked)).code == "unavailable":
                asked = old.ask(Stock(id=f"o-{n}", chest=key))
            assert asked.reply.count == n + 2


async def test_without_a_newer_node_it_is_unavailable_and_untouched_until_one_comes() -> None:
    async with Cluster([chest(1)]).running() as cluster:
        new = await start(cluster, "new", 3)
        await new.said(Stock(id="1"))
        await cluster.stop(new)
        old = await start(cluster, "old", 1)
        before = cluster.store._db.execute("SELECT schema_no, body FROM slices").fetchall()
        for n in range(5):
            asked = await heard(cluster, old.ask(Stock(id=f"o-{n}")), 0.5)
            assert asked.code == "unavailable"
        assert owner(cluster, "1") is None
        assert old.store.calls.count("claim") == 1
        assert cluster.store._db.execute("SELECT schema_no, body FROM slices").fetchall() == before

        await start(cluster, "newer", 3)
        asked = await heard(cluster, old.ask(Stock(id="o-5")), NEWER_S)
        assert asked.reply.count == 2


async def test_two_older_nodes_do_not_send_each_other_round_for_ever() -> None:
    async with Cluster([chest(1)]).running() as cluster:
        new = await start(cluster, "new", 3)
        await new.said(Stock(id="1"))
        await cluster.stop(new)
        olds = [await start(cluster, f"old{n}", 1) for n in range(2)]
        for old in olds:
            old.store.calls.clear()
            old.bus.sent.clear()
        asked = await heard(cluster, olds[0].ask(Stock(id="o-1")), 30)

        assert asked.code == "unavailable"
        assert all(old.store.calls.count("claim") <= 1 for old in olds)
        assert sum(channel.startswith("node:") for old in olds for channel in old.bus.sent) < 40


async def test_a_lease_that_ends_while_the_row_is_given_back_leaves_nothing_behind() -> None:
    async with Cluster([chest(1)]).running() as cluster:
        _, [old], key = await mixed(cluster, "old")
        with old.store.holding("commit") as held:
            old.ask(Stock(id="o-1", chest=key))
            await held.reached.wait()
            old.node.host.drop_all()
        asked = await heard(cluster, old.ask(Stock(id="o-1", chest=key)))
        assert asked.reply.count == 2


async def test_a_release_without_a_new_number_shares_actors_with_the_one_before() -> None:
    """Release 2 has only new fields: either node may take the chest, and the fields stay."""
    async with Cluster([chest(1)]).running() as cluster:
        old, new = await start(cluster, "old", 1), await start(cluster, "new", 2)
        await new.said(Stock(id="1", chest=key_of(new)))
        key = key_of(new)
        await cluster.stop(new)
        await heard(cluster, old.ask(Stock(id="2", chest=key)))
        await cluster.stop(old)

        last = await start(cluster, "last", 2)
        assert (await last.said(Stock(id="3", chest=key))).count == 3
        ((body,),) = cluster.store._db.execute("SELECT body FROM slices WHERE actor = ?", (f"chest:{key}",)).fetchall()
        state = msgspec.msgpack.decode(body, type=Chest2)
        assert (state.lock, state.items["potion"].colour) == ("brass", "red")
        assert [mark.by for mark in state.marks] == ["ann", "", "ann"]


async def test_the_release_before_a_new_number_reads_it_and_writes_its_own() -> None:
    """Release 2 knows the form that release 3 writes: they share actors, and one can go back from 3 to 2."""
    async with Cluster([chest(1)]).running() as cluster:
        for release, count in ((3, 1), (2, 2), (3, 3), (2, 4)):
            node = await start(cluster, f"node{count}", release)
            assert (await node.said(Stock(id=f"{count}"))).count == count
            await cluster.stop(node)
            schema = 2 if release == 3 else 1
            assert cluster.store._db.execute("SELECT schema_no FROM slices").fetchall() == [(schema,)]


async def test_a_slice_that_cannot_be_read_at_all_is_still_quarantined() -> None:
    async with Cluster([chest(1)]).running() as cluster:
        old = await start(cluster, "old", 1)
        await old.said(Stock(id="1"))
        await cluster.clock.advance(400)
        cluster.store._db.execute("UPDATE slices SET body = ?", (b"\xc1",))

        asked = await heard(cluster, old.ask(Stock(id="2")))
        assert asked.code == "actor.quarantined"
        assert len(old.seen(Activated)) == 1


@pytest.fixture(autouse=True)
def _quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Log lines of the nodes are of no interest here."""
