"""What a player's scores promise: the right one stands, once, and a refusal changes nothing."""

from typing import Any

import msgspec
import pytest

from actors.leaderboards import (
    BoardEnded,
    BoardFrozen,
    BoardNotFound,
    PeriodNotFound,
    ScoreNotFound,
    ScoreOutOfBounds,
)
from actors.leaderboards.errors import BoardClosed
from actors.leaderboards.index import PagesTicket, PlaceCall
from actors.leaderboards.messages import (
    LeaderboardAround,
    LeaderboardList,
    LeaderboardSubmit,
    LeaderboardTop,
    LeaderboardUnwatch,
    LeaderboardWatch,
)
from actors.leaderboards.scores import DATA_BYTES
from actors.runtime.context import CallEffect, Follow, Keep, Unfollow
from actors.runtime.tickets import Ticket
from protocol import INT64_MAX, INT64_MIN, GuildhallError, IdReused, Invalid
from storage import Around, Of, Snapshot, Top
from tests.rooms.arena import (
    HOUR_MS,
    HOURLY,
    THIS_HOUR,
    know,
    new_id,
    player,
    post,
    remove,
    rows,
    submit,
)
from tests.support.room import NOON, Room

NOW_PERIOD, NEXT_PERIOD = "2023-11-14T22:00Z", "2023-11-14T23:00Z"


def stands(room: Room) -> tuple[int, int] | None:
    """(score, subscore) that stands, as the newest row says; the slice has to say the same."""
    score = room.state.boards.get("arena")
    if score is None or score.removed:
        return None
    row = rows(room)[-1]
    assert (row["score"], row["subscore"], row["at_us"], row["changes"], row["period"]) == (
        score.score,
        score.subscore,
        score.at_us,
        score.changes,
        score.period,
    )
    return score.score, score.subscore


class TestASubmission:
    def test_is_kept_in_the_slice_and_as_a_row_and_is_then_placed(self) -> None:
        room = player()
        room.ask(LeaderboardSubmit(id="1", board="arena", score=7, subscore=2, data={"hero": "x"}))

        [row] = rows(room)
        assert row == {
            "board": "arena",
            "period": "all",
            "owner": "bo",
            "name": "bo",
            "score": 7,
            "subscore": 2,
            "at_us": row["at_us"],
            "changes": 1,
            "removed": 0,
            "place": -8,
            "subplace": -3,
            "data": msgspec.msgpack.encode({"hero": "x"}),
        }
        assert row["at_us"] // 1000 == NOON
        assert room.commit().slices.keys() == {"scores"}

    @pytest.mark.parametrize(
        ("operator", "order", "given", "expected", "improved"),
        [
            ("best", "desc", [(5, 0), (9, 0), (7, 0)], (9, 0), [True, True, False]),
            ("best", "desc", [(5, 1), (5, 3), (5, 2)], (5, 3), [True, True, False]),
            ("best", "desc", [(5, 9), (6, 0)], (6, 0), [True, True]),
            ("best", "asc", [(5, 0), (9, 0), (3, 0)], (3, 0), [True, False, True]),
            ("best", "asc", [(5, 3), (5, 1), (5, 2)], (5, 1), [True, True, False]),
            ("best", "desc", [(-5, 0), (-4, 0)], (-4, 0), [True, True]),
            ("last", "desc", [(5, 0), (9, 0), (7, 0)], (7, 0), [True, True, False]),
            ("last", "asc", [(5, 0), (9, 0), (7, 0)], (7, 0), [True, False, True]),
            ("last", "desc", [(5, 3), (5, 1)], (5, 1), [True, False]),
            ("sum", "desc", [(5, 1), (9, 2), (-4, 0)], (10, 3), [True, True, False]),
            ("sum", "asc", [(5, 1), (9, 2), (-4, 0)], (10, 3), [True, False, True]),
            ("sum", "desc", [(0, 0), (0, 0)], (0, 0), [True, False]),
        ],
    )
    def test_is_taken_by_the_operator_and_the_order(
        self, operator: Any, order: Any, given: list[tuple[int, int]], expected: tuple[int, int], improved: list[bool]
    ) -> None:
        room = player(operator=operator, order=order)

        tickets = [submit(room, *each) for each in given]

        assert stands(room) == expected
        assert [ticket.improved for ticket in tickets] == improved
        assert (tickets[-1].standing.score, tickets[-1].standing.subscore) == expected

    @pytest.mark.parametrize("operator", ["best", "last"])
    def test_of_what_stands_already_changes_nothing_so_that_the_earlier_moment_counts(self, operator: Any) -> None:
        room = player(operator=operator)
        first = submit(room, 7, 1).standing
        room.commit()
        room.now_ms += 1000

        again = submit(room, 7, 1)

        assert (again.standing, again.improved) == (first, False)
        assert room.actor.draft.empty

    def test_counts_its_changes_up_through_periods_and_removals(self) -> None:
        """The index goes by this number alone."""
        room = player(reset=HOURLY)
        submit(room, 1)
        submit(room, 2)
        remove(room)
        submit(room, 1)
        room.now_ms += HOUR_MS
        submit(room, 1)

        assert [row["changes"] for row in rows(room)] == [1, 2, 3, 4, 5]
        assert [row["removed"] for row in rows(room)] == [0, 0, 1, 0, 0]

    def test_asked_again_under_its_id_happens_once_and_another_body_is_refused(self) -> None:
        room = player(operator="sum")
        tickets = [submit(room, 7, op="same") for _ in range(3)]

        assert stands(room) == (7, 0)
        assert tickets[0] == tickets[1] == tickets[2]
        with pytest.raises(IdReused):
            submit(room, 8, op="same")
        assert stands(room) == (7, 0)

    def test_asked_again_on_another_node_before_its_rank_was_known_happens_once(self) -> None:
        """What was kept is the ticket: whoever has it finds the rank."""
        room = player(operator="sum")
        ticket = submit(room, 7, op="same")
        write = room.commit()
        again = player(
            snapshot=Snapshot(actor="player:bo", fence=2, version=1, told=0, slices=write.slices, ops=write.ops),
            operator="sum",
        )

        assert submit(again, 7, op="same") == ticket
        assert again.actor.draft.empty

    def test_reaches_as_far_as_a_64_bit_number(self) -> None:
        room = player(operator="sum")
        submit(room, INT64_MAX, INT64_MIN)
        assert stands(room) == (INT64_MAX, INT64_MIN)
        low = player(operator="sum")
        submit(low, INT64_MIN, INT64_MAX)
        assert (rows(low)[-1]["place"], rows(low)[-1]["subplace"]) == (INT64_MAX, INT64_MIN)


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "score", "refusal", "code"),
        [
            ({"open": False}, 9, BoardClosed, "leaderboard.closed"),
            ({"frozen": True}, 9, BoardFrozen, "leaderboard.frozen"),
            ({"ends_at": NOON}, 9, BoardEnded, "leaderboard.ended"),
            ({"max_score": 8}, 9, ScoreOutOfBounds, "leaderboard.out_of_bounds"),
            ({"min_score": 10}, 9, ScoreOutOfBounds, "leaderboard.out_of_bounds"),
            ({"operator": "sum"}, INT64_MAX, ScoreOutOfBounds, "leaderboard.out_of_bounds"),
        ],
    )
    def test_change_nothing(self, fields: dict[str, Any], score: int, refusal: type[GuildhallError], code: str) -> None:
        room = player()
        submit(room, 5)
        room.commit()
        know(room, **fields)

        with pytest.raises(refusal) as refused:
            submit(room, score)

        assert (refused.value.code, refused.value.retry) == (code, "never")
        assert stands(room) == (5, 0)
        assert room.actor.draft.empty

    def test_sums_of_subscores_have_an_end_too(self) -> None:
        room = player(operator="sum")
        submit(room, 1, INT64_MIN)
        with pytest.raises(ScoreOutOfBounds):
            submit(room, 1, -1)
        assert stands(room) == (1, INT64_MIN)

    def test_bounds_are_those_of_each_score_and_include_both_ends(self) -> None:
        room = player(operator="sum", min_score=-3, max_score=3)
        submit(room, 3)
        submit(room, 3)
        submit(room, -3)
        assert stands(room) == (3, 0)

    def test_a_board_takes_scores_until_its_end(self) -> None:
        room = player(ends_at=NOON + 1)
        submit(room, 5)
        assert stands(room) == (5, 0)

    def test_an_unknown_board(self) -> None:
        room = player()
        room.replicas["boards"] = {}
        asked = [
            LeaderboardSubmit(id="1", board="arena", score=1),
            LeaderboardTop(id="2", board="arena"),
            LeaderboardAround(id="3", board="arena"),
            LeaderboardList(id="4", board="arena", owners=["bo"]),
            LeaderboardWatch(id="5", board="arena"),
        ]
        for request in asked:
            with pytest.raises(BoardNotFound) as refused:
                room.ask(request)
            assert refused.value.code == "leaderboard.not_found"
        assert room.actor.draft.empty

    def test_data_that_is_too_large_also_with_a_score_that_would_not_count(self) -> None:
        room = player()
        for score in (5, 4):
            with pytest.raises(Invalid):
                submit(room, score, data={"x": "y" * DATA_BYTES})
            submit(room, 5)
        assert stands(room) == (5, 0)


class TestPeriods:
    def test_begin_anew_and_the_old_row_stays(self) -> None:
        room = player(operator="sum", reset=HOURLY)
        submit(room, 5)
        room.now_ms = THIS_HOUR + HOUR_MS - 1
        submit(room, 5)
        room.now_ms += 1
        ticket = submit(room, 1)

        assert ticket.improved
        assert [(row["period"], row["score"]) for row in rows(room)] == [
            (NOW_PERIOD, 5),
            (NOW_PERIOD, 10),
            (NEXT_PERIOD, 1),
        ]

    def test_never_go_back_for_a_player(self) -> None:
        """The actor comes from a node whose clock is ahead, to one where the last period is not over. What the player
        had in the last period must stay, and so must what there is in the next."""
        room = player(operator="sum", reset=HOURLY)
        submit(room, 5)
        room.now_ms = THIS_HOUR + HOUR_MS
        submit(room, 1)
        write = room.commit()
        behind = player(
            snapshot=Snapshot(actor="player:bo", fence=2, version=1, told=0, slices=write.slices),
            operator="sum",
            reset=HOURLY,
        )
        behind.now_ms = THIS_HOUR + HOUR_MS - 3

        assert submit(behind, 2).table.period == NEXT_PERIOD
        assert [(row["period"], row["score"]) for row in rows(behind)] == [(NEXT_PERIOD, 3)]

    def test_begin_anew_where_the_definition_made_scores_incomparable(self) -> None:
        room = player()
        submit(room, 5)
        know(room, order="asc", revision=2)
        submit(room, 9)

        assert [(row["period"], row["score"], row["place"]) for row in rows(room)] == [
            ("all", 5, ~5),
            ("all~2", 9, 9),
        ]

    def test_of_a_definition_that_this_node_has_not_heard_of_go_on(self) -> None:
        room = player(operator="best")
        know(room, operator="sum", revision=2)
        submit(room, 5)
        know(room, operator="best", revision=1)
        submit(room, 9)

        assert [row["period"] for row in rows(room)] == ["all~2", "all~2"]

    def test_can_be_asked_for_by_name(self) -> None:
        room = player(reset=HOURLY)
        now, old, present = (
            room.ask(LeaderboardTop(id=new_id(), board="arena", period=period))
            for period in (None, "2023-11-14T21:00Z", NOW_PERIOD)
        )
        assert [(t.table.period, t.present) for t in (now, old, present)] == [
            (NOW_PERIOD, True),
            ("2023-11-14T21:00Z", False),
            (NOW_PERIOD, True),
        ]
        with pytest.raises(PeriodNotFound):
            room.ask(LeaderboardTop(id=new_id(), board="arena", period="a/b"))


class TestTheBackend:
    def test_may_submit_where_clients_may_not(self) -> None:
        room = player(open=False)

        reply = post(room, 5)

        assert (reply.owner, reply.score, reply.improved, stands(room)) == ("bo", 5, True, (5, 0))
        [call] = room.effects_of(CallEffect)
        assert isinstance(call.message, PlaceCall)
        assert (call.message.standing.owner, call.message.standing.score) == ("bo", 5)

    def test_is_written_down_in_the_same_commit(self) -> None:
        room = player()
        submit(room, 3)
        post(room, 5, op="op-1")

        [audited] = [e for e in room.effects_of(Keep) if e.record.table == "audit"]
        assert audited.taken is IdReused
        assert {k: audited.record.values[k] for k in ("action", "target", "op", "old_value", "new_value")} == {
            "action": "score.posted",
            "target": "leaderboard:arena",
            "op": "op-1",
            "old_value": '{"period":"all","score":"3","subscore":"0"}',
            "new_value": '{"period":"all","score":"5","subscore":"0"}',
        }

    @pytest.mark.parametrize("fields", [{"frozen": True}, {"ends_at": NOON}, {"max_score": 4}, {"min_score": 6}])
    def test_is_bound_by_everything_else(self, fields: dict[str, Any]) -> None:
        room = player(**fields)
        with pytest.raises(GuildhallError):
            post(room, 5)
        assert room.actor.draft.empty


class TestRemoval:
    def test_takes_the_owner_out_and_the_next_score_begins_anew(self) -> None:
        room = player(operator="sum")
        submit(room, 50)
        remove(room)
        assert stands(room) is None
        [*_, call] = room.effects_of(CallEffect)
        assert call.message.standing.removed

        ticket = submit(room, 1)

        assert (stands(room), ticket.improved) == ((1, 0), True)

    def test_of_a_better_score_lets_a_worse_one_in(self) -> None:
        room = player()
        submit(room, 50)
        remove(room)
        submit(room, 1)
        assert stands(room) == (1, 0)

    def test_of_nothing_is_refused(self) -> None:
        room = player()
        for was_there in (False, True):
            if was_there:
                submit(room, 5)
                remove(room)
            room.commit()
            with pytest.raises(ScoreNotFound) as refused:
                remove(room)
            assert refused.value.code == "leaderboard.score_not_found"
            assert room.actor.draft.empty

    def test_does_not_reach_back_into_a_period_that_is_over(self) -> None:
        """It said that it was done, and put an owner who had no score into the new period."""
        room = player(reset=HOURLY)
        submit(room, 5)
        room.now_ms += HOUR_MS
        room.commit()

        with pytest.raises(ScoreNotFound):
            remove(room)
        assert room.actor.draft.empty

    def test_is_written_down(self) -> None:
        room = player()
        submit(room, 3)
        remove(room)
        [audited] = rows(room, "audit")
        assert (audited["action"], audited["old_value"], audited["new_value"]) == (
            "score.removed",
            '{"period":"all","score":"3","subscore":"0"}',
            "null",
        )


class TestQuestions:
    @pytest.mark.parametrize(
        ("request_", "what"),
        [
            (LeaderboardTop(id="1", board="arena", limit=5, start=20), Top(20, 5)),
            (LeaderboardAround(id="1", board="arena"), Around("bo", 11)),
            (LeaderboardAround(id="1", board="arena", player="ann", limit=3), Around("ann", 3)),
            (LeaderboardList(id="1", board="arena", owners=["ann", "cy"]), Of(["ann", "cy"])),
            (LeaderboardWatch(id="1", board="arena"), Top(0, 10)),
        ],
    )
    def test_cost_no_write(self, request_: Any, what: Any) -> None:
        room = player()
        ticket = room.ask(request_)
        assert isinstance(ticket, PagesTicket)
        assert (ticket.what, ticket.table.period, ticket.present) == (what, "all", True)
        assert room.actor.draft.empty

    def test_watching_begins_and_ends(self) -> None:
        room = player()
        room.ask(LeaderboardWatch(id="1", board="arena"))
        room.ask(LeaderboardUnwatch(id="2", board="arena"))
        [follow] = room.effects_of(Follow)
        [unfollow] = room.effects_of(Unfollow)
        assert (follow.topic, follow.durable, unfollow.topic) == ("leaderboard:arena", False, "leaderboard:arena")

    def test_only_what_is_kept_is_worth_keeping(self) -> None:
        """A ticket to read is made anew for a repeated id; that to place is kept until the rank is known."""
        room = player()
        kept: list[Ticket] = [submit(room, 1), room.ask(LeaderboardTop(id="1", board="arena"))]
        assert [ticket.kept for ticket in kept] == [True, False]
