"""What is said about leaderboards (PROTOCOL.md, Leaderboards)."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from protocol import Event, Id, Int64, Reply, Request

PAGE_LIMIT = 100  # entries in one page
OWNERS_LIMIT = 200  # owners in one question
SHOWN = 10  # places that watchers are shown
DEEPEST = 10_000_000  # entries that a page may begin after

BoardName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.~-]{1,64}\Z")]
PeriodName = Annotated[str, Meta(min_length=1, max_length=32)]
Limit = Annotated[int, Meta(ge=1, le=PAGE_LIMIT)]


class Entry(Struct, frozen=True, kw_only=True):
    """One place. ``name`` is that of the owner when the score was achieved, ``at`` is that moment in milliseconds."""

    rank: int
    owner: str
    name: str
    score: Int64
    subscore: Int64
    at: int


class LeaderboardSubmitted(Reply, tag="leaderboard.submitted", frozen=True, kw_only=True):
    """Where the caller stands now: ``score`` and ``subscore`` are what counts, ``improved`` whether this changed it for
    the better. ``rank`` is the place at the moment of the answer."""

    board: str
    period: str
    score: Int64
    subscore: Int64
    rank: int
    improved: bool


class LeaderboardSubmit(Request[LeaderboardSubmitted], tag="leaderboard.submit", frozen=True, kw_only=True):
    """A score of the caller. ``data`` is the game's own, up to 1 KiB, and kept beside the score."""

    board: BoardName
    score: Int64
    subscore: Int64 = 0
    data: dict[str, Any] | None = None


class LeaderboardEntries(Reply, tag="leaderboard.entries", frozen=True, kw_only=True):
    """Entries in rank order; ``size`` is how many owners are ranked in the period."""

    board: str
    period: str
    entries: list[Entry]
    size: int


class LeaderboardTop(Request[LeaderboardEntries], tag="leaderboard.top", frozen=True, kw_only=True):
    """Entries from the top, after the first ``start``; of the present period or an older one."""

    board: BoardName
    limit: Limit = 10
    start: Annotated[int, Meta(ge=0, le=DEEPEST)] = 0
    period: PeriodName | None = None


class LeaderboardAround(Request[LeaderboardEntries], tag="leaderboard.around", frozen=True, kw_only=True):
    """Entries around a player (the caller, if not said), who is in the middle where the board has enough; none for
    one who is not ranked."""

    board: BoardName
    player: Id | None = None
    limit: Limit = 11
    period: PeriodName | None = None


class LeaderboardList(Request[LeaderboardEntries], tag="leaderboard.list", frozen=True, kw_only=True):
    """Those of ``owners`` who are ranked: how friends stand."""

    board: BoardName
    owners: Annotated[list[Id], Meta(min_length=1, max_length=OWNERS_LIMIT)]
    period: PeriodName | None = None


class PastPeriod(Struct, frozen=True, kw_only=True):
    """A period that has ended, in milliseconds since the Unix epoch."""

    period: str
    started_at: int
    ended_at: int


class LeaderboardPast(Reply, tag="leaderboard.past", frozen=True, kw_only=True):
    """The newest periods that have ended, newest first; ``period`` is the present one, ``ends_at`` its end."""

    board: str
    period: str
    ends_at: int | None = None
    periods: list[PastPeriod]


class LeaderboardPeriods(Request[LeaderboardPast], tag="leaderboard.periods", frozen=True, kw_only=True):
    """Which periods there are."""

    board: BoardName
    limit: Limit = 20


class LeaderboardWatched(Reply, tag="leaderboard.watched", frozen=True, kw_only=True):
    """The session hears ``leaderboard.changed`` on ``leaderboard:BOARD`` from now on, beginning with ``top``."""

    board: str
    period: str
    top: list[Entry]
    size: int


class LeaderboardWatch(Request[LeaderboardWatched], tag="leaderboard.watch", frozen=True, kw_only=True):
    """Watch the first places change. A new connection asks again: there is nothing to be resumed."""

    board: BoardName


class LeaderboardUnwatched(Reply, tag="leaderboard.unwatched", frozen=True, kw_only=True):
    board: str


class LeaderboardUnwatch(Request[LeaderboardUnwatched], tag="leaderboard.unwatch", frozen=True, kw_only=True):
    """Watch no more."""

    board: BoardName


class LeaderboardChanged(Event, tag="leaderboard.changed", frozen=True, kw_only=True):
    """The first places as they are now. Ephemeral, at most four times a second."""

    board: str
    period: str
    top: list[Entry]
    size: int


class LeaderboardReset(Event, tag="leaderboard.reset", frozen=True, kw_only=True):
    """The period ``ended`` is over; ``period`` is the present one. Ephemeral; ``leaderboard.periods`` tells those who
    were away."""

    board: str
    ended: str
    period: str
