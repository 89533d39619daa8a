"""Who stands where: placing and reading by the rank index, or by the database where the index does not know.

What these tickets ask is answered outside of turns. The index is kept right by ``actors.leaderboards.keeper``.
"""

from typing import ClassVar

from actors.leaderboards.definition import Table
from actors.leaderboards.errors import PeriodNotFound
from actors.leaderboards.keeper import Keeper
from actors.leaderboards.messages import (
    Entry,
    LeaderboardEntries,
    LeaderboardPast,
    LeaderboardSubmitted,
    LeaderboardWatched,
    PastPeriod,
)
from actors.leaderboards.tables import PAST
from actors.runtime import FetchTicket, Reach
from protocol import Tell
from storage import Around, Of, Page, Standing, Top

KEEPER = "boards"  # the room whose part of each node the keeper is


class PlaceTicket(FetchTicket, frozen=True, kw_only=True):
    """A score that was taken; its rank is to be found."""

    kept: ClassVar[bool] = True
    table: Table
    standing: Standing
    improved: bool


class PagesTicket(FetchTicket, frozen=True, kw_only=True):
    """Entries of a table; ``present``: of the period that is not over."""

    table: Table
    present: bool
    what: Top | Around | Of


class WatchTicket(PagesTicket, frozen=True, kw_only=True):
    """The first places, for a session that watches from now on."""


class PastTicket(FetchTicket, frozen=True, kw_only=True):
    """The periods of a board that have ended."""

    board: str
    period: str
    ends_at: int | None
    limit: int


class PlaceCall(Tell, tag="leaderboard.place", frozen=True, kw_only=True):
    """Put a score into the index; nobody waits for its rank."""

    table: Table
    standing: Standing


def keeper_of(reach: Reach) -> Keeper:
    """This node's keeper of the index."""
    keeper = reach.services[KEEPER]
    assert isinstance(keeper, Keeper)
    return keeper


async def place(ticket: PlaceTicket, reach: Reach) -> LeaderboardSubmitted:
    """Put the score into the index, and say where it stands."""
    standing = ticket.standing
    return LeaderboardSubmitted(
        board=ticket.table.board,
        period=ticket.table.period,
        score=standing.score,
        subscore=standing.subscore,
        rank=await keeper_of(reach).place(ticket.table, standing),
        improved=ticket.improved,
    )


async def place_quietly(call: PlaceCall, reach: Reach) -> None:
    """Put the score into the index."""
    await keeper_of(reach).place_quietly(call.table, call.standing)


async def read(ticket: PagesTicket, reach: Reach) -> LeaderboardEntries:
    """Read a page.

    Raises:
        PeriodNotFound: nobody has a score in it, and the board has never ended such a period.
    """
    keeper, table = keeper_of(reach), ticket.table
    if ticket.present:
        page = await keeper.read(table, ticket.what)
    else:
        page = await keeper.read_rows(table, ticket.what)
        if not page.size:
            await _refuse_unknown_period(reach, table)
    return LeaderboardEntries(board=table.board, period=table.period, entries=entries_of(page), size=page.size)


async def read_for_watcher(ticket: WatchTicket, reach: Reach) -> LeaderboardWatched:
    """Read what a watcher begins with."""
    page = await keeper_of(reach).read(ticket.table, ticket.what)
    table = ticket.table
    return LeaderboardWatched(board=table.board, period=table.period, top=entries_of(page), size=page.size)


async def past(ticket: PastTicket, reach: Reach) -> LeaderboardPast:
    """List the periods that have ended."""
    rows = await reach.store.select(PAST, (ticket.board, ticket.limit))
    periods = [PastPeriod(period=name, started_at=start, ended_at=end) for name, start, end in rows]
    return LeaderboardPast(board=ticket.board, period=ticket.period, ends_at=ticket.ends_at, periods=periods)


def entries_of(page: Page) -> list[Entry]:
    """A page as clients see it."""
    return [
        Entry(
            rank=ranked.rank,
            owner=ranked.standing.owner,
            name=ranked.standing.name,
            score=ranked.standing.score,
            subscore=ranked.standing.subscore,
            at=ranked.standing.at_us // 1000,
        )
        for ranked in page.entries
    ]


async def _refuse_unknown_period(reach: Reach, table: Table) -> None:
    rows = await reach.store.select(
        "SELECT period FROM leaderboard_periods WHERE board = ? AND period = ?", (table.board, table.period)
    )
    if not rows:
        raise PeriodNotFound(f"{table.board} has no period {table.period!r}")
