"""What a board's own actor promises: each period is written down once, however late; watchers see the last state."""

from typing import Any

import msgspec
import pytest

from actors.leaderboards import BoardDefine, BoardNotFound, BoardShow, Definition, PeriodNotFound, TooManyBoards
from actors.leaderboards.board import (
    AGAIN_MS,
    BOARD_LIMIT,
    NOTED_AT_ONCE,
    SHOW_MS,
    STUCK_MS,
    FillCall,
    ShowCall,
    ShowFailed,
    ShowRead,
)
from actors.leaderboards.definition import BoardRow, Table, boards_of, later
from actors.leaderboards.messages import LeaderboardChanged, LeaderboardReset
from actors.leaderboards.requests import BoardFill, BoardTouched
from actors.runtime.actor import EARLY_MS
from actors.runtime.context import CallEffect, Keep
from actors.schedule import Repeat, ScheduleInvalid, ScheduleNever, ZoneUnknown
from protocol import GuildhallError, IdReused, Invalid
from storage import Snapshot
from tests.rooms.arena import HOUR_MS, HOUR_S, HOURLY, SERVER, THIS_HOUR, board, by, define, know, new_id, rows
from tests.support.room import NOON, Room


def noted(room: Room) -> list[tuple[str, int, int]]:
    """(period, start, end) of everything that was written down, in order."""
    return [(row["period"], row["started_ms"], row["ended_ms"]) for row in rows(room, "leaderboard_periods")]


def resets(room: Room) -> list[tuple[str, str]]:
    return [(event.ended, event.period) for _, event in room.published if isinstance(event, LeaderboardReset)]


def calls(room: Room) -> list[Any]:
    return [effect.message for effect in room.effects_of(CallEffect)]


def hour(n: int) -> int:
    """The n-th full hour after now."""
    return THIS_HOUR + n * HOUR_MS


class TestADefinition:
    def test_is_kept_written_down_and_answered_with_the_period(self) -> None:
        room = board()
        reply = define(room, title="Arena", reset=HOURLY, op="op-1")

        assert (reply.revision, reply.period, reply.ends_at) == (1, "2023-11-14T22:00Z", hour(1))
        [row] = rows(room, "leaderboard_boards")
        assert boards_of([("arena", row["body"])])["arena"].definition == Definition(title="Arena", reset=HOURLY)
        [audited] = rows(room, "audit")
        assert (audited["action"], audited["target"], audited["op"], audited["old_value"]) == (
            "leaderboard.defined",
            "leaderboard:arena",
            "op-1",
            "null",
        )

    @pytest.mark.parametrize(
        ("fields", "refusal", "code"),
        [
            ({"min_score": 2, "max_score": 1}, Invalid, "protocol.invalid"),
            ({"reset": Repeat(cron="0 0 30 2 *")}, ScheduleNever, "schedule.never"),
            ({"reset": Repeat(cron="0 0 * * *x")}, ScheduleInvalid, "schedule.invalid"),
            ({"reset": Repeat(cron="0 0 * * *", time_zone="Mars/Base")}, ZoneUnknown, "schedule.zone_unknown"),
        ],
    )
    def test_that_makes_no_sense_changes_nothing(
        self, fields: dict[str, Any], refusal: type[GuildhallError], code: str
    ) -> None:
        room = board()
        define(room, title="before")
        room.commit()
        with pytest.raises(refusal) as refused:
            define(room, **fields)
        assert refused.value.code == code
        assert room.state.row.definition.title == "before"
        assert room.actor.draft.empty

    def test_of_one_board_too_many_is_refused(self) -> None:
        room = board()
        body = msgspec.msgpack.encode(BoardRow(Definition(), 1))
        room.replicas["boards"] = boards_of([(f"b{n}", body) for n in range(BOARD_LIMIT)])
        with pytest.raises(TooManyBoards):
            room.ask(BoardDefine(id="1", board="arena", definition=Definition(), by=by()))
        assert room.actor.draft.empty

    @pytest.mark.parametrize(
        ("fields", "revision"),
        [
            ({"title": "New", "frozen": True, "max_score": 5, "open": False, "ends_at": 7}, 1),
            ({"operator": "sum"}, 2),
            ({"order": "asc"}, 2),
            ({"reset": HOURLY}, 2),
        ],
    )
    def test_begins_a_new_history_where_the_old_scores_would_mean_something_else(
        self, fields: dict[str, Any], revision: int
    ) -> None:
        room = board()
        define(room)
        reply = define(room, **fields)
        assert reply.revision == revision
        assert reply.period.endswith(f"~{revision}") == (revision > 1)

    def test_that_comes_back_is_a_history_of_its_own(self) -> None:
        """The rows of the first time are another period; nothing is overwritten."""
        room = board()
        periods = [define(room, order=order).period for order in ("desc", "asc", "desc")]
        assert periods == ["all", "all~2", "all~3"]

    def test_ends_the_period_of_the_one_before_it(self) -> None:
        """Nobody would find it otherwise; and a schedule does not claim periods from before it was there."""
        room = board()
        define(room)
        room.pass_time(48 * HOUR_S)
        define(room, reset=HOURLY)
        changed_ms = room.now_ms
        room.pass_time(HOUR_S)

        assert noted(room) == [
            ("all", NOON, changed_ms),
            ("2023-11-16T22:00Z~2", changed_ms, changed_ms - changed_ms % HOUR_MS + HOUR_MS),
        ]
        assert resets(room) == [("all", "2023-11-16T22:00Z~2"), ("2023-11-16T22:00Z~2", "2023-11-16T23:00Z~2")]

    def test_without_reset_lets_the_clock_be(self) -> None:
        room = board()
        define(room, reset=HOURLY)
        define(room)
        room.commit()
        room.pass_time(5 * HOUR_S)
        assert noted(room) == [("2023-11-14T22:00Z", NOON, NOON)]
        assert not room.actor.draft.timers

    def test_is_shown(self) -> None:
        room = board()
        with pytest.raises(BoardNotFound):
            room.ask(BoardShow(id="1", board="arena"), caller=SERVER)
        reply = define(room, title="x")
        assert room.ask(BoardShow(id="2", board="arena"), caller=SERVER) == reply

    def test_undone_by_the_audit_is_undone_whole(self) -> None:
        room = board()
        define(room)
        assert [kept.taken for kept in room.effects_of(Keep) if kept.record.table == "audit"] == [IdReused]


class TestAReset:
    def test_is_written_down_once_for_each_period_and_said_to_watchers(self) -> None:
        room = board()
        define(room, reset=HOURLY)
        room.pass_time((hour(1) - NOON) / 1000)
        room.pass_time(HOUR_S)

        assert noted(room) == [
            ("2023-11-14T22:00Z", NOON, hour(1)),
            ("2023-11-14T23:00Z", hour(1), hour(2)),
        ]
        assert resets(room) == [
            ("2023-11-14T22:00Z", "2023-11-14T23:00Z"),
            ("2023-11-14T23:00Z", "2023-11-15T00:00Z"),
        ]

    def test_that_is_late_names_every_period_that_has_passed(self) -> None:
        room = board()
        define(room, reset=HOURLY)
        room.pass_time(5 * HOUR_S)

        assert [(start, end) for _, start, end in noted(room)] == [(NOON, hour(1))] + [
            (hour(n), hour(n + 1)) for n in range(1, 5)
        ]
        assert resets(room) == [("2023-11-15T02:00Z", "2023-11-15T03:00Z")]

    def test_that_is_very_late_passes_over_none_and_holds_nobody_up(self) -> None:
        """The oldest is the one in which people played: it was what was left out."""
        room = board()
        define(room, reset=HOURLY)
        hours = 2 * NOTED_AT_ONCE + 50
        room.pass_time(hours * HOUR_S)

        periods = [period for period, _, _ in noted(room)]
        assert len(periods) == len(set(periods)) == hours
        assert periods[0] == "2023-11-14T22:00Z"
        assert len(resets(room)) == 1

    def test_goes_on_where_the_last_owner_of_the_board_left_it(self) -> None:
        room = board()
        define(room, reset=HOURLY)
        room.pass_time(HOUR_S)
        write = room.commit()
        again = Room(
            room.features,
            actor="leaderboard:arena",
            caller=SERVER,
            snapshot=Snapshot(
                actor="leaderboard:arena", fence=2, version=1, told=0, slices=write.slices, timers=write.timers
            ),
        )
        know(again, reset=HOURLY)
        again.now_ms = room.now_ms
        again.pass_time(2 * HOUR_S)

        assert [period for period, _, _ in noted(again)] == ["2023-11-14T23:00Z", "2023-11-15T00:00Z"]

    def test_that_fires_early_waits(self) -> None:
        room = board()
        define(room, reset=HOURLY)
        room.commit()
        timer = room.actor.draft.timers["reset"]
        room.now_ms = hour(1) - EARLY_MS - 1
        assert room.actor.fire("reset", timer.due_ms, room.now_ms) is None
        assert not noted(room)
        room.pass_time(10)
        assert len(noted(room)) == 1

    def test_that_fires_a_moment_early_ends_its_period_and_no_other(self) -> None:
        """The node that had found it due has a clock that is ahead of the owner's."""
        room = board()
        define(room, reset=HOURLY)
        room.commit()
        timer = room.actor.draft.timers["reset"]
        assert room.actor.fire("reset", timer.due_ms, hour(1) - 1) is not None
        assert room.actor.draft.timers["reset"].due_ms == hour(2)
        assert room.actor.context.now_ms == hour(1)


class TestWatchers:
    def shown(self, room: Room) -> list[LeaderboardChanged]:
        return [event for _, event in room.published if isinstance(event, LeaderboardChanged)]

    def touch(self, room: Room) -> None:
        room.ask(BoardTouched(id=new_id(), board="arena"), caller=SERVER)

    def test_are_shown_what_was_read_after_the_change(self) -> None:
        room = board()
        define(room)
        self.touch(room)
        assert calls(room) == [ShowCall(board="arena", pause_ms=0)]
        room.take(ShowRead(period="all", top=[], size=3))
        [event] = self.shown(room)
        assert (event.topic, event.at, event.size, event.seq) == ("leaderboard:arena", NOON, 3, None)
        assert room.actor.draft.empty or not room.commit().events

    def test_of_many_changes_see_the_last_and_at_most_four_a_second(self) -> None:
        room = board()
        define(room)
        for _ in range(50):
            self.touch(room)
        room.now_ms += 10
        room.take(ShowRead(period="all", top=[], size=1))
        assert calls(room) == [ShowCall(board="arena", pause_ms=0), ShowCall(board="arena", pause_ms=SHOW_MS)]
        room.now_ms += SHOW_MS
        room.take(ShowRead(period="all", top=[], size=50))
        assert len(calls(room)) == 2
        assert [event.size for event in self.shown(room)] == [1, 50]

    def test_see_the_last_change_although_the_database_was_away(self) -> None:
        """There may be no other change for hours."""
        room = board()
        define(room)
        self.touch(room)
        room.take(ShowFailed())
        assert calls(room)[1:] == [ShowCall(board="arena", pause_ms=AGAIN_MS + SHOW_MS)]

    def test_do_not_wait_for_a_reading_that_was_lost(self) -> None:
        room = board()
        define(room)
        self.touch(room)
        room.now_ms += STUCK_MS
        self.touch(room)
        assert len(calls(room)) == 2

    def test_of_a_board_that_nobody_defined_cost_nothing(self) -> None:
        room = board()
        self.touch(room)
        assert not calls(room)


class TestTheIndex:
    def test_is_filled_for_the_present_period(self) -> None:
        room = board()
        define(room, reset=HOURLY)
        for period in ("2023-11-14T22:00Z", "2023-11-14T23:00Z"):  # the other node's clock may be ahead
            room.ask(BoardFill(id=new_id(), board="arena", period=period), caller=SERVER)
        assert [call.table.period for call in calls(room) if isinstance(call, FillCall)] == [
            "2023-11-14T22:00Z",
            "2023-11-14T23:00Z",
        ]

    def test_is_not_filled_with_what_it_has_let_go_of(self) -> None:
        """A late repeat of an old submission had a million rows of an old period read in, for good."""
        room = board()
        define(room, reset=HOURLY)
        with pytest.raises(PeriodNotFound):
            room.ask(BoardFill(id=new_id(), board="arena", period="2023-11-14T21:00Z"), caller=SERVER)
        assert not calls(room)


class TestOtherReleases:
    def test_a_field_of_a_newer_one_is_passed_over(self) -> None:
        """It ended every node of the older release."""
        body = msgspec.msgpack.encode([{"title": "Arena", "colour": "red"}, 3])
        found = boards_of([("arena", body)])
        assert (found["arena"].definition, found["arena"].revision) == (Definition(title="Arena"), 3)

    @pytest.mark.parametrize(
        "definition",
        [{"operator": "median"}, {"reset": {"cron": "0 0 * * *", "time_zone": "Mars/Base"}}],
    )
    def test_a_board_that_makes_no_sense_here_costs_the_others_nothing(self, definition: dict[str, Any]) -> None:
        good = msgspec.msgpack.encode(BoardRow(Definition(), 1))
        found = boards_of([("bad", msgspec.msgpack.encode([definition, 1])), ("good", good)])
        assert found.keys() == {"good"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026-11-26T04:00Z", "2026-11-25T04:00Z"),
        ("2026-11-26T04:00Z~10", "2026-11-26T04:00Z~9"),
        ("all~2", "all"),
        ("2020-01-01T00:00Z~2", "2026-11-26T04:00Z"),
    ],
)
def test_periods_have_an_order(one: str, other: str) -> None:
    assert later(one, other)
    assert not later(other, one)
    assert not later(one, one)


def test_a_table_has_one_name_in_the_index() -> None:
    assert Table("arena", "all~2", lowest_first=True).ranks.name == "arena/all~2"
