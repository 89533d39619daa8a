"""Rows that are put or replaced, and events that get another body: ``Upsert`` and ``Redaction``, on every engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from storage import (
    Delete,
    EventRange,
    Insert,
    Migration,
    Outcome,
    Redaction,
    Refused,
    Snapshot,
    Store,
    Taken,
    Upsert,
    migrate,
    open_store,
)
from tests.conformance.nodes import alive, at, committed, line, note, reloaded, taken, write
from tests.support.memory_store import MemoryStore

ROOM = (
    Migration(
        1,
        """
        CREATE TABLE shelf (
            `order` VARCHAR(32) NOT NULL,
            place BIGINT NOT NULL,
            amount BIGINT NOT NULL,
            note VARCHAR(16) NULL,
            PRIMARY KEY (`order`, place)
        )
        """,
    ),
)
"""A table whose key is of two columns, one of them a word of SQL."""
KEYS = ("order", "place")


@pytest.fixture(params=["memory", "sqlite", "mysql"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An open store with the shelf, on which ``north`` is alive."""
    async with _opened(request) as opened:
        await alive(opened, "north")
        yield opened


@asynccontextmanager
async def _opened(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        with closing(MemoryStore({"shelf": ROOM})) as memory:
            yield memory
        return
    url: str = request.getfixturevalue({"sqlite": "sqlite_url", "mysql": "emptied_mysql_url"}[request.param])
    await migrate(url, {"shelf": ROOM})
    async with open_store(url) as opened:
        yield opened


def put(order: str, amount: int, note: str | None = None, *, place: int = 1) -> Upsert:
    return Upsert("shelf", {"order": order, "place": place, "amount": amount, "note": note}, KEYS)


async def shelf(store: Store) -> list[tuple[Any, ...]]:
    return await store.select("SELECT `order`, place, amount, note FROM shelf ORDER BY `order`, place")


# Rows.
async def test_a_row_is_put_where_there_is_none_and_replaced_where_there_is_one(store: Store) -> None:
    held = await taken(store, "player:ann")

    assert await committed(store, held, records=[put("a", 1, "old"), put("b", 2)]) is Outcome.DONE
    assert await committed(store, held, version=1, records=[put("a", 10), put("a", 3, place=2)]) is Outcome.DONE

    assert await shelf(store) == [("a", 1, 10, None), ("a", 2, 3, None), ("b", 1, 2, None)]


async def test_columns_that_are_not_named_stay_as_they_were(store: Store) -> None:
    held = await taken(store, "player:ann")
    await committed(store, held, records=[put("a", 1, "kept")])

    await committed(store, held, version=1, records=[Upsert("shelf", {"order": "a", "place": 1, "amount": 2}, KEYS)])

    assert await shelf(store) == [("a", 1, 2, "kept")]


async def test_of_several_for_one_key_in_one_write_the_last_stays(store: Store) -> None:
    held = await taken(store, "player:ann")

    await committed(store, held, records=[put("a", 1), put("b", 5), put("a", 2, "x"), put("a", 3, "y")])

    assert await shelf(store) == [("a", 1, 3, "y"), ("b", 1, 5, None)]


async def test_actors_of_one_batch_each_put_their_rows(store: Store) -> None:
    ann, bo = await taken(store, "ann"), await taken(store, "bo")
    await committed(store, ann, records=[put("ann", 1)])

    results = await store.commit(
        [write(bo, records=[put("bo", 2), put("bo", 3)]), write(ann, version=1, records=[put("ann", 4)])]
    )

    assert results == [Outcome.DONE, Outcome.DONE]
    assert await shelf(store) == [("ann", 1, 4, None), ("bo", 1, 3, None)]


async def test_a_write_that_is_repeated_after_a_lost_answer_puts_nothing_back(store: Store) -> None:
    held = await taken(store, "player:ann")
    first = write(held, records=[put("a", 1)])
    await store.commit([first])
    await committed(store, held, version=1, records=[put("a", 2)])

    await store.commit([first])

    assert await shelf(store) == [("a", 1, 2, None)]


async def test_a_fenced_write_puts_nothing(store: Store) -> None:
    held = await taken(store, "player:ann")
    await taken(store, "player:ann")

    assert await committed(store, held, records=[put("a", 1)]) is Outcome.FENCED
    assert await shelf(store) == []


async def test_records_of_all_kinds_in_one_write_happen_in_their_order(store: Store) -> None:
    held = await taken(store, "player:ann")
    row = {"order": "a", "place": 1, "amount": 1, "note": None}
    records = [
        Insert("shelf", row),
        put("a", 2),
        Delete("shelf", {"order": "a", "place": 1, "amount": 2}),
        put("a", 3),
        put("b", 4),
        Delete("shelf", {"order": "b"}),
        Insert("shelf", {**row, "order": "b", "amount": 5}),
    ]

    assert await committed(store, held, records=records) is Outcome.DONE

    assert await shelf(store) == [("a", 1, 3, None), ("b", 1, 5, None)]


async def test_an_insert_of_a_row_that_was_put_is_still_refused_by_its_place(store: Store) -> None:
    held = await taken(store, "player:ann")
    row = {"order": "a", "place": 1, "amount": 9, "note": None}

    assert await committed(store, held, records=[put("a", 1), Insert("shelf", row)]) == Taken(record=1)
    assert await shelf(store) == []


ROW = {"order": "a", "place": 1, "amount": 1, "note": None}
REFUSED = {
    "no keys": Upsert("shelf", ROW, ()),
    "a key that is no column of it": Upsert("shelf", ROW, ("order", "shelf")),
    "every column a key": Upsert("shelf", {"order": "a", "place": 1}, KEYS),
    "no columns": Upsert("shelf", {}, KEYS),
    "no such table": Upsert("nowhere", ROW, KEYS),
    "no such column": Upsert("shelf", {**ROW, "weight": 1}, KEYS),
    "a column left out": Upsert("shelf", {"order": "a", "place": 1, "note": "x"}, KEYS),
    "a key that is not a name": Upsert("shelf", {**ROW, "place`": 1}, ("order", "place`")),
    "a value too long": put("a" * 33, 1),
    "null where none may be": Upsert("shelf", {**ROW, "amount": None}, KEYS),
}


@pytest.mark.parametrize("record", REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_no_row_to_put_costs_only_its_actor(store: Store, record: Upsert) -> None:
    ann, bo = await taken(store, "ann"), await taken(store, "bo")

    results = await store.commit([write(ann, slices=note("no"), records=[put("x", 1), record]), write(bo)])

    assert (type(results[0]), results[1]) == (Refused, Outcome.DONE)
    assert await shelf(store) == []
    assert (await reloaded(store, ann)).slices == {}


# Events.
async def talk(store: Store) -> Snapshot:
    """An actor that has said three things."""
    held = await taken(store, "guild:42")
    said = [line("t", n, player="ann", op=f"a-{n}", ends="bo" if n == 2 else None) for n in (1, 2, 3)]
    await committed(store, held, topics={"t": at(3)}, events=said)
    return held


async def test_a_redaction_changes_the_body_of_its_event_and_nothing_else(store: Store) -> None:
    held = await talk(store)
    before = await store.read_events(EventRange(topic="t"))

    done = await committed(store, held, version=1, redactions=[Redaction("t", 2, b"\x00'?\\ gone")])

    after = await store.read_events(EventRange(topic="t"))
    assert done is Outcome.DONE
    assert [e.body for e in after] == [b"line 1", b"\x00'?\\ gone", b"line 3"]
    assert [(e.seq, e.at_ms, e.player, e.op, e.part, e.ends) for e in after] == [
        (e.seq, e.at_ms, e.player, e.op, e.part, e.ends) for e in before
    ]
    assert (await reloaded(store, held)).topics == {"t": at(3)}


async def test_an_op_whose_event_was_redacted_is_still_taken(store: Store) -> None:
    held = await talk(store)
    await committed(store, held, version=1, redactions=[Redaction("t", 2, b"gone")])

    again = await committed(store, held, version=2, topics={"t": at(4)}, events=[line("t", 4, player="ann", op="a-2")])

    assert again == Taken(event=0)


async def test_a_redaction_of_what_is_not_there_does_nothing(store: Store) -> None:
    held = await talk(store)
    nowhere = [Redaction("t", 9, b"x"), Redaction("u", 1, b"x")]

    assert await committed(store, held, version=1, redactions=nowhere) is Outcome.DONE

    assert [e.body for e in await store.read_events(EventRange(topic="t"))] == [b"line 1", b"line 2", b"line 3"]
    assert await store.read_events(EventRange(topic="u")) == []


async def test_an_event_may_be_redacted_by_the_write_that_brings_it(store: Store) -> None:
    held = await talk(store)
    redactions = [Redaction("t", 4, b"never mind"), Redaction("t", 1, b"first"), Redaction("t", 1, b"second")]

    done = await committed(store, held, version=1, topics={"t": at(4)}, events=[line("t", 4)], redactions=redactions)

    assert done is Outcome.DONE
    bodies = [e.body for e in await store.read_events(EventRange(topic="t"))]
    assert bodies == [b"second", b"line 2", b"line 3", b"never mind"]


async def test_a_redaction_alone_is_a_change_also_of_an_actor_that_gives_itself_up(store: Store) -> None:
    held = await talk(store)

    assert await committed(store, held, version=1, release=True, redactions=[Redaction("t", 1, b"x")]) is Outcome.DONE

    assert (await store.read_events(EventRange(topic="t")))[0].body == b"x"
    assert (await taken(store, "guild:42")).version == 2


async def test_a_refused_or_fenced_write_redacts_nothing(store: Store) -> None:
    held = await talk(store)
    redactions = [Redaction("t", 1, b"x")]
    bad = [Insert("nowhere", {"id": 1})]

    assert isinstance(await committed(store, held, version=1, redactions=redactions, records=bad), Refused)
    await taken(store, "guild:42")
    assert await committed(store, held, version=1, redactions=redactions) is Outcome.FENCED

    assert (await store.read_events(EventRange(topic="t")))[0].body == b"line 1"


async def test_redactions_of_many_actors_are_one_commit(store: Store) -> None:
    claimed = await store.claim("north", [f"talk:{n}" for n in range(20)])
    held = [one for one in claimed if isinstance(one, Snapshot)]
    await store.commit([write(h, topics={h.actor: at(1)}, events=[line(h.actor, 1)]) for h in held])

    results = await store.commit(
        [write(h, version=1, redactions=[Redaction(h.actor, 1, h.actor.encode())]) for h in held]
    )

    assert results == [Outcome.DONE] * 20
    for h in held:
        assert (await store.read_events(EventRange(topic=h.actor)))[0].body == h.actor.encode()
