"""Announcements to everybody: made, scheduled, cancelled, over, counted; and how far each player has seen them."""

from typing import Any

import pytest

from actors.broadcasts import (
    TOPIC,
    AnnouncementCancel,
    AnnouncementInPast,
    AnnouncementOver,
    TooManyAnnouncements,
)
from actors.broadcasts.announcements import LASTS_MS, LONGEST_MS, OPEN_BYTES, OPEN_LIMIT, SpreadCall, render
from actors.broadcasts.messages import Announced, AnnounceMessage, AnnounceRead, AnnounceWithdrawn
from actors.broadcasts.seen import READ_LIMIT, AnnounceNote, ReadCall, SeenGreeting, announced
from actors.runtime.context import Redact
from protocol import Invalid
from tests.rooms.announcing import BY, MINUTE_MS, TEXTS, audits, calls, cancel, count, hall, make, rows, state_of
from tests.support.room import NOON, Room, tags


# To everybody.
def test_one_to_everybody_is_one_event_in_all_languages_one_row_and_no_word_to_any_player() -> None:
    room = hall()
    made = make(room, data={"gate": 3}, expires_at=NOON + MINUTE_MS)

    assert (made.state, made.at, made.expires_at) == ("live", NOON, NOON + MINUTE_MS)
    [(topic, event)] = room.published
    assert (topic, event) == (
        TOPIC,
        Announced(
            topic=TOPIC,
            seq=1,
            at=NOON,
            announcement=made.announcement,
            texts=TEXTS,
            data={"gate": 3},
            expires_at=NOON + MINUTE_MS,
        ),
    )
    row = rows(room)[made.announcement]
    assert (row["state"], row["seq"], row["made_ms"], row["at_ms"]) == ("live", 1, NOON, NOON)
    assert (room.told, audits(room), calls(room)) == ([], ["announcement.made"], [SpreadCall()])


def test_one_that_says_no_end_lasts_a_week() -> None:
    assert make(hall()).expires_at == NOON + LASTS_MS


@pytest.mark.parametrize(
    "fields",
    [
        {"at": NOON},
        {"at": NOON - 1},
        {"at": 0},
        {"expires_at": NOON},
        {"expires_at": NOON - 1},
        {"at": NOON + 10, "expires_at": NOON + 10},
        {"at": NOON + 10, "expires_at": NOON + 9},
    ],
    ids=repr,
)
def test_one_that_nobody_could_see_is_refused_and_changes_nothing(fields: dict[str, int]) -> None:
    room = hall()
    with pytest.raises(AnnouncementInPast):
        make(room, **fields)

    assert (room.state.open, room.effects) == ({}, [])


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_at": NOON + LONGEST_MS + 1},
        {"at": NOON + LONGEST_MS, "expires_at": None},
        {"at": 2**53},
        {"data": {"x": "y" * 4096}},
    ],
    ids="".join,
)
def test_one_out_of_bounds_is_refused_and_changes_nothing(fields: dict[str, Any]) -> None:
    room = hall()
    with pytest.raises(Invalid):
        make(room, **fields)

    assert (room.state.open, room.effects) == ({}, [])


def test_no_more_than_so_many_are_open() -> None:
    room = hall()
    first = make(room)
    for _ in range(OPEN_LIMIT - 1):
        make(room, at=NOON + MINUTE_MS)
    before = len(room.effects)
    with pytest.raises(TooManyAnnouncements):
        make(room)
    assert len(room.effects) == before
    cancel(room, first)

    make(room)


def test_no_more_than_so_many_bytes_are_open() -> None:
    """200 of the largest would have been 13 MB, saved with every page of a campaign and every second's counts."""
    room = hall()
    texts = {f"x{chr(97 + n)}": "y" * 2000 for n in range(25)}
    made = 0
    with pytest.raises(TooManyAnnouncements):
        while True:
            make(room, text=texts)
            made += 1

    assert (made - 1) * 50_000 <= OPEN_BYTES <= (made + 1) * 51_000


# What a reader is told.
@pytest.mark.parametrize(
    ("now_ms", "locale", "told"), [(0, "tr-TR", "Merhaba"), (99, "fr", "Hello"), (100, "tr", None)]
)
def test_a_reader_is_told_its_language_and_after_the_end_only_the_place(
    now_ms: int, locale: str, told: str | None
) -> None:
    event = Announced(topic=TOPIC, seq=3, at=1, announcement="a", texts=TEXTS, data={"x": 1}, expires_at=100)
    seen = render(event, locale, now_ms)

    if told is None:
        assert seen == AnnounceWithdrawn(topic=TOPIC, seq=3, at=1, announcement="a")
    else:
        assert seen == AnnounceMessage(
            topic=TOPIC, seq=3, at=1, announcement="a", text=told, data={"x": 1}, expires_at=100
        )


def test_a_withdrawal_is_told_as_it_is() -> None:
    event = AnnounceWithdrawn(topic=TOPIC, seq=4, at=1, announcement="a")

    assert render(event, "tr", 0) is event


# Time.
def test_one_that_is_scheduled_begins_when_it_is_due() -> None:
    room = hall()
    made = make(room, at=NOON + MINUTE_MS)
    assert (made.state, made.expires_at) == ("scheduled", NOON + MINUTE_MS + LASTS_MS)
    room.pass_time(59)
    assert (room.published, state_of(room, made)) == ([], "scheduled")
    room.pass_time(1)

    assert tags(room.published) == ["announce.announced"]
    assert state_of(room, made) == "live"


def test_one_that_is_due_late_begins_late_but_not_past_its_end() -> None:
    room = hall()
    late = make(room, at=NOON + MINUTE_MS, expires_at=NOON + 10 * MINUTE_MS)
    too_late = make(room, at=NOON + MINUTE_MS, expires_at=NOON + 2 * MINUTE_MS)
    room.pass_time(5 * 60)

    assert [event.announcement for _, event in room.published if isinstance(event, Announced)] == [late.announcement]
    assert (state_of(room, late), state_of(room, too_late)) == ("live", "over")


def test_it_is_over_when_it_expires() -> None:
    room = hall()
    made = make(room, expires_at=NOON + MINUTE_MS)
    room.pass_time(60)

    assert (state_of(room, made), room.state.open) == ("over", {})
    assert calls(room) == [SpreadCall(), SpreadCall()]
    assert tags(room.published) == ["announce.announced"]
    assert not room.actor.draft.timers
    with pytest.raises(AnnouncementOver):
        cancel(room, made)


# Cancelling.
def test_one_that_is_cancelled_before_it_begins_never_does() -> None:
    room = hall()
    made = make(room, at=NOON + MINUTE_MS)
    cancel(room, made)
    room.pass_time(3600 * 24 * 30)

    assert (room.published, room.effects_of(Redact), state_of(room, made)) == ([], [], "cancelled")
    assert audits(room) == ["announcement.made", "announcement.cancelled"]
    assert not room.actor.draft.timers


def test_one_that_is_cancelled_while_it_stands_is_taken_out_of_the_log_and_withdrawn() -> None:
    room = hall()
    made = make(room)
    cancel(room, made)

    [redacted] = room.effects_of(Redact)
    assert (redacted.topic, redacted.seq, type(redacted.event)) == (TOPIC, 1, AnnounceWithdrawn)
    assert tags(room.published) == ["announce.announced", "announce.withdrawn"]
    assert room.published[1][1].seq == 2
    assert (state_of(room, made), room.state.open) == ("cancelled", {})
    with pytest.raises(AnnouncementOver):
        cancel(room, made)


def test_one_that_is_not_there_cannot_be_cancelled() -> None:
    room = hall()
    with pytest.raises(AnnouncementOver):
        room.ask(AnnouncementCancel(id="1", announcement="a" * 16, by=BY))

    assert room.effects == []


# Counting.
def test_what_each_life_of_a_node_has_counted_is_added_up() -> None:
    room = hall()
    one, other = make(room).announcement, make(room).announcement
    count(room, "n#1", {one: 10, other: 5}, {one: 1})
    count(room, "s#1", {one: 7})
    count(room, "n#1", {one: 12}, {one: 3})
    count(room, "n#2", {}, {one: 2})

    assert (rows(room)[one]["reached"], rows(room)[one]["readers"]) == (19, 5)
    assert (rows(room)[other]["reached"], rows(room)[other]["readers"]) == (5, 0)


def test_a_report_that_comes_twice_or_late_counts_once() -> None:
    """A report whose answer was lost was made again, and counted again."""
    room = hall()
    one = make(room).announcement
    for reached in (10, 10, 14, 10):
        count(room, "n#1", {one: reached}, {one: reached // 2})

    assert (rows(room)[one]["reached"], rows(room)[one]["readers"]) == (14, 7)


def test_of_what_is_over_nothing_is_counted_and_the_node_is_told() -> None:
    room = hall()
    made = make(room)
    cancel(room, made)
    before = len(room.effects)

    assert count(room, "n#1", {made.announcement: 3}, {"z" * 16: 1}).over == sorted([made.announcement, "z" * 16])
    assert len(room.effects) == before


# A player's mark.
def player() -> Room:
    return Room(announced, actor="player:ann", caller="ann")


def note(room: Room, epoch: str, seq: int) -> Any:
    room.ask(AnnounceNote(id=f"{epoch}-{seq}-{len(room.effects)}", player="ann", epoch=epoch, seq=seq))
    return room.actor.greetings()["announced"]


def test_the_mark_goes_forward_only_and_anew_in_another_history() -> None:
    room = player()

    assert room.actor.greetings()["announced"] == SeenGreeting("", 0)
    assert note(room, "e1", 5) == SeenGreeting("e1", 5)
    assert note(room, "e1", 3) == SeenGreeting("e1", 5)
    assert note(room, "e1", 9) == SeenGreeting("e1", 9)
    assert note(room, "e2", 1) == SeenGreeting("e2", 1)


def test_a_mark_that_does_not_move_is_not_saved() -> None:
    room = player()
    note(room, "e1", 5)
    room.commit()
    note(room, "e1", 5)
    note(room, "e1", 4)

    assert room.actor.draft.empty


def test_a_reader_is_counted_once() -> None:
    room = player()
    for n in range(3):
        for one in ("a" * 16, "b" * 16):
            room.ask(AnnounceRead(id=f"{n}-{one}", announcement=one))

    assert calls(room) == [ReadCall(announcement="a" * 16), ReadCall(announcement="b" * 16)]


def test_what_was_read_is_remembered_within_bounds() -> None:
    room = player()
    for n in range(READ_LIMIT + 10):
        room.ask(AnnounceRead(id=f"{n}", announcement=f"{chr(97 + n // 26)}{chr(97 + n % 26)}".ljust(16, "a")))

    assert len(room.state.read) == READ_LIMIT
