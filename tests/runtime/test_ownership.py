"""Who owns an actor: one node at a time, found wherever it is, never run by two."""

import pytest

from actors.runtime.observer import Activated, Dropped, LeaseLost, Passivated
from protocol import Unavailable
from tests.runtime.rooms import TOPIC, Add, Call, Get, Join, Say, Visit
from tests.support.clock import settle
from tests.support.cluster import LEASE_S, Cluster, Member, Phone


@pytest.fixture
async def south(cluster: Cluster, north: Member) -> Member:
    """A second node, which ``north`` knows."""
    return await cluster.start("south")


def owner(cluster: Cluster, actor: str) -> str:
    """The owner by the store."""
    ((name,),) = cluster.store._db.execute("SELECT owner FROM actors WHERE actor = ?", (actor,)).fetchall()
    return str(name)


def key_of(member: Member) -> str:
    """A counter that is placed on this node."""
    placed = member.node.membership.owner_by_hash
    return next(f"k{n}" for n in range(99) if placed(f"counter:k{n}") == member.name)


# Placing and finding.
@pytest.mark.parametrize("key", ["x" * 200, "two words", "", "\u00e9"])
async def test_an_address_that_no_store_could_keep_is_refused_and_the_node_goes_on(
    cluster: Cluster, north: Member, key: str
) -> None:
    """A topic name of 500 characters in a hello once reached the store, which refused the claim and ended the node."""
    refused = north.ask(Add(id="a-1", counter=key))
    await settle()
    assert refused.code == "protocol.invalid"
    await north.said(Add(id="a-2", counter=key_of(north)))


async def test_an_actor_is_run_where_its_hash_says_whoever_asks(cluster: Cluster, north: Member, south: Member) -> None:
    for member in (north, south):
        for asker in (north, south):
            await asker.said(Add(id=f"{asker.name}-1", counter=key_of(member)))
        assert owner(cluster, f"counter:{key_of(member)}") == member.name


async def test_an_actor_stays_where_it_is_when_a_node_comes(cluster: Cluster, north: Member) -> None:
    for n in range(20):
        await north.said(Add(id=f"{n}", counter=f"{n}"))
    south = await cluster.start("south")

    for n in range(20):
        assert (await south.said(Add(id=f"s{n}", counter=f"{n}"))).value == 2
    assert not south.seen(Activated)


async def test_an_actor_that_was_put_away_is_found_by_those_who_remember_another_owner(
    cluster: Cluster, north: Member
) -> None:
    """North owned it before south came; south learnt that, and sent everyone back to north for ever; north sent them to
    south, where its hash is."""
    keys = [f"{n}" for n in range(20)]
    for key in keys:
        await north.said(Add(id=f"n{key}", counter=key))
    south = await cluster.start("south")
    for key in keys:
        await south.said(Add(id=f"s{key}", counter=key))
    await cluster.clock.advance(400)
    assert not north.node.host.activations

    for key in keys:
        assert (await north.said(Add(id=f"a{key}", counter=key))).value == 3


async def test_two_nodes_that_remember_each_other_find_an_actor_for_a_third(cluster: Cluster, north: Member) -> None:
    south, east = await cluster.start("south"), await cluster.start("east")
    key = key_of(east)
    for member, other in ((north, "south"), (south, "north"), (east, "north")):
        member.node.router._directory.learn(f"counter:{key}", other)

    assert (await east.said(Add(id="1", counter=key))).value == 1


async def test_of_two_nodes_that_take_an_actor_at_once_one_runs_it_for_both(
    cluster: Cluster, north: Member, south: Member
) -> None:
    """Both believe that it is theirs: the store lets one have it, the other sends its messages there."""
    for member in (north, south):
        member.node.membership._placing = (member.name,)
    asks = [member.ask(Add(id=f"{member.name}-1")) for member in (north, south)]
    await settle()

    assert sorted(ask.reply.value for ask in asks) == [1, 2]


# Leases.
async def test_a_node_that_cannot_renew_stops_by_its_own_clock_before_others_may_take_over(
    cluster: Cluster, north: Member, south: Member
) -> None:
    key = key_of(north)
    await north.said(Add(id="1", counter=key))
    north.store.down = True
    lost = north.expect(LeaseLost)
    await cluster.clock.advance(LEASE_S * 0.9 + 0.1)

    assert lost.done()
    assert north.ask(Get(id="2", counter=key)).code == "unavailable"
    assert Dropped(f"counter:{key}") in north.events
    assert not south.seen(Activated)


async def test_a_lapsed_lease_is_noticed_before_a_read_is_answered(
    cluster: Cluster, north: Member, south: Member
) -> None:
    """The process was stopped for a minute: nothing has woken yet that could have told it."""
    key = key_of(north)
    await north.said(Add(id="1", counter=key))
    cluster.clock.spend(60)
    heard = north.ask(Get(id="2", counter=key))
    await settle()

    assert heard.code == "unavailable"


async def test_the_actors_of_a_dead_node_answer_again_within_a_lease_and_a_second(
    cluster: Cluster, north: Member, south: Member
) -> None:
    key = key_of(north)
    await south.said(Add(id="1", counter=key))
    cluster.crash(north)
    heard = south.ask(Add(id="2", counter=key))
    await cluster.clock.advance(LEASE_S + 1)

    assert heard.reply.value == 2


async def test_a_zombies_commit_is_fenced_and_what_it_held_back_dies(
    cluster: Cluster, north: Member, south: Member
) -> None:
    key = key_of(north)
    phone = Phone("bo")
    await south.said(Join(id="j"), "bo", phone)
    await north.said(Add(id="1", counter=key))
    with north.store.holding("commit") as hold:
        write, read = north.ask(Add(id="2", counter=key)), north.ask(Get(id="3", counter=key))
        await hold.reached.wait()
        cluster.pause(north)
        await cluster.pass_lease()
        assert (await south.said(Add(id="s1", counter=key, by=10), "bo")).value == 11
        cluster.resume(north)
    await settle()

    assert (write.code, read.code) == ("unavailable", "unavailable")
    assert (await south.said(Get(id="s2", counter=key))).value == 11
    assert owner(cluster, f"counter:{key}") == "south"


async def test_what_a_zombie_had_not_committed_runs_once_where_it_is_asked_again(
    cluster: Cluster, north: Member, south: Member
) -> None:
    key = key_of(north)
    await north.said(Add(id="1", counter=key))
    with north.store.holding("commit") as hold:
        north.ask(Add(id="2", counter=key))
        await hold.reached.wait()
        cluster.pause(north)
        await cluster.pass_lease()
        assert (await south.said(Add(id="2", counter=key))).value == 2
        cluster.resume(north)
    await cluster.clock.advance(LEASE_S)

    assert (await north.said(Add(id="2", counter=key))).value == 2
    assert (await north.said(Get(id="3", counter=key))).value == 2


async def test_what_was_committed_while_the_lease_ran_out_is_found_by_its_id(
    cluster: Cluster, north: Member, south: Member
) -> None:
    key = key_of(north)
    await north.said(Add(id="1", counter=key))
    with north.store.holding("commit", applied=True) as hold:
        heard = north.ask(Add(id="2", counter=key))
        await hold.reached.wait()
        north.store.down = True
        await cluster.pass_lease()
        north.store.down = False
    await settle()

    assert heard.code == "unavailable"
    assert (await south.said(Add(id="2", counter=key))).value == 2


async def test_events_that_were_committed_while_the_lease_ran_out_are_seen_on_a_lone_node(
    cluster: Cluster, north: Member
) -> None:
    """The actor was dropped before the answer came, and nobody looks for lost events where nothing can be lost."""
    phone = Phone("bo")
    await north.said(Join(id="1"), "bo", phone)
    with north.store.holding("commit", applied=True) as hold:
        heard = north.ask(Say(id="2", text="hi"))
        await hold.reached.wait()
        north.store.down = True
        await cluster.pass_lease()
        north.store.down = False
    await cluster.clock.advance(LEASE_S)

    assert heard.code == "unavailable"
    assert phone.seqs(TOPIC) == [1]


async def test_three_nodes_and_two_takeovers_leave_one_line_of_commits(cluster: Cluster, north: Member) -> None:
    south, east = await cluster.start("south"), await cluster.start("east")
    key = key_of(north)
    values = [(await north.said(Add(id="1", counter=key))).value]
    for dying in (north, south):
        left = next(m for m in (south, east) if m is not dying)
        cluster.crash(dying)
        await cluster.pass_lease()
        values.append((await left.said(Add(id=f"after {dying.name}", counter=key))).value)

    assert values == [1, 2, 3]


# Moving.
async def test_a_message_to_a_former_owner_is_run_once_by_the_present_one(
    cluster: Cluster, north: Member, south: Member
) -> None:
    key = key_of(south)
    await north.said(Add(id="1", counter=key))  # north remembers south
    south.node.host.give_up(f"counter:{key}")
    await settle()
    south.node.membership._placing = ("north",)

    assert (await north.said(Add(id="2", counter=key))).value == 2


async def test_a_draining_nodes_actors_answer_at_once_elsewhere(cluster: Cluster, north: Member, south: Member) -> None:
    """North does not know yet that south takes no more actors: they once refused each other for a third of a lease."""
    key = key_of(south)
    await north.said(Add(id="1", counter=key))
    south.bus.fate = lambda channel, _payload: 0 if channel == "nodes" else 1
    drained = cluster.drain(south)
    await cluster.clock.advance(0.3)

    assert drained.result()
    assert (await north.said(Add(id="2", counter=key))).value == 2
    assert (await north.said(Add(id="3", counter=key + "new"))).value == 1


async def test_what_is_asked_of_an_actor_while_it_is_handed_over_waits_and_runs_once(
    cluster: Cluster, north: Member, south: Member
) -> None:
    key = key_of(south)
    await north.said(Add(id="1", counter=key))
    with south.store.holding("commit") as hold:
        south.node.host.give_up(f"counter:{key}")
        await hold.reached.wait()
        asks = [north.ask(Add(id="2", counter=key)), south.ask(Add(id="3", counter=key))]
        await settle()
    await settle()

    assert sorted(ask.reply.value for ask in asks) == [2, 3]


async def test_an_owner_that_was_named_and_is_dead_is_not_asked_until_the_deadline(
    cluster: Cluster, north: Member, south: Member
) -> None:
    """It was named after everyone had noticed its death: nobody would tell the messages that were sent to it."""
    key = key_of(south)
    north.node.router._directory.learn(f"counter:{key}", "gone")
    heard = north.ask(Add(id="1", counter=key))
    await cluster.clock.advance(3)

    assert heard.reply.value == 1


# Players.
async def test_a_players_actor_is_run_where_the_session_is(cluster: Cluster, north: Member, south: Member) -> None:
    south.players.add("bo")
    await south.said(Visit(id="1"), "bo")

    assert owner(cluster, "player:bo") == "south"


async def test_a_players_actor_moves_when_its_old_node_has_no_session_left(
    cluster: Cluster, north: Member, south: Member
) -> None:
    south.players.add("bo")
    await south.said(Visit(id="1"), "bo")
    south.players.remove("bo")
    north.players.add("bo")

    assert (await north.said(Visit(id="2"), "bo")).visits == 2
    assert owner(cluster, "player:bo") == "north"
    assert Passivated("player:bo") in south.events


async def test_a_players_actor_stays_while_a_session_is_left_where_it_is(
    cluster: Cluster, north: Member, south: Member
) -> None:
    for member in (north, south):
        member.players.add("bo")
    await south.said(Visit(id="1"), "bo")

    assert (await north.said(Visit(id="2"), "bo")).visits == 2
    assert (await north.said(Call(id="3", player="bo"))).visits == 2
    assert owner(cluster, "player:bo") == "south"


# Between nodes.
async def test_a_node_without_a_bus_is_told_so_when_the_time_is_up(
    cluster: Cluster, north: Member, south: Member
) -> None:
    north.bus.cut = True
    heard = north.ask(Add(id="1", counter=key_of(south)))
    await cluster.clock.advance(16)

    with pytest.raises(Unavailable):
        _ = heard.reply
    assert not north.node.router._sent
