"""What costs only the actor it belongs to: taken keys, values and records that the database refuses."""

from typing import Any

import pytest

from storage import (
    Delete,
    EventRange,
    Insert,
    OpRow,
    Outcome,
    Refused,
    SliceRow,
    Snapshot,
    Store,
    Taken,
    TellRow,
    TimerRow,
)
from tests.conformance.nodes import at, committed, line, note, op, reloaded, taken, write


async def purse(store: Store) -> list[tuple[Any, ...]]:
    return await store.select("SELECT id, amount FROM purse_log ORDER BY id")


def paid(key: str, amount: int = 1) -> Insert:
    return Insert("purse_log", {"id": key, "amount": amount})


async def test_an_op_that_was_logged_before_is_taken_however_long_ago(store: Store) -> None:
    held = await taken(store, "guild:42")
    said = line("t", 1, player="ann", op="a1-1")
    await committed(store, held, topics={"t": at(1)}, events=[said])

    again = await committed(
        store,
        held,
        version=1,
        slices=note("not applied"),
        topics={"t": at(3)},
        events=[line("t", 2), line("t", 3, player="ann", op="a1-1")],
    )

    assert again == Taken(event=1)
    found = await reloaded(store, held)
    assert (found.version, found.slices, found.topics) == (1, {}, {"t": at(1)})
    assert await store.read_events(EventRange(topic="t")) == [said]


async def test_an_op_is_taken_also_when_its_write_cuts_the_event_that_logged_it(store: Store) -> None:
    """The store once cut first when it looked for a culprit: the clash was gone, and the op took effect twice."""
    held = await taken(store, "guild:42")
    said = line("t", 1, player="ann", op="a1-1")
    await committed(store, held, topics={"t": at(1)}, events=[said])

    again = await committed(
        store,
        held,
        version=1,
        topics={"t": at(2, floor=2)},
        events=[line("t", 2, player="ann", op="a1-1")],
    )

    assert again == Taken(event=0)
    assert await store.read_events(EventRange(topic="t")) == [said]


async def test_one_op_may_publish_parts_and_others_may_use_the_same_id(store: Store) -> None:
    held = await taken(store, "guild:42")
    events = [
        line("t", 1, player="ann", op="a1-1", part=0),
        line("t", 2, player="ann", op="a1-1", part=1),
        line("t", 3, player="bo", op="a1-1"),
        line("t", 4, player="ann", op="A1-1"),
        line("t", 5),
        line("t", 6),
        line("u", 1, player="ann", op="a1-1"),
    ]

    result = await committed(store, held, topics={"t": at(6), "u": at(1)}, events=events)

    assert result is Outcome.DONE


async def test_a_seq_that_is_taken_means_another_history(store: Store) -> None:
    held, rival = await taken(store, "guild:42"), await taken(store, "guild:43")
    await committed(store, held, topics={"t": at(1)}, events=[line("t", 1)])

    result = await committed(store, rival, events=[line("t", 1, player="ann", op="a1-1")])

    assert result is Outcome.FENCED
    assert len(await store.read_events(EventRange(topic="t"))) == 1


async def test_a_record_whose_key_is_taken_is_named_by_its_place(store: Store) -> None:
    held = await taken(store, "player:ann")
    assert await committed(store, held, records=[paid("p1"), paid("p2")]) is Outcome.DONE

    result = await committed(store, held, version=1, records=[paid("p3"), paid("p2", 9)])

    assert result == Taken(record=1)
    assert await purse(store) == [("p1", 1), ("p2", 1)]


async def test_two_actors_of_one_batch_cannot_both_have_a_key(store: Store) -> None:
    ann, bo = await taken(store, "ann"), await taken(store, "bo")

    results = await store.commit([write(bo, records=[paid("p1")]), write(ann, records=[paid("p1")])])

    assert results == [Outcome.DONE, Taken(record=0)]


async def test_a_record_may_be_deleted_and_written_again_in_one_write(store: Store) -> None:
    held = await taken(store, "player:ann")
    await committed(store, held, records=[paid("p1", 1), paid("p2", 2)])
    swap = [Delete("purse_log", {"id": "p1"}), paid("p1", 10), Delete("purse_log", {"id": "p2"})]

    assert await committed(store, held, version=1, records=swap) is Outcome.DONE

    assert await purse(store) == [("p1", 10)]


async def test_a_delete_takes_the_rows_that_equal_it_in_every_column(store: Store) -> None:
    held = await taken(store, "player:ann")
    rows = [("a", 1, None), ("b", 1, "x"), ("c", 2, None)]
    keys = ("id", "amount", "note")
    await committed(store, held, records=[Insert("purse_log", dict(zip(keys, r, strict=True))) for r in rows])

    await committed(store, held, version=1, records=[Delete("purse_log", {"amount": 1, "note": None})])

    assert await purse(store) == [("b", 1), ("c", 2)]


async def test_an_event_that_is_refused_leaves_no_record_behind(store: Store) -> None:
    held = await taken(store, "player:ann")
    await committed(store, held, events=[line("t", 1, player="ann", op="o")])

    result = await committed(store, held, version=1, records=[paid("p1")], events=[line("t", 2, player="ann", op="o")])

    assert result == Taken(event=0)
    assert await purse(store) == []


LONG = 1 << 24

REFUSED: dict[str, dict[str, Any]] = {
    "slice name too long": {"slices": {"n" * 65: SliceRow(1, b"")}},
    "slice larger than any column": {"slices": {"n": SliceRow(1, bytes(LONG))}},
    "op id too long": {"ops": [OpRow("ann", "x" * 145, 1, b"", 0, None)]},
    "player too long": {"ops": [op(1, "x" * 65)]},
    "half a surrogate pair": {"ops": [OpRow("ann", "\ud800", 1, b"", 0, None)]},
    "half a surrogate pair in a name": {"heard": {"\ud800": 1}},
    "number of more than 64 bits": {"heard": {"player:ann": 1 << 64}},
    "topic too long": {"topics": {"t" * 161: at(1)}},
    "reason too long": {"outbox": [TellRow(1, "a", b"", 0, "x" * 256)]},
    "timer name too long": {"timers": [TimerRow("n" * 65, 1, b"")]},
    "event's player too long": {"events": [line("t", 1, player="x" * 65)]},
    "no such table": {"records": [Insert("nowhere", {"id": 1})]},
    "no such table to delete from": {"records": [Delete("nowhere", {"id": 1})]},
    "no such column": {"records": [Insert("purse_log", {"id": "p", "weight": 1})]},
    "column left out": {"records": [Insert("purse_log", {"id": "p"})]},
    "column that may not be null": {"records": [Insert("purse_log", {"id": "p", "amount": None})]},
    "value too long": {"records": [Insert("purse_log", {"id": "p" * 33, "amount": 1})]},
    "bytes too long": {"records": [Insert("purse_log", {"id": "p", "amount": 1, "proof": bytes(301)})]},
    "value of no column's type": {"records": [Insert("purse_log", {"id": "p", "amount": [1]})]},
    "name that is not one": {"records": [Insert("purse_log; --", {"id": 1})]},
    "column name that is not one": {"records": [Insert("purse_log", {"id`": 1})]},
    "insert of nothing": {"records": [Insert("purse_log", {})]},
    "delete of everything": {"records": [Delete("purse_log", {})]},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED.keys())
async def test_what_the_database_refuses_costs_only_its_actor(store: Store, changes: dict[str, Any]) -> None:
    claimed = await store.claim("north", [f"player:{n}" for n in range(5)])
    held = [one for one in claimed if isinstance(one, Snapshot)]
    good, bad = {"slices": note("fine")}, {"ops": [op(9)], **changes}

    results = await store.commit([write(one, **(bad if n == 3 else good)) for n, one in enumerate(held)])

    assert [r for n, r in enumerate(results) if n != 3] == [Outcome.DONE] * 4
    assert isinstance(results[3], Refused), results[3]
    found = await reloaded(store, held[3])
    assert found == Snapshot(actor=held[3].actor, fence=found.fence, version=0, told=0)


async def test_an_actor_goes_on_after_a_refusal(store: Store) -> None:
    held = await taken(store, "player:ann")
    await committed(store, held, records=[Insert("nowhere", {"id": 1})])

    assert await committed(store, held, slices=note("fine")) is Outcome.DONE


async def test_any_bytes_and_any_text_come_back_as_they_were(store: Store) -> None:
    held = await taken(store, "player:ann")
    every = bytes(range(256))
    bodies = [every, every[::-1], b"'", b"\\", b"\\'", b"'; --", b"\xc2'", b"\xf0\x9f\\", b"?%s\x1a"]
    texts = ["\\", "'", '"', "\\'", "\x00\n\r\x1a", "?", "%s %%", "ünïcödé 🛡", "`", "--"]
    records = [
        Insert("purse_log", {"id": f"{n}", "amount": n, "note": text, "proof": body})
        for n, (text, body) in enumerate(zip(texts, [*bodies, b""], strict=True))
    ]

    assert await committed(store, held, records=records) is Outcome.DONE

    rows = await store.select("SELECT id, amount, note, proof FROM purse_log ORDER BY amount")
    assert rows == [tuple(record.values.values()) for record in records]
    for row in rows:
        again = await store.select("SELECT id FROM purse_log WHERE note = ? AND proof = ? AND '?' = '?'", row[2:])
        assert again == [row[:1]]
