"""What a newer release has written survives the writes of an older one, wherever in the slice it stands."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from actors.runtime.slices import open_slots
from actors.runtime.unknown import unknown_of
from storage import SliceRow, Snapshot
from tests.support.room import Room
from tests.upgrade.golden import assert_holds
from tests.upgrade.releases import Chest, Chest3, Item, Mark, Stock, chest

NEWER = {
    "items": {"potion": {"count": 1, "colour": "red"}, "sword": {"count": 2, "colour": "blue"}},
    "marks": [["potion", "ann"], ["sword", "bo"]],
    "lock": "brass",
}
"""A chest as release 2 writes it."""


def row(plain: Any) -> SliceRow:
    return SliceRow(1, msgspec.msgpack.encode(plain))


def opened(plain: Any) -> Room:
    """The chest on a node of release 1."""
    snapshot = Snapshot(actor="chest:1", fence=1, version=1, told=0, slices={"chest": row(plain)})
    return Room(chest(1), actor="chest:1", snapshot=snapshot)


def saved(room: Room) -> Any:
    """What the node would write now."""
    return msgspec.msgpack.decode(room.commit().slices["chest"].body)


def test_new_fields_survive_a_turn_of_an_older_release() -> None:
    room = opened(NEWER)
    room.ask(Stock(id="1", item="potion"))

    assert saved(room) == {
        "items": {"potion": {"count": 2, "colour": "red"}, "sword": {"count": 2, "colour": "blue"}},
        "marks": [["potion", "ann"], ["sword", "bo"], ["potion"]],
        "lock": "brass",
    }


def test_they_survive_many_saves() -> None:
    room = opened(NEWER)
    for n in range(3):
        room.ask(Stock(id=f"{n}", item="sword"))
        assert saved(room)["lock"] == "brass"
    room.ask(Stock(id="last", item="sword"))
    assert saved(room)["items"]["sword"] == {"count": 6, "colour": "blue"}


def test_they_stay_with_the_object_wherever_it_goes_and_end_with_it() -> None:
    room = opened(NEWER)
    state: Chest = room.state
    state.marks.reverse()
    state.items["axe"] = state.items.pop("sword")
    state.items["potion"] = Item(count=9)
    room.ask(Stock(id="1", item="axe"))

    plain = saved(room)
    assert plain["marks"][:2] == [["sword", "bo"], ["potion", "ann"]]
    assert plain["items"] == {"axe": {"count": 3, "colour": "blue"}, "potion": {"count": 9}}


def test_what_is_known_costs_nothing_at_a_save() -> None:
    kind = opened({}).kind
    older: list[dict[str, Any]] = [{}, {"items": {"a": {"count": 1}}}, {"marks": [["a"]]}, {"items": {"a": {}}}]
    for plain in older:
        slot = open_slots(kind, {"chest": row(plain)})["chest"]
        assert slot.unknown is None, plain


def test_a_slice_that_a_node_does_not_know_is_not_touched() -> None:
    snapshot = Snapshot(
        actor="chest:1", fence=1, version=1, told=0, slices={"chest": row({}), "traps": SliceRow(7, b"\xff")}
    )
    room = Room(chest(1), actor="chest:1", snapshot=snapshot)
    room.ask(Stock(id="1"))

    assert room.commit().slices.keys() == {"chest"}


# Any shape.
class Leaf(Struct):
    n: int = 0


class Tagged(Struct, tag="tagged"):
    leaf: Leaf


class Other(Struct, tag="other", rename="camel"):
    some_name: int = 0


class Root(Struct):
    leaves: list[Leaf] = []
    by_name: dict[str, Leaf] = {}
    by_number: dict[int, list[Leaf]] = {}
    pair: tuple[Leaf, int] | None = None
    either: Tagged | Other | None = None
    mark: Mark | None = None
    names: set[str] = set()
    body: bytes = b""


MORE = st.dictionaries(st.sampled_from(["new1", "new2"]), st.integers(0, 9) | st.text(max_size=3), max_size=2)


def leaf() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda n, more: {"n": n, **more}, st.integers(0, 9), MORE)


ROOTS = st.builds(
    lambda known, more: {**known, **more},
    st.fixed_dictionaries(
        {
            "leaves": st.lists(leaf(), max_size=3),
            "by_name": st.dictionaries(st.text(max_size=2), leaf(), max_size=3),
            "by_number": st.dictionaries(st.integers(0, 9), st.lists(leaf(), max_size=2), max_size=2),
            "pair": st.none() | st.tuples(leaf(), st.integers(0, 9)).map(list),
            "either": st.none()
            | st.builds(lambda at, more: {"type": "tagged", "leaf": at, **more}, leaf(), MORE)
            | st.builds(lambda n, more: {"type": "other", "someName": n, **more}, st.integers(0, 9), MORE),
            "mark": st.none() | st.lists(st.text(max_size=2), min_size=1, max_size=3),
            "names": st.lists(st.text(max_size=2), unique=True, max_size=1),
            "body": st.binary(max_size=3),
        }
    ),
    MORE,
)


@given(ROOTS)
def test_whatever_was_read_is_written_back(plain: dict[str, Any]) -> None:
    body = msgspec.msgpack.encode(plain)
    state = msgspec.msgpack.decode(body, type=Root)
    unknown = unknown_of(state, body)

    again = msgspec.msgpack.encode(state) if unknown is None else unknown.encode(state)
    assert msgspec.msgpack.decode(again) == plain


def test_an_upgrade_reads_what_both_releases_before_have_written() -> None:
    kind = Room(chest(3), actor="chest:1").kind
    for plain in (NEWER, {"items": {"potion": {"count": 1}, "sword": {"count": 2}}, "marks": []}):
        slot = open_slots(kind, {"chest": row(plain)})["chest"]
        assert slot.state == Chest3(counts={"potion": 1, "sword": 2})
        assert slot.row() == SliceRow(2, msgspec.msgpack.encode({"counts": {"potion": 1, "sword": 2}}))


def test_what_a_downgrade_has_no_place_for_is_kept_for_the_upgrade() -> None:
    kind = Room(chest(2), actor="chest:1").kind
    newer = SliceRow(2, msgspec.msgpack.encode({"counts": {"potion": 3}, "seal": "wax"}))

    saved = open_slots(kind, {"chest": newer})["chest"].row()
    assert saved.schema == 1
    assert_holds(msgspec.msgpack.decode(saved.body), {"items": {"potion": {"count": 3}}, "seal": "wax"})
