"""The topic log, what is due, who is alive, and plain queries, on every engine."""

import pytest
from msgspec import structs

from storage import (
    SHARDS,
    DueTimer,
    EventRange,
    NodeRow,
    Outcome,
    Store,
    TellRow,
    TimerRow,
    Upsert,
    migrate,
    open_store,
    shard_of,
)
from tests.conformance.nodes import alive, at, committed, line, note, reloaded, run_out, taken

EVERY_SHARD = range(SHARDS)


# Topics.
async def test_events_come_back_whole_in_rising_order(store: Store) -> None:
    held = await taken(store, "guild:42")
    events = [
        line("t", 1, player="ann", op="ä-1", part=2, ends="bo"),
        line("t", 2, ends="cy"),
        line("t", 3, player="ann"),
    ]
    await committed(store, held, topics={"t": at(3)}, events=events[::-1])

    assert await store.read_events(EventRange(topic="t")) == events


@pytest.mark.parametrize(
    ("span", "seqs"),
    [
        (EventRange(topic="t"), [1, 2, 3, 4, 5, 6]),
        (EventRange(topic="t", after=4), [5, 6]),
        (EventRange(topic="t", before=3), [1, 2]),
        (EventRange(topic="t", after=2, before=5), [3, 4]),
        (EventRange(topic="t", limit=2), [1, 2]),
        (EventRange(topic="t", limit=2, newest=True), [5, 6]),
        (EventRange(topic="t", after=1, before=6, limit=3, newest=True), [3, 4, 5]),
        (EventRange(topic="t", after=6), []),
        (EventRange(topic="t", limit=0), []),
        (EventRange(topic="T"), []),
    ],
    ids=str,
)
async def test_a_range_of_events(store: Store, span: EventRange, seqs: list[int]) -> None:
    held = await taken(store, "guild:42")
    events = [line("t", seq) for seq in range(1, 7)] + [line("tt", 1)]
    await committed(store, held, topics={"t": at(6), "tt": at(1)}, events=events)

    assert [event.seq for event in await store.read_events(span)] == seqs


async def test_positions_of_unknown_topics_are_left_out(store: Store) -> None:
    held = await taken(store, "guild:42")
    await committed(store, held, topics={"t": at(6, 3), "u": at(0)})

    assert await store.positions(["u", "x", "t"]) == {"t": at(6, 3), "u": at(0)}
    assert await store.positions([]) == {}


async def test_events_below_the_floor_are_deleted(store: Store) -> None:
    held = await taken(store, "guild:42")
    both = [line(topic, seq) for topic in ("t", "u") for seq in range(1, 6)]
    await committed(store, held, topics={"t": at(5), "u": at(5)}, events=both)
    await committed(store, held, version=1, topics={"t": at(5, 4)})

    left = [[e.seq for e in await store.read_events(EventRange(topic=t))] for t in ("t", "u")]

    assert left == [[4, 5], [1, 2, 3, 4, 5]]


async def test_a_large_cut_is_spread_over_commits(store: Store) -> None:
    held = await taken(store, "guild:42")
    count = 2500
    await committed(store, held, topics={"t": at(count)}, events=[line("t", n + 1) for n in range(count)])
    left = []
    for version in (1, 2, 3):
        await committed(store, held, version=version, topics={"t": at(count, 2301)})
        left += await store.select("SELECT COUNT(*) FROM topic_events WHERE topic = ?", ["t"])

    assert left == [(1500,), (500,), (200,)]


# What is due.
async def test_timers_that_are_due_come_earliest_first(store: Store) -> None:
    ann, bo = await taken(store, "ann"), await taken(store, "bo")
    timers = [TimerRow("late", 30, b"l"), TimerRow("soon", 10, b"s"), TimerRow("never", 31, b"")]
    await committed(store, ann, timers=timers)
    await committed(store, bo, timers=[TimerRow("mid", 20, b"m")], release=True)

    found, _ = await store.due(EVERY_SHARD, timers_until_ms=30, tells_until_ms=0, limit=10)

    assert found == [
        DueTimer("ann", timers[1]),
        DueTimer("bo", TimerRow("mid", 20, b"m")),
        DueTimer("ann", timers[0]),
    ]


async def test_actors_with_a_tell_that_waits_are_found_once_unless_it_was_set_aside(
    store: Store,
) -> None:
    for actor, tells in {
        "old": [TellRow(1, "x", b"", 10), TellRow(2, "x", b"", 11)],
        "new": [TellRow(1, "x", b"", 50)],
        "failed": [TellRow(1, "x", b"", 10, "no such actor")],
    }.items():
        await committed(store, await taken(store, actor), told=2, outbox=tells)

    _, found = await store.due(EVERY_SHARD, timers_until_ms=0, tells_until_ms=50, limit=10)
    _, later = await store.due(EVERY_SHARD, timers_until_ms=0, tells_until_ms=51, limit=10)

    assert (found, later) == (["old"], ["old", "new"])


async def test_a_timer_that_was_set_aside_is_not_found_until_it_is_set_again(store: Store) -> None:
    held = await taken(store, "ann")
    await committed(store, held, timers=[TimerRow("a", 1, b"a", "internal"), TimerRow("b", 2, b"b")])
    aside, _ = await store.due(EVERY_SHARD, timers_until_ms=9, tells_until_ms=0, limit=10)
    await committed(store, held, version=1, timers=[TimerRow("a", 3, b"a"), TimerRow("b", 2, b"b", "internal")])
    again, _ = await store.due(EVERY_SHARD, timers_until_ms=9, tells_until_ms=0, limit=10)

    assert aside == [DueTimer("ann", TimerRow("b", 2, b"b"))]
    assert again == [DueTimer("ann", TimerRow("a", 3, b"a"))]


async def test_a_timer_that_an_older_release_sets_again_is_set_aside_no_more(store: Store) -> None:
    """It does not know the column ``failed``, and leaves there what it finds."""
    held = await taken(store, "ann")
    await committed(store, held, timers=[TimerRow("a", 1, b"a", "internal")])
    older = {"actor": "ann", "name": "a", "shard": shard_of("ann"), "due_ms": 3, "body": b"b"}
    await committed(store, held, version=1, records=[Upsert("timers", older, ("actor", "name"))])

    found, _ = await store.due(EVERY_SHARD, timers_until_ms=9, tells_until_ms=0, limit=10)

    assert found == [DueTimer("ann", TimerRow("a", 3, b"b"))]
    assert (await reloaded(store, held)).timers == [TimerRow("a", 3, b"b")]


async def test_only_the_shards_asked_for_are_searched_and_at_most_the_limit(store: Store) -> None:
    actors = [f"player:{n}" for n in range(12)]
    for actor in actors:
        held = await taken(store, actor)
        waiting = [TellRow(1, "x", b"", 1)]
        await committed(store, held, told=1, timers=[TimerRow("t", 1, b"")], outbox=waiting)
    mine = [shard_of(actors[0]), shard_of(actors[1])]
    owned = {actor for actor in actors if shard_of(actor) in mine}

    timers, tells = await store.due(mine, timers_until_ms=9, tells_until_ms=9, limit=99)
    assert {due.actor for due in timers} == set(tells) == owned

    timers, tells = await store.due(EVERY_SHARD, timers_until_ms=9, tells_until_ms=9, limit=5)
    assert (len(timers), len(tells)) == (5, 5)
    assert await store.due([], timers_until_ms=9, tells_until_ms=9, limit=5) == ([], [])


# Who is alive.
async def test_live_nodes_are_told_by_name(store: Store) -> None:
    await store.renew(NodeRow("east", "10.0.0.1:1", draining=False), 60)

    nodes = await store.renew(NodeRow("east", "10.0.0.1:2", draining=True), 60)
    assert all(0 < node.left_ms <= 60_000 for node in nodes)
    nodes = [structs.replace(node, left_ms=0) for node in nodes]

    assert nodes == [
        NodeRow("east", "10.0.0.1:2", draining=True),
        NodeRow("north", "north:7350", draining=False),
        NodeRow("south", "south:7350", draining=False),
    ]


@pytest.mark.parametrize("lease_s", [0, -1])
async def test_a_node_that_ends_its_lease_is_gone_at_once(store: Store, lease_s: float) -> None:
    assert [row.node for row in await alive(store, "north", lease_s)] == ["south"]
    assert [row.node for row in await alive(store, "north")] == ["north", "south"]


async def test_a_lease_that_is_held_is_prolonged(store: Store) -> None:
    await alive(store, "north", 5)

    nodes = {row.node: row for row in await alive(store, "north", 60, held=True)}
    assert nodes["north"].left_ms > 50_000


async def test_a_lease_that_has_run_out_is_not_held_on_to(store: Store) -> None:
    """Its node may believe in it, if the database's clock has jumped; another may have taken its actors since."""
    await alive(store, "north", 0.001)
    await run_out(store, "north")

    for _ in range(2):  # an answer may be lost, and the question repeated
        assert [row.node for row in await alive(store, "north", held=True)] == ["south"]
    assert [row.node for row in await alive(store, "north")] == ["north", "south"]


async def test_a_lease_that_nobody_knows_is_not_held_on_to(store: Store) -> None:
    """Its row has been deleted since it ran out, or the database is one that was restored."""
    assert [row.node for row in await alive(store, "west", held=True)] == ["north", "south"]
    assert [row.node for row in await alive(store, "south")] == ["north", "south"]


async def test_two_stores_on_one_mysql_database_see_each_other(mysql_url: str) -> None:
    await migrate(mysql_url, {})
    async with open_store(mysql_url) as first, open_store(mysql_url) as second:
        await alive(first, "north")
        assert [row.node for row in await alive(second, "south")] == ["north", "south"]
        held = await taken(first, "guild:42", "north")
        assert await committed(first, held, slices=note("x"), release=True) is Outcome.DONE
        assert (await reloaded(second, held, "south")).slices == note("x")


# Queries.
async def test_a_query_gets_plain_values(store: Store) -> None:
    rows = await store.select("SELECT ?, ?, ?, '?' AS `why?`, \"?\", ? -- ", ["it's", b"\x00'", None, -3])

    assert rows == [("it's", b"\x00'", None, "?", "?", -3)]


async def test_sums_are_whole_numbers(store: Store) -> None:
    held = await taken(store, "a")
    await committed(store, held, timers=[TimerRow("x", 1, b""), TimerRow("y", 41, b"")])

    rows = await store.select("SELECT SUM(due_ms), COUNT(*) FROM timers WHERE due_ms > ?", [0])

    assert rows == [(42, 2)]
    assert isinstance(rows[0][0], int)
