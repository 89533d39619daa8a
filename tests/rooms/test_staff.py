"""Staff: each change and its row in the audit are one commit, and a key's op is used once."""

import msgspec
import pytest

from actors.runtime.context import Keep
from actors.staff import By, NodeDrain, NodeDrained, audit_row, entry_id, shown, staff
from protocol import IdReused
from storage import Insert
from tests.support.room import NOON, Room

BY = By(key="k1", name="Ann Ops", address="203.0.113.9", op="op-1", digest=b"d" * 32)


def node() -> Room:
    return Room(staff, actor="staff:north", caller="~server")


def kept(room: Room) -> list[Insert]:
    return [effect.record for effect in room.effects_of(Keep)]


def test_a_change_is_written_down_with_who_what_and_the_answer() -> None:
    room = node()

    reply = room.ask(NodeDrain(id="1", node="north", started_at=7, by=BY))

    assert reply == NodeDrained(node="north", started_at=7)
    [row] = kept(room)
    assert row.table == "audit"
    assert {**row.values, "id": ""} == {
        "id": "",
        "at_ms": NOON,
        "key_id": "k1",
        "key_name": "Ann Ops",
        "address": "203.0.113.9",
        "action": "node.drained",
        "target": "node:north",
        "old_value": "null",
        "new_value": '{"started_at":7}',
        "op": "op-1",
        "digest": b"d" * 32,
        "reply": '{"node":"north","started_at":7}',
    }


def test_an_op_that_is_taken_undoes_the_turn() -> None:
    room = node()
    room.ask(NodeDrain(id="1", node="north", started_at=7, by=BY))

    assert [effect.taken for effect in room.effects_of(Keep)] == [IdReused]


def test_ids_of_entries_rise_with_time_and_are_not_the_same_twice() -> None:
    room = node()
    for n in range(3):
        room.ask(NodeDrain(id=str(n), node="north", started_at=7, by=BY))
    ids = [row.values["id"] for row in kept(room)]

    assert ids == sorted(set(ids))
    assert entry_id(10**15, "abcdef") < entry_id(10**15 + 1, "aaaaaa") < entry_id(2 * 10**15, "aaaaaa")
    assert all(len(each) == 20 for each in [*ids, entry_id(2**55, "x" * 9)])


def test_a_reply_is_shown_without_what_is_of_the_wire_and_the_same_each_time() -> None:
    reply = NodeDrained(re="r1", node="north", started_at=2**53)
    first = shown(reply)
    again = shown(msgspec.msgpack.decode(msgspec.msgpack.encode(reply), type=NodeDrained))

    assert first == again == b'{"node":"north","started_at":9007199254740992}'


def test_nothing_is_kept_of_the_actor_itself() -> None:
    room = node()
    room.ask(NodeDrain(id="1", node="north", started_at=7, by=BY))
    write = room.commit()

    assert (write.slices, write.ops, len(write.records)) == ({}, [], 1)


@pytest.mark.parametrize("value", [None, "x", {"a": [1, None]}, By(key="k", name="n", address="", op="", digest=b"")])
def test_what_was_and_what_is_are_json(value: object) -> None:
    row = audit_row(BY, "a.b", "c:d", id_="i", at_ms=1, before=value, after=value)

    assert row["old_value"] == row["new_value"] == msgspec.json.encode(value).decode()
