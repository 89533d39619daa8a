"""A player's scores: submitting, and asking who stands where.

Owns the ``scores`` slice of a player: what stands in the present period of each board. Every change of it is also a row
of ``leaderboard_entries``, in the same commit: the truth that the rank index follows and old periods are read from.
Turns decide by the board's definition as this node knows it, and by the period that their moment lies in.
"""

from typing import Any

import msgspec
from msgspec import Struct

from actors.leaderboards import index
from actors.leaderboards.board import boards
from actors.leaderboards.definition import Board, Table, find_board, later, table_of
from actors.leaderboards.errors import (
    BoardClosed,
    BoardEnded,
    BoardFrozen,
    ScoreNotFound,
    ScoreOutOfBounds,
)
from actors.leaderboards.index import PagesTicket, PastTicket, PlaceCall, PlaceTicket, WatchTicket
from actors.leaderboards.messages import (
    SHOWN,
    BoardName,
    LeaderboardAround,
    LeaderboardList,
    LeaderboardPeriods,
    LeaderboardSubmit,
    LeaderboardTop,
    LeaderboardUnwatch,
    LeaderboardUnwatched,
    LeaderboardWatch,
)
from actors.leaderboards.tables import entry_row
from actors.player import profile
from actors.runtime import CALLER, Context, Feature
from actors.staff import By, audit
from protocol import INT64_MAX, INT64_MIN, Id, Int64, Invalid, Reply, Request
from storage import Around, Of, Standing, Top, Upsert

DATA_BYTES = 1024  # of a score's ``data`` as MessagePack


# What the game's backend and staff ask.
class ScorePosted(Reply, tag="leaderboard.score_posted", frozen=True, kw_only=True):
    """Where the owner stands by now; its rank is asked for separately."""

    board: str
    period: str
    owner: str
    score: Int64
    subscore: Int64
    improved: bool


class ScorePost(Request[ScorePosted], tag="leaderboard.score_post", frozen=True, kw_only=True):
    """A score of ``owner``, who may never have been here; also where the board is closed to clients."""

    owner: Id
    board: BoardName
    score: Int64
    subscore: Int64 = 0
    data: dict[str, Any] | None = None
    by: By


class ScoreRemoved(Reply, tag="leaderboard.score_removed", frozen=True, kw_only=True):
    """The owner is not ranked any more."""

    board: str
    period: str
    owner: str


class ScoreRemove(Request[ScoreRemoved], tag="leaderboard.score_remove", frozen=True, kw_only=True):
    """Take a score of the present period away, as a cheater's."""

    owner: Id
    board: BoardName
    by: By


# What is kept.
class Score(Struct, frozen=True, array_like=True):
    """What stands in a period. ``changes`` rises with every change, through all periods of the board."""

    period: str
    score: int
    subscore: int
    at_us: int
    changes: int
    removed: bool = False


class Scores(Struct):
    boards: dict[str, Score] = {}
    """By board; of each the newest period in which the player has done anything."""


scores = Feature(name="scores", actor="player", state=Scores)
scores.fetches(PlaceTicket)(index.place)
scores.fetches(PagesTicket)(index.read)
scores.fetches(WatchTicket)(index.read_for_watcher)
scores.fetches(PastTicket)(index.past)
scores.calls(PlaceCall)(index.place_quietly)


# Submitting.
@scores.handles(LeaderboardSubmit, key=CALLER, writes=False)
def submit(ctx: Context, mine: Scores, msg: LeaderboardSubmit) -> PlaceTicket:
    """Take a score of the caller.

    Raises:
        BoardNotFound, BoardFrozen, BoardEnded, ScoreOutOfBounds, Invalid: nothing was taken.
        BoardClosed: the board is for the game's backend.
    """
    board = find_board(ctx.replica(boards), msg.board)
    if not board.definition.open:
        raise BoardClosed(f"{msg.board} takes scores from the backend only")
    table, before = _present(ctx, mine, board)
    score, improved = _entered(ctx, board, before, msg.score, msg.subscore, table)
    standing = _write(ctx, table, before, score, msg.data)
    return PlaceTicket(table=table, standing=standing, improved=improved)


@scores.handles(ScorePost, key="owner", writes=False, internal=True)
def post(ctx: Context, mine: Scores, msg: ScorePost) -> ScorePosted:
    """Take a score that the game's backend vouches for.

    Raises:
        BoardNotFound, BoardFrozen, BoardEnded, ScoreOutOfBounds, Invalid: nothing was taken.
        IdReused: the key has used the op before.
    """
    board = find_board(ctx.replica(boards), msg.board)
    table, before = _present(ctx, mine, board)
    score, improved = _entered(ctx, board, before, msg.score, msg.subscore, table)
    standing = _write(ctx, table, before, score, msg.data)
    ctx.call(PlaceCall(table=table, standing=standing))
    reply = ScorePosted(
        board=msg.board,
        period=table.period,
        owner=ctx.key,
        score=score.score,
        subscore=score.subscore,
        improved=improved,
    )
    audit(
        ctx, msg.by, "score.posted", f"leaderboard:{msg.board}", before=_told(before), after=_told(score), reply=reply
    )
    return reply


@scores.handles(ScoreRemove, key="owner", writes=False, internal=True)
def remove(ctx: Context, mine: Scores, msg: ScoreRemove) -> ScoreRemoved:
    """Take the owner's score away; the next one begins anew.

    Raises:
        BoardNotFound, ScoreNotFound: nothing was changed.
        IdReused: the key has used the op before.
    """
    board = find_board(ctx.replica(boards), msg.board)
    table, before = _present(ctx, mine, board)
    if before is None or before.removed or before.period != table.period:
        raise ScoreNotFound(f"{msg.owner} has no score on {msg.board} in {table.period}")
    gone = Score(table.period, before.score, before.subscore, ctx.stamp(), before.changes + 1, removed=True)
    standing = _write(ctx, table, before, gone, None)
    ctx.call(PlaceCall(table=table, standing=standing))
    reply = ScoreRemoved(board=msg.board, period=table.period, owner=ctx.key)
    audit(ctx, msg.by, "score.removed", f"leaderboard:{msg.board}", before=_told(before), after=None, reply=reply)
    return reply


# Asking.
@scores.handles(LeaderboardTop, key=CALLER, writes=False)
def top(ctx: Context, _mine: Scores, msg: LeaderboardTop) -> PagesTicket:
    """Allow a page to be read.

    Raises:
        BoardNotFound, PeriodNotFound: there is none.
    """
    table, present = table_of(find_board(ctx.replica(boards), msg.board), msg.period, ctx.now_ms)
    return PagesTicket(table=table, present=present, what=Top(msg.start, msg.limit))


@scores.handles(LeaderboardAround, key=CALLER, writes=False)
def around(ctx: Context, _mine: Scores, msg: LeaderboardAround) -> PagesTicket:
    """Allow a page to be read.

    Raises:
        BoardNotFound, PeriodNotFound: there is none.
    """
    table, present = table_of(find_board(ctx.replica(boards), msg.board), msg.period, ctx.now_ms)
    return PagesTicket(table=table, present=present, what=Around(msg.player or ctx.caller, msg.limit))


@scores.handles(LeaderboardList, key=CALLER, writes=False)
def list_owners(ctx: Context, _mine: Scores, msg: LeaderboardList) -> PagesTicket:
    """Allow the owners' places to be read.

    Raises:
        BoardNotFound, PeriodNotFound: there is none.
    """
    table, present = table_of(find_board(ctx.replica(boards), msg.board), msg.period, ctx.now_ms)
    return PagesTicket(table=table, present=present, what=Of(msg.owners))


@scores.handles(LeaderboardPeriods, key=CALLER, writes=False)
def periods(ctx: Context, _mine: Scores, msg: LeaderboardPeriods) -> PastTicket:
    """Allow the list of periods to be read.

    Raises:
        BoardNotFound: there is none.
    """
    span = find_board(ctx.replica(boards), msg.board).span(ctx.now_ms)
    return PastTicket(board=msg.board, period=span.name, ends_at=span.end_ms, limit=msg.limit)


@scores.handles(LeaderboardWatch, key=CALLER, writes=False)
def watch(ctx: Context, _mine: Scores, msg: LeaderboardWatch) -> WatchTicket:
    """Have the session follow the board; everybody may.

    Raises:
        BoardNotFound: there is none.
    """
    table, _ = table_of(find_board(ctx.replica(boards), msg.board), None, ctx.now_ms)
    ctx.follow(f"leaderboard:{msg.board}", durable=False)
    return WatchTicket(table=table, present=True, what=Top(0, SHOWN))


@scores.handles(LeaderboardUnwatch, key=CALLER, writes=False)
def unwatch(ctx: Context, _mine: Scores, msg: LeaderboardUnwatch) -> LeaderboardUnwatched:
    """Have the session hear no more of the board."""
    ctx.unfollow(f"leaderboard:{msg.board}")
    return LeaderboardUnwatched(board=msg.board)


# Rules.
def _present(ctx: Context, mine: Scores, board: Board) -> tuple[Table, Score | None]:
    """The table of this moment, and what the player had on the board before, in whatever period.

    A player's period never goes back: where the node that the actor was on is ahead of this one, by its clock or in
    what it knows of the board, what counts there goes on to count.
    """
    period, before = board.span(ctx.now_ms).name, mine.boards.get(board.name)
    if before is not None and later(before.period, period):
        period = before.period
    return board.table(period), before


def _entered(
    ctx: Context, board: Board, before: Score | None, score: int, subscore: int, table: Table
) -> tuple[Score, bool]:
    """What stands after a score has come, and whether it stands better than before; the same object: nothing changed.

    Raises:
        BoardFrozen, BoardEnded, ScoreOutOfBounds: it is not taken.
    """
    rules = board.definition
    if rules.frozen:
        raise BoardFrozen(f"{board.name} is frozen")
    if rules.ends_at is not None and rules.ends_at <= ctx.now_ms:
        raise BoardEnded(f"{board.name} has ended")
    if not rules.min_score <= score <= rules.max_score:
        raise ScoreOutOfBounds(f"{board.name} takes {rules.min_score} to {rules.max_score}")
    changes = before.changes + 1 if before else 1
    if before is None or before.removed or before.period != table.period:
        return Score(table.period, score, subscore, ctx.stamp(), changes), True
    old, new = (before.score, before.subscore), (score, subscore)
    if rules.operator == "sum":
        new = (old[0] + score, old[1] + subscore)
        if not all(INT64_MIN <= each <= INT64_MAX for each in new):
            raise ScoreOutOfBounds("the sum would be no 64-bit number")
    better = new < old if rules.lowest_first else new > old
    if new == old or (rules.operator == "best" and not better):
        return before, False
    return Score(table.period, *new, ctx.stamp(), changes), better


def _write(ctx: Context, table: Table, before: Score | None, score: Score, extra: dict[str, Any] | None) -> Standing:
    """Keep what has changed, in the slice and in the table; what stands, as the index knows it.

    Raises:
        Invalid: ``extra`` is too large; nothing was changed.
    """
    packed = msgspec.msgpack.encode(extra) if extra else None
    if packed is not None and len(packed) > DATA_BYTES:
        raise Invalid(f"data takes more than {DATA_BYTES} bytes")
    name = ctx.look(profile).name or ctx.key
    standing = Standing(ctx.key, name, score.score, score.subscore, score.at_us, score.changes, score.removed)
    if score is before:
        return standing
    ctx.use(scores).boards[table.board] = score
    ctx.keep(Upsert("leaderboard_entries", entry_row(table, standing, packed), ("board", "period", "owner")))
    return standing


def _told(score: Score | None) -> dict[str, Any] | None:
    """A score as the audit shows it."""
    if score is None or score.removed:
        return None
    return {"period": score.period, "score": str(score.score), "subscore": str(score.subscore)}
