"""Ownership and commits: what ``Store.claim`` and ``Store.commit`` promise, on every engine."""

import asyncio

import pytest

from storage import (
    OPS_PER_PLAYER,
    ActorWrite,
    EventRange,
    OpRow,
    Outcome,
    OwnedElsewhere,
    SliceRow,
    Snapshot,
    Store,
    TellRow,
    TimerRow,
)
from tests.conformance.nodes import (
    alive,
    at,
    committed,
    line,
    note,
    op,
    owner_seen_by,
    reloaded,
    run_out,
    taken,
    write,
)


# Claiming.
async def test_an_actor_never_seen_starts_empty_at_version_0(store: Store) -> None:
    held = await taken(store, "player:ann")

    assert held == Snapshot(actor="player:ann", fence=held.fence, version=0, told=0)


async def test_an_actor_of_a_live_node_is_owned_elsewhere_and_unchanged(store: Store) -> None:
    held = await taken(store, "guild:42", "north")

    assert await store.claim("south", ["guild:42"]) == [OwnedElsewhere("guild:42", "north")]
    assert await committed(store, held, slices=note("mine still")) is Outcome.DONE


async def test_taking_raises_the_fence_by_one_also_from_oneself(store: Store) -> None:
    first = await taken(store, "guild:42")
    second = await taken(store, "guild:42")

    assert second.fence == first.fence + 1
    assert await committed(store, first) is Outcome.FENCED


async def test_an_actor_whose_owner_has_ended_its_lease_can_be_taken(store: Store) -> None:
    first = await taken(store, "guild:42", "north")
    await alive(store, "north", lease_s=0)

    second = await taken(store, "guild:42", "south")

    assert second.fence == first.fence + 1


async def test_an_actor_whose_owners_lease_has_run_out_can_be_taken(store: Store) -> None:
    await taken(store, "guild:42", "west")  # west never had a lease
    await taken(store, "guild:43", "north")
    await alive(store, "north", lease_s=0.001)
    await run_out(store, "north")

    assert isinstance((await store.claim("south", ["guild:42"]))[0], Snapshot)
    assert isinstance((await store.claim("south", ["guild:43"]))[0], Snapshot)


async def test_claims_are_answered_in_the_order_they_were_asked(store: Store) -> None:
    await taken(store, "c", "north")
    answers = await store.claim("south", ["d", "c", "a", "b"])

    assert [answer.actor for answer in answers] == ["d", "c", "a", "b"]
    assert answers[1] == OwnedElsewhere("c", "north")
    assert await store.claim("south", []) == []


async def test_of_nodes_that_claim_at_once_exactly_one_gets_each_actor(store: Store) -> None:
    actors = [f"guild:{n:02}" for n in range(40)]

    async with asyncio.TaskGroup() as tasks:
        rivals = [
            tasks.create_task(store.claim(node, actors[::step]))
            for node, step in (("north", 1), ("south", -1), ("north", -1), ("south", 1))
        ]

    assert len(await store.select("SELECT actor FROM actors")) == len(actors)
    owners: dict[str, set[str]] = {}
    for node, rival in zip(("north", "south", "north", "south"), rivals, strict=True):
        for answer in rival.result():
            owner = node if isinstance(answer, Snapshot) else answer.node
            owners.setdefault(answer.actor, set()).add(owner)
    assert all(len(found) == 1 for found in owners.values())


async def test_nodes_that_race_for_actors_without_a_row_both_get_an_answer(store: Store) -> None:
    """Both see no row and both make one: the loser has to look again."""
    async with asyncio.TaskGroup() as tasks:  # connections for all, so that the race is close
        for node in ("north", "south") * 2:
            tasks.create_task(alive(store, node))

    for turn in range(30):
        actors = [f"room:{turn}.{n}" for n in range(5)]
        async with asyncio.TaskGroup() as tasks:
            north = tasks.create_task(store.claim("north", actors))
            south = tasks.create_task(store.claim("south", actors))
        for mine, theirs in zip(north.result(), south.result(), strict=True):
            assert {type(mine), type(theirs)} == {Snapshot, OwnedElsewhere}


async def test_a_claim_finds_everything_that_was_committed(store: Store) -> None:
    held = await taken(store, "guild:42")
    everything = ActorWrite(
        actor="guild:42",
        fence=held.fence,
        version=0,
        told=7,
        slices={"roster": SliceRow(3, b"\x00\xff'\\\n"), "chat": SliceRow(1, b"")},
        ops=[op(1), OpRow("bo", "é" * 36, 1, b"", 5, None)],
        topics={"guild:42": at(1), "chat:guild:42": at(0)},
        events=[line("guild:42", 1)],
        outbox=[TellRow(6, "player:bo", b"hi", 10), TellRow(7, "mail:x", b"", 11, "no such actor")],
        heard={"player:ann": 3, "player:bo": 9_007_199_254_740_993},
        timers=[TimerRow("close", 99, b"t"), TimerRow("a", -1, b""), TimerRow("b", 5, b"", "internal")],
    )
    assert await store.commit([everything]) == [Outcome.DONE]

    found = await reloaded(store, held)

    assert found == Snapshot(
        actor="guild:42",
        fence=held.fence + 1,
        version=1,
        told=7,
        slices=everything.slices,
        ops=everything.ops,
        topics=everything.topics,
        outbox=everything.outbox,
        heard=everything.heard,
        timers=sorted(everything.timers, key=lambda timer: timer.name),
    )


# Committing.
async def test_a_commit_makes_the_version_one_higher(store: Store) -> None:
    held = await taken(store, "player:ann")

    assert await committed(store, held, slices=note("one")) is Outcome.DONE
    assert await committed(store, held, version=1, slices=note("two")) is Outcome.DONE

    found = await reloaded(store, held)
    assert (found.version, found.slices) == (2, note("two"))


async def test_a_later_owner_fences_out_the_earlier_writer(store: Store) -> None:
    paused = await taken(store, "guild:42", "north")
    await alive(store, "north", lease_s=0)
    owner = await taken(store, "guild:42", "south")

    assert await committed(store, paused, slices=note("north wakes up")) is Outcome.FENCED
    assert await committed(store, owner, slices=note("south")) is Outcome.DONE
    assert (await reloaded(store, owner, "south")).slices == note("south")


async def test_one_fenced_actor_does_not_hold_up_the_rest_of_the_batch(store: Store) -> None:
    ann, bo, cy = [await taken(store, name) for name in ("ann", "bo", "cy")]
    await taken(store, "bo")

    results = await store.commit([write(held, slices=note("x")) for held in (cy, bo, ann)])

    assert results == [Outcome.DONE, Outcome.FENCED, Outcome.DONE]


@pytest.mark.parametrize("version", [1, 2, 5])
async def test_a_version_that_the_row_has_not_reached_is_fenced(store: Store, version: int) -> None:
    held = await taken(store, "guild:42")

    assert await committed(store, held, version=version, slices=note("?")) is Outcome.FENCED
    assert (await reloaded(store, held)).version == 0


async def test_an_actor_without_a_row_is_fenced(store: Store) -> None:
    stranger = Snapshot(actor="guild:42", fence=1, version=0, told=0)

    assert await committed(store, stranger, slices=note("?")) is Outcome.FENCED
    assert await store.commit([]) == []


async def test_a_commit_repeated_after_a_lost_answer_is_done_once(store: Store) -> None:
    held = await taken(store, "guild:42")
    batch = [
        write(
            held,
            told=1,
            slices=note("x"),
            topics={"t": at(1)},
            events=[line("t", 1, player="ann", op="a1-1")],
            outbox=[TellRow(1, "player:bo", b"hi", 10)],
        )
    ]

    assert await store.commit(batch) == await store.commit(batch) == [Outcome.DONE]

    found = await reloaded(store, held)
    assert (found.version, len(found.outbox)) == (1, 1)
    assert await store.read_events(EventRange(topic="t")) == batch[0].events


async def test_each_player_keeps_the_newest_ops_of_the_window(store: Store) -> None:
    held = await taken(store, "guild:42")
    await committed(store, held, ops=[op(n) for n in range(1, OPS_PER_PLAYER + 1)] + [op(1, "bo")])
    await committed(store, held, version=1, ops=[op(OPS_PER_PLAYER + 1), op(OPS_PER_PLAYER + 2)])

    found = await reloaded(store, held)

    assert found.ops == [op(n) for n in range(3, OPS_PER_PLAYER + 3)] + [op(1, "bo")]


async def test_only_the_slices_of_the_write_are_replaced(store: Store) -> None:
    held = await taken(store, "player:ann")
    await committed(store, held, slices={"a": SliceRow(1, b"a"), "b": SliceRow(1, b"b")})
    await committed(store, held, version=1, slices={"b": SliceRow(2, b"b2")})

    found = await reloaded(store, held)

    assert found.slices == {"a": SliceRow(1, b"a"), "b": SliceRow(2, b"b2")}


async def test_a_delivered_tell_leaves_the_outbox_and_a_failed_one_is_marked(store: Store) -> None:
    held = await taken(store, "guild:42")
    tells = [TellRow(n, f"player:{n}", b"hi", 10) for n in (1, 2, 3)]
    await committed(store, held, told=3, outbox=tells)
    failed = TellRow(2, "player:2", b"hi", 10, "refused")
    await committed(store, held, version=1, told=3, outbox=[failed], delivered=[1, 99])

    assert (await reloaded(store, held)).outbox == [failed, tells[2]]


async def test_cancelling_comes_before_setting_a_timer(store: Store) -> None:
    held = await taken(store, "guild:42")
    await committed(store, held, timers=[TimerRow("a", 1, b"1"), TimerRow("b", 1, b"1")])
    await committed(store, held, version=1, cancelled=["a", "b"], timers=[TimerRow("b", 2, b"2")])

    assert (await reloaded(store, held)).timers == [TimerRow("b", 2, b"2")]


# Giving up.
async def test_a_released_actor_can_be_taken_by_another_node_at_once(store: Store) -> None:
    held = await taken(store, "guild:42", "north")
    await committed(store, held, slices=note("last words"), release=True)

    found = await taken(store, "guild:42", "south")

    assert (found.fence, found.version, found.slices) == (held.fence + 1, 1, note("last words"))


async def test_a_mere_release_leaves_the_version(store: Store) -> None:
    held = await taken(store, "guild:42", "north")
    await committed(store, held, slices=note("x"))
    assert await committed(store, held, version=1, release=True) is Outcome.DONE

    assert (await taken(store, "guild:42", "south")).version == 1


async def test_an_actor_that_never_wrote_leaves_no_row(store: Store) -> None:
    held = await taken(store, "room:typo")
    assert await committed(store, held, release=True) is Outcome.DONE

    assert await store.select("SELECT actor FROM actors") == []


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("changes", [{}, {"slices": note("x")}], ids=["mere", "with changes"])
async def test_a_release_repeated_after_a_lost_answer_is_done(
    store: Store, version: int, changes: dict[str, dict[str, SliceRow]]
) -> None:
    held = await taken(store, "guild:42")
    if version:
        await committed(store, held)
    for _ in range(3):
        result = await committed(store, held, version=version, release=True, **changes)
        assert result is Outcome.DONE


async def test_who_released_an_actor_may_not_write_it_any_more(store: Store) -> None:
    held = await taken(store, "guild:42")
    await committed(store, held)
    await committed(store, held, version=1, release=True)

    assert await committed(store, held, version=1, slices=note("late")) is Outcome.FENCED


async def test_a_late_release_does_not_release_the_next_owner(store: Store) -> None:
    held = await taken(store, "guild:42", "north")
    await committed(store, held, slices=note("x"), release=True)
    await taken(store, "guild:42", "south")

    result = await committed(store, held, slices=note("x"), release=True)

    assert result is Outcome.FENCED
    assert await owner_seen_by(store, "north", "guild:42") == "south"


async def test_a_row_that_was_dropped_and_made_again_never_repeats_a_fence(store: Store) -> None:
    """Else a paused owner could write into the new row, and the new owner would be told that its own write was done."""
    paused = await taken(store, "room:new", "north")
    await committed(store, paused, release=True)
    owner = await taken(store, "room:new", "south")

    assert owner.version == paused.version
    assert await committed(store, paused, slices=note("north wakes up")) is Outcome.FENCED
    assert await committed(store, paused, release=True) is Outcome.FENCED
    assert await committed(store, owner, slices=note("south")) is Outcome.DONE


# Many at once.
async def test_a_batch_may_write_tell_and_release(store: Store) -> None:
    """Each row gets what its own write says, and nothing of its neighbours'."""
    writer, teller, leaver, quiet, idle, new = [
        await taken(store, f"guild:{name}") for name in ("writer", "teller", "leaver", "quiet", "idle", "new")
    ]
    for held in (quiet, idle):
        await committed(store, held, slices=note("before"))
    batch = [
        write(writer, slices=note("x")),
        write(teller, told=3, outbox=[TellRow(3, "player:bo", b"hi", 10)]),
        write(leaver, slices=note("last words"), release=True),
        write(quiet, version=1, release=True),
        write(idle, version=1, slices=note("after")),
        write(new, release=True),
    ]

    assert await store.commit(batch) == [Outcome.DONE] * 6

    rows = await store.select("SELECT actor, owner, version, told FROM actors ORDER BY actor")
    assert rows == [
        ("guild:idle", "north", 2, 0),
        ("guild:leaver", None, 1, 0),
        ("guild:quiet", None, 1, 0),
        ("guild:teller", "north", 1, 3),
        ("guild:writer", "north", 1, 0),
    ]


async def test_a_batch_may_be_larger_than_one_statement(store: Store) -> None:
    actors = [f"player:{n}" for n in range(1500)]
    claimed = await store.claim("north", actors)
    writes = [write(held, slices=note(held.actor), ops=[op(1)]) for held in claimed if isinstance(held, Snapshot)]

    assert await store.commit(writes) == [Outcome.DONE] * 1500

    found = await store.claim("north", actors)
    assert [s.slices for s in found if isinstance(s, Snapshot)] == [note(a) for a in actors]


async def test_lanes_may_commit_neighbours_in_parallel(store: Store) -> None:
    claimed = await store.claim("north", [f"player:{n:03}" for n in range(80)])
    held = [answer for answer in claimed if isinstance(answer, Snapshot)]

    async def lane(mine: list[Snapshot]) -> None:
        for version in range(10):
            batch = [
                write(
                    one,
                    version=version,
                    slices=note("x"),
                    ops=[op(version)],
                    topics={one.actor: at(version + 1)},
                    events=[line(one.actor, version + 1)],
                    outbox=[TellRow(version + 1, "player:x", b"", 1)],
                    delivered=[version],
                )
                for one in mine
            ]
            assert await store.commit(batch) == [Outcome.DONE] * len(mine)

    async with asyncio.TaskGroup() as tasks:
        for start in range(4):
            tasks.create_task(lane(held[start::4]))

    positions = await store.positions([one.actor for one in held])
    assert {position.seq for position in positions.values()} == {10}
