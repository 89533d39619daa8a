"""Limits: an order of staff is kept whole, written down, and told to every node."""

import msgspec
import pytest

from actors.limits import LimitsKept, LimitsSet, SpreadTicket, limits, order_of
from actors.runtime.context import Keep
from actors.staff import By
from storage import Insert, Upsert
from tests.support.room import Room

BY = By(key="k1", name="Ann Ops", address="203.0.113.9", op="op-1", digest=b"d" * 32)
ORDER = {"session": {"requests": {"per_s": 1.0, "burst": 2}}}


@pytest.fixture
def room() -> Room:
    """The actor of all limits."""
    return Room(limits, actor="limits:all", caller="~server")


def test_an_order_is_kept_and_spread_before_the_answer(room: Room) -> None:
    assert room.ask(LimitsSet(id="1", order=ORDER, by=BY)) == SpreadTicket(reply=LimitsKept(order=ORDER))

    row, _ = [effect.record for effect in room.effects_of(Keep)]
    assert isinstance(row, Upsert)
    assert (row.table, row.values["id"]) == ("limit_orders", "all")
    assert order_of([(row.values["body"],)]) == ORDER


def test_no_row_is_an_empty_order() -> None:
    assert order_of([]) == {}


def test_what_stood_before_is_written_down(room: Room) -> None:
    room.ask(LimitsSet(id="1", order=ORDER, by=BY))
    room.ask(LimitsSet(id="2", order={}, by=BY))

    rows = [effect.record for effect in room.effects_of(Keep)]
    audits = [row.values for row in rows if isinstance(row, Insert)]
    values = [(msgspec.json.decode(row["old_value"]), msgspec.json.decode(row["new_value"])) for row in audits]
    assert values == [({}, ORDER), (ORDER, {})]
