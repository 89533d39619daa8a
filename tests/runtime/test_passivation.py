"""Passivation: an idle actor is put away, and nobody who comes meanwhile notices."""

from actors.runtime.observer import Activated, Passivated
from tests.runtime.rooms import Add, Break, Get, Order, Pay, Say, Visit
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member


async def test_an_idle_actor_is_put_away_and_comes_back_as_it_was(cluster: Cluster, north: Member) -> None:
    await north.said(Add(id="1"))
    away = north.expect(Passivated)
    await cluster.clock.advance(302)

    assert away.done()
    assert not north.node.host.activations
    assert (await north.said(Add(id="2"))).value == 2


async def test_an_actor_that_is_used_stays(cluster: Cluster, north: Member) -> None:
    for n in range(5):
        await north.said(Get(id=f"{n}"))
        await cluster.clock.advance(200)

    assert len(north.seen(Activated)) == 1


async def test_a_players_actor_stays_while_a_session_is_here_however_silent(cluster: Cluster, north: Member) -> None:
    """It was put away after five minutes in which a player only listened, and forgot the session: a resume elsewhere
    did not close the old connection, and nobody counted it."""
    north.players.add("bo")
    await north.said(Visit(id="1"), "bo")
    await north.said(Visit(id="1"), "cy")
    await cluster.clock.advance(302)
    assert set(north.node.host.activations) == {"player:bo"}

    north.players.remove("bo")
    await cluster.clock.advance(2)
    assert not north.node.host.activations


async def test_a_message_that_comes_while_an_actor_is_put_away_waits_and_brings_it_back(
    cluster: Cluster, north: Member
) -> None:
    await north.said(Add(id="1"))
    with north.store.holding("commit") as hold:
        north.node.host.give_up("counter:a")
        await hold.reached.wait()
        asks = [north.ask(Add(id="2")), north.ask(Get(id="3"))]
        await settle()
        assert [ask.code for ask in asks] == ["waiting", "waiting"]
    await settle()

    assert [ask.reply.value for ask in asks] == [2, 2]
    assert len(north.seen(Activated)) == 2


async def test_a_message_that_comes_after_the_release_and_before_its_answer_is_answered(
    cluster: Cluster, north: Member
) -> None:
    await north.said(Add(id="1"))
    with north.store.holding("commit", applied=True) as hold:
        north.node.host.give_up("counter:a")
        await hold.reached.wait()
        heard = north.ask(Add(id="2"))
    await settle()

    assert heard.reply.value == 2


async def test_an_actor_that_never_wrote_leaves_no_row(cluster: Cluster, north: Member) -> None:
    await north.said(Get(id="1"))
    assert cluster.store._db.execute("SELECT actor FROM actors").fetchall() == [("counter:a",)]
    await cluster.clock.advance(302)

    assert cluster.store._db.execute("SELECT actor FROM actors").fetchall() == []


async def test_an_actor_whose_release_is_lost_is_put_away_all_the_same(cluster: Cluster, north: Member) -> None:
    await north.said(Add(id="1"))
    north.store.lose_next("commit", applied=True)
    north.store.lose_next("commit", applied=False)
    await cluster.clock.advance(310)

    assert not north.node.host.activations
    assert (await north.said(Get(id="2"))).value == 1


async def test_an_actor_stays_while_its_tells_are_under_way(cluster: Cluster, north: Member) -> None:
    await north.said(Pay(id="1", kind="poison"))
    north.node.host.give_up("purse:a")
    await settle()

    assert "purse:a" in north.node.host.activations


async def test_what_is_put_away_leaves_nothing_in_memory(cluster: Cluster, north: Member) -> None:
    south = await cluster.start("south")
    for n in range(30):
        member = (north, south)[n % 2]
        member.ask(Add(id="1", counter=f"{n}"))
        member.ask(Say(id="2", talk=f"{n}"))
        member.ask(Pay(id="3", purse=f"{n}", to=f"purse:{n + 1}"))
        member.ask(Order(id="4", purse=f"{n}", via=f"{n + 2}"))
        member.ask(Break(id="5", counter=f"{n}"))
    await cluster.clock.advance(700)

    for member in (north, south):
        node = member.node
        assert not node.host.activations
        assert not node.host._loading
        assert not node.relay._pairs
        assert not node.router._sent
        assert not node.queries._reads
        assert not node._due._firings
        assert all(not lane.waiting for lane in node.committer._lanes)
