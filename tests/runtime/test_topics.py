"""Topics: every reader gets every event once and in order, from now or from where it was, whatever the bus does."""

from random import Random

import pytest

from actors.runtime.stream import RECENT
from actors.runtime.topics import CHECK_S, PACE_S
from protocol import Wire
from storage import EventRange
from tests.runtime.rooms import ALL, TOPIC, Join, Kick, Leave, Read, Say, Whisper
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member, Phone


@pytest.fixture
async def south(cluster: Cluster, north: Member) -> Member:
    """A second node, which ``north`` knows."""
    return await cluster.start("south")


@pytest.fixture
async def pair(cluster: Cluster, north: Member, south: Member) -> tuple[Member, Member]:
    """The node that runs the talk, and the other."""
    await north.said(Say(id="first", text="0"))
    return (north, south) if f"{TOPIC}" in north.node.host.activations else (south, north)


async def joined(member: Member, phone: Phone, after: int | None = None) -> Phone:
    """A phone that follows the talk, from ``after`` on or from now."""
    cursor = None if after is None else ("e1", after)
    await member.said(Join(id=f"j-{phone.player}-{after}", after=cursor), phone.player, phone)
    return phone


async def say(member: Member, count: int, start: int = 1) -> None:
    for n in range(start, start + count):
        await member.said(Say(id=f"say-{n}", text=f"{n}"))


def numbers(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


# From now on.
async def test_every_reader_on_every_node_gets_the_same_events_in_order(
    cluster: Cluster, pair: tuple[Member, Member]
) -> None:
    owner, other = pair
    phones = [await joined(m, Phone(f"{m.name}-{w.name}", w)) for m in pair for w in (Wire.JSON, Wire.MSGPACK)]
    for n in range(10):
        (owner if n % 2 else other).ask(Say(id=f"{n}", text=f"{n}"))
    await settle()

    assert [phone.seqs(TOPIC) for phone in phones] == [numbers(2, 11)] * 4
    assert phones[0].frames == phones[1].frames == phones[2].frames == phones[3].frames


async def test_an_event_is_seen_only_when_it_is_committed(north: Member) -> None:
    phone = await joined(north, Phone("bo"))
    with north.store.holding("commit") as hold:
        heard = north.ask(Say(id="1"))
        await hold.reached.wait()
        await settle()
        assert (phone.frames, heard.code) == ([], "waiting")
    await settle()

    assert (phone.seqs(TOPIC), heard.code) == ([1], "ok")


async def test_an_ephemeral_event_waits_for_nothing_and_has_no_seq(north: Member) -> None:
    phone = await joined(north, Phone("bo"))
    before = north.store.calls.count("commit")
    await north.said(Whisper(id="1", text="psst"))

    assert [(frame["text"], "seq" in frame) for frame in phone.frames] == [("psst", False)]
    assert north.store.calls.count("commit") == before


async def test_who_leaves_hears_nothing_more(north: Member) -> None:
    phone = await joined(north, Phone("bo"))
    await say(north, 1)
    await north.said(Leave(id="l"), "bo", phone)
    await say(north, 1, start=2)

    assert phone.seqs(TOPIC) == [1]
    assert not north.node.hub._streams


# From where it was.
@pytest.mark.parametrize("missed", [0, 3, 50, 51, 200])
async def test_a_reader_that_comes_back_gets_what_it_missed_then_what_comes(north: Member, missed: int) -> None:
    await joined(north, Phone("keeps the stream in memory"))
    await say(north, missed)
    phone = await joined(north, Phone("bo"), after=0)
    await north.said(Say(id="live"))

    assert phone.seqs(TOPIC) == numbers(1, missed + 1)


async def test_what_memory_does_not_reach_comes_from_the_table() -> None:
    async with Cluster(ALL).running() as cluster:
        north = await cluster.start("north")
        await joined(north, Phone("keeps the stream in memory"))
        await north.said(Say(id="1", times=RECENT + 100))
        phone = await joined(north, Phone("bo"), after=0)
        await north.said(Say(id="live"))

        assert phone.seqs(TOPIC) == numbers(1, RECENT + 101)


async def test_who_stands_before_what_the_log_has_kept_starts_from_now_and_is_told_where_that_is() -> None:
    """Not from the oldest that is left: that would be a gap without a word."""
    async with Cluster(ALL).running() as cluster:
        north = await cluster.start("north")
        for n in range(10):
            await north.said(Say(id=f"{n}", times=64))
        (floor,) = cluster.store._db.execute("SELECT floor_seq FROM topics").fetchone()
        late, in_time = Phone("late"), Phone("in time")
        told = await north.said(Join(id="l", after=("e1", floor - 2)), "late", late)
        await north.said(Join(id="t", after=("e1", floor - 1)), "in time", in_time)

        assert floor > 200
        assert (told.seq, late.seqs(TOPIC)) == (640, [])
        assert in_time.seqs(TOPIC) == numbers(floor, 640)


async def test_a_reader_that_catches_up_while_events_flow_gets_each_once(cluster: Cluster, north: Member) -> None:
    """Slow reader, slow table, quick talk: read, live and replay meet in every order."""
    random = Random(4)
    await joined(north, Phone("keeps the stream in memory"))
    await say(north, 60)
    phones = []
    for n in range(20):
        phone = Phone(f"bo{n}")
        phone.behind = random.random() < 0.5
        north.ask(Join(id=f"j{n}", after=("e1", random.randrange(55))), phone.player, phone)
        phones.append(phone)
        for k in range(random.randrange(3)):
            north.ask(Say(id=f"live-{n}-{k}"))
        if random.random() < 0.3:
            phones[random.randrange(len(phones))].behind = False
        await cluster.clock.advance(random.choice([0, PACE_S / 2, PACE_S]))
    for phone in phones:
        phone.behind = False
    await cluster.clock.advance(2)

    for phone in phones:
        seqs = phone.seqs(TOPIC)
        assert seqs == numbers(seqs[0], seqs[-1])
    assert len({phone.seqs(TOPIC)[-1] for phone in phones}) == 1


async def test_an_event_that_comes_in_the_turn_in_which_a_reader_has_caught_up_is_not_doubled(
    cluster: Cluster, north: Member
) -> None:
    """It waited to be flushed, was in the last page of the replay, and was flushed to the reader as well."""
    live = await joined(north, Phone("live"))
    await say(north, 60)
    phone = Phone("bo")
    phone.behind = True
    await joined(north, phone, after=0)
    phone.behind = False
    await cluster.clock.advance(PACE_S / 2)
    waking = cluster.clock._sleepers
    assert waking
    with north.store.holding("commit", applied=True) as hold:
        north.ask(Say(id="live"))
        await hold.reached.wait()
        cluster.clock.spend(PACE_S)
        for _due, _n, woken in waking:  # the reader's next look, and the commit's answer, in one turn of the loop
            if not woken.done():
                hold.over.set()
                woken.set_result(None)
        waking.clear()
    await settle()

    assert live.seqs(TOPIC) == phone.seqs(TOPIC) == numbers(1, 61)


async def test_a_reader_that_follows_again_from_earlier_gets_a_replay_in_order_and_no_live_event_within(
    cluster: Cluster, north: Member
) -> None:
    """While it was given the past it was once also given the present."""
    phone = await joined(north, Phone("bo"))
    await say(north, 100)
    phone.frames.clear()
    phone.behind = True
    await joined(north, phone, after=0)
    await north.said(Say(id="live"))
    phone.behind = False
    await cluster.clock.advance(1)

    assert phone.seqs(TOPIC) == numbers(1, 101)


async def test_what_is_about_to_be_said_when_a_reader_follows_again_comes_once_within_the_replay(
    north: Member,
) -> None:
    """It came live behind the reply, and then once more: a client that repeats its join heard the topic jump back."""
    phone = await joined(north, Phone("bo"))
    await say(north, 3)
    phone.frames.clear()

    north.ask(Say(id="live"))  # both are answered by the same commit
    await joined(north, phone, after=1)

    assert phone.seqs(TOPIC) == numbers(2, 4)


async def test_a_reader_that_follows_anew_while_it_catches_up_gets_one_replay(cluster: Cluster, north: Member) -> None:
    await joined(north, Phone("keeps the stream in memory"))
    await say(north, 100)
    phone = Phone("bo")
    phone.behind = True
    await joined(north, phone, after=0)
    await joined(north, phone, after=90)
    phone.behind = False
    await cluster.clock.advance(1)

    assert phone.seqs(TOPIC) == numbers(91, 100)


async def test_a_reader_may_leave_while_it_catches_up(cluster: Cluster, north: Member) -> None:
    await joined(north, Phone("keeps the stream in memory"))
    await say(north, 100)
    phone = Phone("bo")
    phone.behind = True
    await joined(north, phone, after=0)
    north.node.hub.leave(phone)
    phone.behind = False
    await cluster.clock.advance(1)

    assert (phone.frames, phone.topics) == ([], set())


async def test_a_reader_that_catches_up_while_the_store_is_away_does_so_later(cluster: Cluster, north: Member) -> None:
    await say(north, 100)
    phone = Phone("bo")
    north.store.lose_next("read_events", applied=False)
    north.store.lose_next("read_events", applied=False)
    await joined(north, phone, after=0)
    assert phone.frames == []
    await cluster.clock.advance(2)

    assert phone.seqs(TOPIC) == numbers(1, 100)


async def test_a_node_ends_though_a_reader_waits_for_a_store_that_is_away(cluster: Cluster, north: Member) -> None:
    """It was once waited for until the store was back."""
    await say(north, 100)
    with north.store.holding("read_events") as hold:
        north.ask(Join(id="j", after=("e1", 0)), "bo", Phone("bo"))
        await hold.reached.wait()
        north.store.down = True
    await cluster.stop(north)


# What the bus does.
@pytest.mark.parametrize("seed", range(8))
async def test_ticks_that_are_lost_doubled_or_late_leave_no_gap_and_no_double(
    cluster: Cluster, pair: tuple[Member, Member], seed: int
) -> None:
    owner, other = pair
    random = Random(seed)
    phone = await joined(other, Phone("bo"))
    owner.bus.fate = lambda channel, _payload: random.choice((0, 1, 2)) if channel.startswith("topic:") else 1
    for n in range(30):
        owner.ask(Say(id=f"{n}", times=random.choice((1, 1, 3))))
        if random.random() < 0.3:
            owner.bus.kept = []
        await settle()
        if random.random() < 0.5 and owner.bus.kept is not None:
            owner.bus.let_go(backwards=random.random() < 0.5)
    if owner.bus.kept is not None:
        owner.bus.let_go()
    await cluster.clock.advance(CHECK_S + 1)

    last = owner.node.host.activations[TOPIC].actor
    assert last is not None
    assert phone.seqs(TOPIC) == numbers(2, last.position_of(TOPIC).seq)


async def test_the_lost_last_event_of_an_idle_topic_is_found(cluster: Cluster, pair: tuple[Member, Member]) -> None:
    owner, other = pair
    phone = await joined(other, Phone("bo"))
    owner.bus.fate = lambda channel, _payload: 0 if channel.startswith("topic:") else 1
    await say(owner, 1)
    assert phone.frames == []
    await cluster.clock.advance(CHECK_S)

    assert phone.seqs(TOPIC) == [2]


async def test_a_reconnected_bus_makes_a_node_look_for_what_it_missed(
    cluster: Cluster, pair: tuple[Member, Member]
) -> None:
    owner, other = pair
    phone = await joined(other, Phone("bo"))
    other.bus.cut = True
    await say(owner, 3)
    other.bus.reconnect()
    await settle()

    assert phone.seqs(TOPIC) == [2, 3, 4]


async def test_what_was_said_between_the_answer_and_the_subscription_is_found(
    cluster: Cluster, pair: tuple[Member, Member]
) -> None:
    owner, other = pair
    owner.bus.kept = []
    phone = Phone("bo")
    other.ask(Join(id="j"), "bo", phone)
    await settle()
    await say(owner, 2)
    owner.bus.kept = [message for message in owner.bus.kept if message[0].startswith("node:")]
    owner.bus.let_go()
    await settle()

    assert phone.seqs(TOPIC) == [2, 3]


async def test_a_hole_whose_events_were_cut_is_skipped_and_the_rest_delivered(
    cluster: Cluster, pair: tuple[Member, Member]
) -> None:
    """The table still had later ones, and it was read again and again, without a pause, for ever."""
    owner, other = pair
    phone = await joined(other, Phone("bo"))
    owner.bus.fate = lambda channel, _payload: 0 if channel.startswith("topic:") else 1
    for n in range(12):
        await owner.said(Say(id=f"{n}", times=50))
    first = min(e.seq for e in await cluster.store.read_events(EventRange(topic=TOPIC)))
    assert first > 100
    await cluster.clock.advance(CHECK_S)

    assert phone.seqs(TOPIC) == numbers(first, 601)


# Who may hear.
@pytest.mark.parametrize("lost", [False, True])
async def test_who_is_removed_hears_it_and_nothing_after_on_any_node(
    cluster: Cluster, pair: tuple[Member, Member], lost: bool
) -> None:
    owner, other = pair
    phones = [await joined(member, Phone("bo")) for member in pair]
    stays = await joined(other, Phone("cy"))
    if lost:
        losses = iter([0, 0])
        owner.bus.fate = lambda channel, _payload: next(losses, 1) if channel.startswith("topic:") else 1
    await owner.said(Kick(id="k", player="bo"))
    await say(owner, 3)
    await cluster.clock.advance(CHECK_S)

    assert [phone.seqs(TOPIC) for phone in phones] == [[2], [2]]
    assert stays.seqs(TOPIC) == [2, 3, 4, 5]
    assert [phone.topics for phone in phones] == [set(), set()]


@pytest.mark.parametrize("others", [0, 1])
async def test_who_is_removed_while_its_join_is_answered_from_the_log_hears_nothing_after(
    north: Member, others: int
) -> None:
    """The right was checked before the log was read, and the removal came in between."""
    for n in range(others):
        await joined(north, Phone(f"reader{n}"))
    await say(north, 3)
    phone = Phone("bo")
    with north.store.holding("read_events") as hold:
        heard = north.ask(Join(id="j", look=True), "bo", phone)
        await hold.reached.wait()
        await north.said(Kick(id="k", player="bo"))
        await north.said(Say(id="secret"))
    await settle()
    await north.said(Say(id="another secret"))

    assert heard.code == "ok"
    assert phone.seqs(TOPIC) == [4]
    assert phone.topics == set()


async def test_who_is_removed_while_it_catches_up_hears_nothing_after(cluster: Cluster, north: Member) -> None:
    await say(north, 60)
    phone = Phone("bo")
    with north.store.holding("read_events") as hold:
        await joined(north, phone, after=0)
        await hold.reached.wait()
        await north.said(Kick(id="k", player="bo"))
        await north.said(Say(id="secret"))
    await cluster.clock.advance(1)

    assert phone.seqs(TOPIC)[-1:] in ([], [61])
    assert phone.topics == set()


async def test_who_came_back_after_a_removal_hears_all_of_it(cluster: Cluster, north: Member) -> None:
    await say(north, 2)
    await north.said(Kick(id="k", player="bo"))
    await say(north, 2, start=3)
    for missed in (Phone("bo"), Phone("bo")):
        await joined(north, missed, after=0)
        await north.said(Say(id=f"live {id(missed)}"))
        await cluster.clock.advance(1)
        assert missed.seqs(TOPIC)[:6] == numbers(1, 6)


# Queries.
async def test_equal_reads_at_the_same_time_are_one_read(north: Member) -> None:
    await say(north, 3)
    before = north.store.calls.count("read_events")
    asks = [north.ask(Read(id=f"{n}"), f"p{n}") for n in range(20)]
    await settle()

    assert all(ask.reply.texts == ["1", "2", "3"] for ask in asks)
    assert north.store.calls.count("read_events") == before + 1


async def test_a_query_while_the_store_is_away_is_unavailable(north: Member) -> None:
    await say(north, 1)
    north.store.lose_next("read_events", applied=False)
    asks = [north.ask(Read(id=f"{n}"), f"p{n}") for n in range(3)]
    await settle()

    assert [ask.code for ask in asks] == ["unavailable"] * 3
    assert (await north.said(Read(id="r"))).texts == ["1"]


async def test_a_query_is_answered_where_it_was_asked(pair: tuple[Member, Member]) -> None:
    owner, other = pair
    await say(owner, 2)

    assert (await other.said(Read(id="r"))).texts == ["0", "1", "2"]
    assert "read_events" in other.store.calls
    assert "read_events" not in owner.store.calls


# Bounds.
async def test_topics_that_nobody_follows_take_no_memory(cluster: Cluster, pair: tuple[Member, Member]) -> None:
    owner, other = pair
    for n in range(20):
        phone = Phone(f"p{n}")
        await other.said(Join(id=f"j{n}", talk=f"t{n}"), phone.player, phone)
        await owner.said(Say(id=f"s{n}", talk=f"t{n}"))
        other.node.hub.leave(phone)
    await settle()

    assert (other.node.hub._streams, owner.node.hub._streams) == ({}, {})
    assert set(cluster.hub.receivers) == {"node:north", "node:south", "nodes"}


async def test_an_event_whose_owner_died_before_saying_it_is_heard_when_the_next_owner_takes_over(
    cluster: Cluster, pair: tuple[Member, Member]
) -> None:
    """The commit was applied, the node ended before it knew, and the node that was left is alone: nobody would ever say
    the event, and a lone node does not look for what others said. The line was acknowledged to whoever repeated it."""
    owner, other = pair
    phone = await joined(other, Phone("bo"))
    owner.store.lose_next("commit", applied=True)
    owner.ask(Say(id="last words", text="x"))
    await settle()
    cluster.crash(owner)
    for _ in range(4):  # a lease may be shorter than the pause between two looks
        other.store.lose_next("positions", applied=False)
    await cluster.pass_lease()

    await other.said(Say(id="last words", text="x"))
    await settle()

    assert phone.seqs(TOPIC) == [2]
