"""What the server's own parts and staff ask of a board's actor."""

from actors.leaderboards.definition import Definition
from actors.leaderboards.messages import BoardName, LeaderboardEntries, PeriodName
from actors.staff import By
from protocol import Id, Reply, Request


class BoardDefined(Reply, tag="leaderboard.defined", frozen=True, kw_only=True):
    """A board as it is: ``period`` is the present one, ``ends_at`` its end. ``revision`` rises when the operator, the
    order or the reset changes: scores begin anew then, in periods with other names."""

    board: str
    definition: Definition
    revision: int
    period: str
    ends_at: int | None = None


class BoardDefine(Request[BoardDefined], tag="leaderboard.define", frozen=True, kw_only=True):
    """Define a board, or define it anew: what is not said gets its default."""

    board: BoardName
    definition: Definition
    by: By


class BoardShow(Request[BoardDefined], tag="leaderboard.show", frozen=True, kw_only=True):
    """The board as it is."""

    board: BoardName


class BoardEntries(Request[LeaderboardEntries], tag="leaderboard.show_entries", frozen=True, kw_only=True):
    """Entries from the top, or those of ``owners``, for staff and the game's backend."""

    board: BoardName
    period: PeriodName | None = None
    start: int = 0
    limit: int = 50
    owners: list[Id] | None = None


class BoardChecked(Reply, tag="leaderboard.checked", frozen=True, kw_only=True):
    """How index and database agree about the present period."""

    board: str
    period: str
    rows: int
    """Ranked owners in the database."""
    ranked: int | None
    """Ranked owners in the index; null: the index does not know, and is being filled."""
    different: int
    """Owners who stand elsewhere in the index, or are in only one of the two."""
    examples: list[str]
    """Some of them."""


class BoardCheck(Request[BoardChecked], tag="leaderboard.check", frozen=True, kw_only=True):
    """Compare index and database; takes about a second for 100,000 owners."""

    board: BoardName


class BoardFilling(Reply, tag="leaderboard.filling", frozen=True, kw_only=True):
    """The board's node fills the table."""


class BoardFill(Request[BoardFilling], tag="leaderboard.fill", frozen=True, kw_only=True):
    """The index does not know a table."""

    board: BoardName
    period: PeriodName


class BoardHeard(Reply, tag="leaderboard.heard", frozen=True, kw_only=True):
    """The board has noticed."""


class BoardTouched(Request[BoardHeard], tag="leaderboard.touched", frozen=True, kw_only=True):
    """The first places may have changed."""

    board: BoardName
