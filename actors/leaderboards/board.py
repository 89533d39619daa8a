"""A board's own actor: its definition, the end of its periods, and what watchers are shown.

Owns the slices ``boards`` and ``show`` (in memory only) of ``leaderboard:BOARD``. Publishes ephemeral events to the
topic of that name. Scores do not come here: they are their players' (actors/leaderboards/scores.py), so that a board
that everybody plays is no bottleneck.
"""

from itertools import islice

import msgspec
from msgspec import Struct

from actors.leaderboards.definition import (
    Board,
    BoardRow,
    Definition,
    Table,
    boards_of,
    find_board,
    refuse_odd_definition,
    table_of,
)
from actors.leaderboards.errors import BoardNotFound, PeriodNotFound, TooManyBoards
from actors.leaderboards.index import PagesTicket, entries_of, keeper_of
from actors.leaderboards.keeper import Keeper
from actors.leaderboards.messages import SHOWN, Entry, LeaderboardChanged, LeaderboardReset
from actors.leaderboards.requests import (
    BoardCheck,
    BoardChecked,
    BoardDefine,
    BoardDefined,
    BoardEntries,
    BoardFill,
    BoardFilling,
    BoardHeard,
    BoardShow,
    BoardTouched,
)
from actors.leaderboards.rows import compare
from actors.leaderboards.tables import ALL_BOARDS, STATEMENTS
from actors.runtime import Context, Feature, FetchTicket, Reach
from actors.staff import audit
from protocol import Tell
from storage import Migration, Of, StoreDown, Top, Upsert

BOARD_LIMIT = 500  # boards there may be: every node has all definitions in memory
SHOW_MS = 250  # between two events for watchers
AGAIN_MS = 1_000  # before they are read again, where the database did not answer
STUCK_MS = 5_000  # after which a reading of the first places is taken to be lost
NOTED_AT_ONCE = 100  # ended periods written down in one turn, about 2 ms; a board that was away for long has more


class CheckTicket(FetchTicket, frozen=True, kw_only=True):
    """Compares index and database."""

    table: Table


class DefineTicket(FetchTicket, frozen=True, kw_only=True):
    """A definition that was kept; every node is to know it before the answer."""

    reply: BoardDefined


# Timers, calls and what they bring back.
class ResetDue(Tell, tag="leaderboard.reset_due", frozen=True, kw_only=True):
    """A period may have ended."""


class FillCall(Tell, tag="leaderboard.fill_call", frozen=True, kw_only=True):
    """Fill the table's index."""

    table: Table


class ShowCall(Tell, tag="leaderboard.show_call", frozen=True, kw_only=True):
    """Read the first places of the present period, after a pause."""

    board: str
    pause_ms: int


class ShowRead(Tell, tag="leaderboard.show_read", frozen=True, kw_only=True):
    """The first places."""

    period: str
    top: list[Entry]
    size: int


class ShowFailed(Tell, tag="leaderboard.show_failed", frozen=True, kw_only=True):
    """They could not be read."""


# What is kept.
class Kept(Struct):
    row: BoardRow | None = None
    """None: nobody has defined it."""
    noted_ms: int = 0
    """Periods that ended up to here have been written down."""


class Show(Struct):
    shown_ms: int = 0
    asked_ms: int = 0
    """Since when the first places are being read; 0: they are not."""
    again: bool = False
    """Whether something has changed since."""


boards = Feature(
    name="boards",
    actor="leaderboard",
    state=Kept,
    migrations=tuple(Migration(number, sql) for number, sql in enumerate(STATEMENTS, start=1)),
)
boards.publishes(LeaderboardChanged, LeaderboardReset)
boards.replicates(ALL_BOARDS, boards_of)
boards.serves(Keeper)
show = Feature(name="show", actor="leaderboard", state=Show, transient=("leaderboard",))


@boards.readable("")
def may_read(_kept: Kept, _player: str, _actor: str) -> bool:
    """A board is there to be seen."""
    return True


# Definitions.
@boards.handles(BoardDefine, key="board", internal=True)
def define(ctx: Context, kept: Kept, msg: BoardDefine) -> DefineTicket:
    """Define the board; scores that could not be compared with those to come are left behind.

    Raises:
        Invalid, ScheduleInvalid, ScheduleNever, ZoneUnknown: the definition makes no sense.
        TooManyBoards: there are ``BOARD_LIMIT``.
        IdReused: the key has used the op before.
    """
    refuse_odd_definition(msg.definition)
    if kept.row is None and len(ctx.replica(boards)) >= BOARD_LIMIT:
        raise TooManyBoards(f"there are {BOARD_LIMIT} boards")
    before = kept.row
    kept.row = BoardRow(msg.definition, _revision(before, msg.definition))
    ctx.keep(Upsert("leaderboard_boards", {"board": ctx.key, "body": msgspec.msgpack.encode(kept.row)}, ("board",)))
    span = Board(ctx.key, kept.row).span(ctx.now_ms)
    if before is None:
        kept.noted_ms = ctx.now_ms
    elif before.revision != kept.row.revision:
        _leave(ctx, kept, Board(ctx.key, before), span.name)
    _wait_for_reset(ctx, span.end_ms)
    reply = BoardDefined(
        board=ctx.key,
        definition=msg.definition,
        revision=kept.row.revision,
        period=span.name,
        ends_at=span.end_ms,
    )
    audit(
        ctx,
        msg.by,
        "leaderboard.defined",
        ctx.actor,
        before=msgspec.to_builtins(before.definition) if before else None,
        after=msgspec.to_builtins(msg.definition),
        reply=reply,
    )
    return DefineTicket(reply=reply)


@boards.fetches(DefineTicket)
async def spread(ticket: DefineTicket, reach: Reach) -> BoardDefined:
    """Have every node know the definition: who has the answer may count on it everywhere."""
    await reach.replicas.spread(boards.name)
    keeper_of(reach).touch(ticket.reply.board)
    return ticket.reply


def _revision(before: BoardRow | None, after: Definition) -> int:
    if before is None:
        return 1
    was = before.definition
    return before.revision + ((was.operator, was.order, was.reset) != (after.operator, after.order, after.reset))


# Periods.
@boards.hears(ResetDue)
def reset(ctx: Context, kept: Kept, _msg: ResetDue) -> None:
    """Write down every period that has ended since the last time, once each, however late, and say so to watchers."""
    if kept.row is None:
        return
    board = Board(ctx.key, kept.row)
    last = _note_ended(ctx, kept, board)
    span = board.span(ctx.now_ms)
    if span.end_ms is not None and kept.noted_ms < span.start_ms:
        ctx.at(ctx.now_ms, "reset", ResetDue())  # there are more, for the next turn
        return
    if last is not None:
        _say_reset(ctx, last, span.name)
        _show_again(ctx, ctx.use(show))
    _wait_for_reset(ctx, span.end_ms)


def _note_ended(ctx: Context, kept: Kept, board: Board) -> str | None:
    """Write down the next ended periods; the last of them."""
    last = None
    for span in islice(board.ended(kept.noted_ms, ctx.now_ms), NOTED_AT_ONCE):
        assert span.end_ms is not None
        _note(ctx, kept, span.name, max(span.start_ms, kept.noted_ms), span.end_ms)
        last = span.name
    return last


def _leave(ctx: Context, kept: Kept, board: Board, period: str) -> None:
    """End the present period of a definition that is no more, before its time."""
    _note_ended(ctx, kept, board)
    span = board.span(ctx.now_ms)
    _note(ctx, kept, span.name, max(span.start_ms, kept.noted_ms), ctx.now_ms)
    _say_reset(ctx, span.name, period)


def _note(ctx: Context, kept: Kept, period: str, started_ms: int, ended_ms: int) -> None:
    row = {"board": ctx.key, "period": period, "started_ms": started_ms, "ended_ms": ended_ms}
    ctx.keep(Upsert("leaderboard_periods", row, ("board", "period")))
    kept.noted_ms = ended_ms


def _say_reset(ctx: Context, ended: str, period: str) -> None:
    ctx.log.info("leaderboard.reset", ended=ended, period=period)
    ctx.publish(ctx.actor, LeaderboardReset(board=ctx.key, ended=ended, period=period), ephemeral=True)


def _wait_for_reset(ctx: Context, end_ms: int | None) -> None:
    if end_ms is None:
        ctx.cancel("reset")
    else:
        ctx.at(end_ms, "reset", ResetDue())


# For staff.
@boards.handles(BoardShow, key="board", writes=False, internal=True)
def describe(ctx: Context, kept: Kept, _msg: BoardShow) -> BoardDefined:
    """Give the definition.

    Raises:
        BoardNotFound: there is no such board.
    """
    if kept.row is None:
        raise BoardNotFound(f"no board {ctx.key!r}")
    span = Board(ctx.key, kept.row).span(ctx.now_ms)
    return BoardDefined(
        board=ctx.key,
        definition=kept.row.definition,
        revision=kept.row.revision,
        period=span.name,
        ends_at=span.end_ms,
    )


@boards.handles(BoardEntries, key="board", writes=False, internal=True)
def list_entries(ctx: Context, _kept: Kept, msg: BoardEntries) -> PagesTicket:
    """Allow a page to be read.

    Raises:
        BoardNotFound, PeriodNotFound: there is none.
    """
    table, present = table_of(find_board(ctx.replica(boards), ctx.key), msg.period, ctx.now_ms)
    what = Top(msg.start, msg.limit) if msg.owners is None else Of(msg.owners)
    return PagesTicket(table=table, present=present, what=what)


@boards.handles(BoardCheck, key="board", writes=False, internal=True)
def check(ctx: Context, _kept: Kept, _msg: BoardCheck) -> CheckTicket:
    """Allow the comparison.

    Raises:
        BoardNotFound: there is no such board.
    """
    board = find_board(ctx.replica(boards), ctx.key)
    return CheckTicket(table=board.table(board.span(ctx.now_ms).name))


@boards.fetches(CheckTicket)
async def run_check(ticket: CheckTicket, reach: Reach) -> BoardChecked:
    """Compare."""
    return await compare(reach.store, reach.ranks, ticket.table)


# The index.
@boards.handles(BoardFill, key="board", writes=False, internal=True)
def fill(ctx: Context, _kept: Kept, msg: BoardFill) -> BoardFilling:
    """Have the table filled here, where nobody else does it at the same time.

    Raises:
        BoardNotFound: there is no such board.
        PeriodNotFound: the period is over, the index has let go of it.
    """
    board = find_board(ctx.replica(boards), ctx.key)
    if board.is_over(msg.period, ctx.now_ms):
        raise PeriodNotFound(f"{msg.period} is over")
    ctx.call(FillCall(table=board.table(msg.period)))
    return BoardFilling()


@boards.calls(FillCall)
async def run_fill(call: FillCall, reach: Reach) -> None:
    """Fill it."""
    await keeper_of(reach).fill(call.table)


# Watchers.
@show.handles(BoardTouched, key="board", internal=True)
def touch(ctx: Context, shown: Show, _msg: BoardTouched) -> BoardHeard:
    """Show watchers the first places soon, four times a second at most."""
    _show_again(ctx, shown)
    return BoardHeard()


@show.hears(ShowRead)
def say(ctx: Context, shown: Show, msg: ShowRead) -> None:
    """Say to watchers what was read; what has changed since is read again."""
    changed = LeaderboardChanged(board=ctx.key, period=msg.period, top=msg.top, size=msg.size)
    ctx.publish(ctx.actor, changed, ephemeral=True)
    shown.shown_ms, shown.asked_ms = ctx.now_ms, 0
    if shown.again:
        _show_again(ctx, shown)


@show.hears(ShowFailed)
def try_again(ctx: Context, shown: Show, _msg: ShowFailed) -> None:
    """Watchers are to see the last of the changes, if there is no other after it."""
    shown.shown_ms, shown.asked_ms = ctx.now_ms + AGAIN_MS, 0
    _show_again(ctx, shown)


@show.calls(ShowCall)
async def read_first(call: ShowCall, reach: Reach) -> ShowRead | ShowFailed:
    """Read the first places."""
    await reach.clock.sleep(call.pause_ms / 1000)
    board: Board | None = reach.replica(boards).get(call.board)
    if board is None:
        return ShowFailed()
    table = board.table(board.span(reach.clock.now_ms()).name)
    try:
        page = await keeper_of(reach).read(table, Top(0, SHOWN))
    except StoreDown:
        return ShowFailed()
    return ShowRead(period=table.period, top=entries_of(page), size=page.size)


def _show_again(ctx: Context, shown: Show) -> None:
    if ctx.key not in ctx.replica(boards):
        return
    if shown.asked_ms + STUCK_MS > ctx.now_ms:
        shown.again = True
        return
    shown.asked_ms, shown.again = ctx.now_ms, False
    pause_ms = max(0, shown.shown_ms + SHOW_MS - ctx.now_ms)
    ctx.call(ShowCall(board=ctx.key, pause_ms=pause_ms))
