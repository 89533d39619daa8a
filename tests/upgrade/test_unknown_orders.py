"""Orders of staff keep the fields of a newer release wherever they lie; a request with unknown fields is refused."""

from typing import Any

import msgspec
import pytest

from actors.broadcasts import AnnouncementMade
from actors.leaderboards import boards, boards_of
from storage import SliceRow, Snapshot
from tests.rooms.announcing import cancel, count, hall, rows
from tests.rooms.arena import HOUR_MS, THIS_HOUR, board
from tests.server.staff_kit import code_of, office
from tests.support.room import NOON, Room
from tests.upgrade.golden import assert_holds

BODY = {
    "texts": {"en": "Hi"},
    "titles": None,
    "data": None,
    "audience": {"platforms": ["ios"], "level_min": 9},
    "tone": 3,
}
RESET = {"cron": "0 * * * *", "time_zone": "UTC", "jitter_s": 60}
ROW = [{"title": "Arena", "reset": RESET}, 1]
"""As a later release may write them."""
MADE = AnnouncementMade(announcement="a" * 16, state="sending", at=NOON, expires_at=NOON + HOUR_MS)


def opened(room: Room, slice_: str, state: Any) -> Room:
    """The room with a slice of the newer release."""
    stored = {slice_: SliceRow(1, msgspec.msgpack.encode(state))}
    room.actor = room._open(Snapshot(actor=room.actor.address, fence=1, version=1, told=0, slices=stored))
    return room


def broadcasts() -> Room:
    """One announcement, on its way to an audience."""
    told = {"body": BODY, "made_ms": NOON, "at_ms": NOON, "expires_ms": MADE.expires_at, "state": "sending"}
    return opened(hall(), "broadcasts", {"open": {MADE.announcement: told | {"campaign": {"sent": 4}}}})


def test_an_announcement_of_a_newer_release_is_opened_and_saved_whole() -> None:
    room = broadcasts()
    count(room, "node1", {MADE.announcement: 1})

    saved = msgspec.msgpack.decode(room.commit().slices["broadcasts"].body)
    assert_holds(saved["open"][MADE.announcement]["body"], BODY)


def test_its_row_is_written_whole_to_the_last_word() -> None:
    room = broadcasts()
    for _ in range(2):
        count(room, "node1", {MADE.announcement: 1})
        assert_holds(msgspec.msgpack.decode(rows(room)[MADE.announcement]["body"]), BODY)
        room.commit()

    cancel(room, MADE)
    row = rows(room)[MADE.announcement]
    assert row["state"] == "cancelled"
    assert_holds(msgspec.msgpack.decode(row["body"]), BODY)


def test_a_board_of_a_newer_release_is_known_to_this_node_too() -> None:
    known = boards_of([("arena", msgspec.msgpack.encode(ROW))])

    assert known["arena"].span(NOON).start_ms == THIS_HOUR


def test_a_board_of_a_newer_release_is_opened_and_saved_whole() -> None:
    room = opened(board(), "boards", {"row": ROW, "noted_ms": THIS_HOUR})
    room.actor.state_of(boards, writes=True).noted_ms = NOON

    saved = msgspec.msgpack.decode(room.commit().slices["boards"].body)
    assert_holds(saved, {"row": ROW, "noted_ms": NOON})


@pytest.mark.parametrize(
    ("method", "path", "order"),
    [
        ("POST", "/v1/announcements", {"text": {"en": "Hi"}, "audience": {"platforms": ["ios"]}}),
        ("PUT", "/v1/leaderboards/arena", {"reset": {"cron": "0 * * * *"}}),
    ],
)
async def test_an_order_with_a_field_that_nobody_knows_is_refused(
    method: str, path: str, order: dict[str, Any]
) -> None:
    """A misspelt ``platform`` would else be for everybody."""
    async with office() as place:
        key = await place.key("admin")
        for part in (order, *(value for value in order.values() if isinstance(value, dict) and "en" not in value)):
            part["more"] = 1
            assert code_of(await place.ask(method, path, key, json=order)) == (400, "protocol.invalid"), order
            del part["more"]
        assert (await place.ask(method, path, key, json=order)).status_code == 200
