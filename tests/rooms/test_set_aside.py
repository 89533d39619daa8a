"""Set aside: what kept failing is told or fired once more, or given up, in one commit with its row in the audit."""

from typing import Any

import msgspec
import pytest

from actors.mail import NoticeTold, mail
from actors.runtime.context import Keep
from actors.set_aside import (
    Ending,
    TellNotSetAside,
    TellSettle,
    TellSettled,
    TimerNotSetAside,
    TimerSettle,
    TimerSettled,
    set_aside,
)
from actors.staff import By
from protocol import IdReused, tag_of
from storage import ActorWrite, Snapshot, TellRow, TimerRow
from tests.support.room import NOON, Room

BY = By(key="k1", name="Ann Ops", address="203.0.113.9", op="op-1", digest=b"d" * 32)
BODY = msgspec.msgpack.encode({"t": tag_of(NoticeTold), "text": "a secret of ann's"})
TELLS = [TellRow(3, "player:bo", BODY, 7, "internal under trace 1"), TellRow(4, "player:bo", BODY, 8)]
TIMERS = [TimerRow("alarm", 5, BODY, "internal under trace 2"), TimerRow("ticking", NOON + 9, BODY)]


def ann() -> Room:
    """A player with a tell and a timer that were set aside, and one of each that was not."""
    kept = Snapshot(actor="player:ann", fence=2, version=6, told=9, outbox=TELLS, timers=TIMERS)
    return Room([mail, set_aside], actor="player:ann", caller="server:", snapshot=kept)


def settle_tell(room: Room, ending: Ending, number: int = 3) -> Any:
    return room.ask(TellSettle(id="1", actor="player:ann", number=number, ending=ending, by=BY))


def settle_timer(room: Room, ending: Ending, timer: str = "alarm") -> Any:
    return room.ask(TimerSettle(id="1", actor="player:ann", timer=timer, ending=ending, by=BY))


def audited(room: Room) -> tuple[str, str, Any, Any]:
    """Action, target, what it was and what it is."""
    (keep,) = room.effects_of(Keep)
    assert (keep.record.table, keep.taken) == ("audit", IdReused)
    row = keep.record.values
    return row["action"], row["target"], msgspec.json.decode(row["old_value"]), msgspec.json.decode(row["new_value"])


def saved(room: Room) -> ActorWrite:
    """The next commit, which saves no slice for it."""
    write = room.commit()
    assert write.slices == {}
    assert len(write.records) == 1
    return write


def test_a_tell_is_told_anew_under_the_next_number_as_the_old_row_goes() -> None:
    room = ann()

    assert settle_tell(room, "requeued") == TellSettled(actor="player:ann", number=3, ending="requeued")
    write = saved(room)

    assert (write.delivered, write.told) == ([3], 10)
    assert write.outbox == [TellRow(10, "player:bo", BODY, NOON)]


def test_a_tell_that_is_dropped_leaves_the_outbox() -> None:
    room = ann()

    assert settle_tell(room, "dropped") == TellSettled(actor="player:ann", number=3, ending="dropped")
    write = saved(room)

    assert (write.delivered, write.outbox, write.told) == ([3], [], 9)


def test_a_timer_is_due_now() -> None:
    room = ann()

    assert settle_timer(room, "requeued") == TimerSettled(actor="player:ann", timer="alarm", ending="requeued")

    assert saved(room).timers == [TimerRow("alarm", NOON, BODY)]


def test_a_timer_that_is_dropped_is_cancelled() -> None:
    room = ann()

    assert settle_timer(room, "dropped") == TimerSettled(actor="player:ann", timer="alarm", ending="dropped")
    write = saved(room)

    assert (write.timers, write.cancelled) == ([], ["alarm"])


@pytest.mark.parametrize("ending", ["requeued", "dropped"])
def test_the_audit_says_what_it_was_but_not_what_it_said(ending: Ending) -> None:
    tell, timer = ann(), ann()
    settle_tell(tell, ending)
    settle_timer(timer, ending)
    type_ = tag_of(NoticeTold)

    assert audited(tell) == (
        f"tell.{ending}",
        "player:ann",
        {"number": 3, "to": "player:bo", "type": type_, "at": 7, "reason": "internal under trace 1"},
        None,
    )
    assert audited(timer) == (
        f"timer.{ending}",
        "player:ann",
        {"timer": "alarm", "type": type_, "due": 5, "reason": "internal under trace 2"},
        None,
    )


@pytest.mark.parametrize("ending", ["requeued", "dropped"])
def test_only_what_was_set_aside_can_be_settled_and_only_once(ending: Ending) -> None:
    room = ann()
    for number in (4, 5, 0):  # on its way; never told
        with pytest.raises(TellNotSetAside):
            settle_tell(room, ending, number)
    for timer in ("ticking", "other", ""):
        with pytest.raises(TimerNotSetAside):
            settle_timer(room, ending, timer)
    settle_tell(room, ending)
    settle_timer(room, ending)

    with pytest.raises(TellNotSetAside):
        settle_tell(room, ending)
    with pytest.raises(TimerNotSetAside):
        settle_timer(room, ending)
