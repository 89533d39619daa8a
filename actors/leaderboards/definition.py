"""What a board is: as staff defines it, and as every node knows it. Pure."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta, Struct

from actors.leaderboards.errors import BoardNotFound, PeriodNotFound
from actors.schedule import Repeat, Schedule
from protocol import INT64_MAX, INT64_MIN, GuildhallError, Int64, Invalid, clean
from storage import RankTable

log = structlog.get_logger()
WITHOUT_END = "all"  # the one period of a board that is never reset
TITLE_LIMIT = 100  # characters, after cleaning


class Definition(Struct, frozen=True, kw_only=True):
    """A board as staff defines it; every field has a default. A node of an older release passes over fields that it
    does not know."""

    title: Annotated[str, Meta(max_length=TITLE_LIMIT, extra={"text": clean})] = ""
    """For people."""
    operator: Literal["best", "last", "sum"] = "best"
    """What a new score does to the one that is there: the better one stays, the newer one stays, or they are added."""
    order: Literal["desc", "asc"] = "desc"
    """``desc``: the highest score has rank 1. Subscores are compared the same way."""
    min_score: Int64 = INT64_MIN
    max_score: Int64 = INT64_MAX
    """Bounds of each submitted score."""
    open: bool = True
    """Whether clients may submit; else only the game's backend."""
    frozen: bool = False
    """Whether nobody may submit for now."""
    ends_at: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    """Milliseconds since the Unix epoch from which nothing is taken any more."""
    reset: Repeat | None = None
    """When a new period begins; never, if not set."""

    @property
    def lowest_first(self) -> bool:
        return self.order == "asc"


class BoardRow(Struct, frozen=True, array_like=True):
    """A definition as it is kept. ``revision`` rises when scores of before cannot be compared with those of after: its
    periods have other names, so that whatever a period's name stands for never changes."""

    definition: Definition
    revision: int


class Span(Struct, frozen=True):
    """A period of a board; ``end_ms`` None: it has no end."""

    name: str
    start_ms: int
    end_ms: int | None


class Table(Struct, frozen=True):
    """The scores of one period of a board."""

    board: str
    period: str
    lowest_first: bool

    @property
    def ranks(self) -> RankTable:
        """Its name in the index."""
        return RankTable(f"{self.board}/{self.period}", self.lowest_first)


class Board:
    """A board as a node knows it: its definition with what follows from it."""

    def __init__(self, name: str, row: BoardRow) -> None:
        self.name = name
        self.definition = row.definition
        self.revision = row.revision
        self._schedule = Schedule(row.definition.reset) if row.definition.reset else None

    def span(self, now_ms: int) -> Span:
        """The period that ``now_ms`` lies in: the same on every node, whether its reset has been noticed or not."""
        if self._schedule is None:
            return Span(self._named(WITHOUT_END), 0, None)
        period = self._schedule.period(now_ms)
        return Span(self._named(period.name), period.start_ms, period.end_ms)

    def ended(self, after_ms: int, now_ms: int) -> Iterator[Span]:
        """Periods whose end lies after ``after_ms`` and not after ``now_ms``, oldest first; see ``Schedule.ended``."""
        if self._schedule is not None:
            for period in self._schedule.ended(after_ms, now_ms):
                yield Span(self._named(period.name), period.start_ms, period.end_ms)

    def is_over(self, period: str, now_ms: int) -> bool:
        """Whether a period lies before the present one."""
        present = self.span(now_ms).name
        return period != present and later(present, period)

    def table(self, period: str) -> Table:
        """The scores of a period."""
        return Table(self.name, period, self.definition.lowest_first)

    def _named(self, period: str) -> str:
        return period if self.revision == 1 else f"{period}~{self.revision}"


def later(one: str, other: str) -> bool:
    """Whether one period of a board begins after another one of it."""
    return _place_in_time(one) > _place_in_time(other)


def _place_in_time(period: str) -> tuple[int, str]:
    start, _, revision = period.partition("~")
    return int(revision or 1), start


Boards = dict[str, Board]
"""Every board, by name."""


def boards_of(rows: Sequence[tuple[str, bytes]]) -> Boards:
    """The boards of (name, ``BoardRow`` as MessagePack); without those that this node cannot make sense of."""
    boards = {name: _board(name, bytes(body)) for name, body in rows}
    return {name: board for name, board in boards.items() if board is not None}


@lru_cache(maxsize=1024)
def _board(name: str, body: bytes) -> Board | None:
    try:
        return Board(name, msgspec.msgpack.decode(body, type=BoardRow))
    except (msgspec.MsgspecError, GuildhallError) as error:
        # Of a newer release, or in a time zone that this machine does not have: one board less is better than no node.
        log.error("leaderboard.not_understood", board=name, reason=str(error))
        return None


def find_board(boards: Boards, name: str) -> Board:
    """Raises BoardNotFound: nobody has defined it."""
    board = boards.get(name)
    if board is None:
        raise BoardNotFound(f"no board {name!r}")
    return board


def table_of(board: Board, period: str | None, now_ms: int) -> tuple[Table, bool]:
    """The table of a period (None: the present one), and whether it is the present one.

    Raises:
        PeriodNotFound: the name cannot be that of a period.
    """
    present = board.span(now_ms).name
    if period is None or period == present:
        return board.table(present), True
    if len(period) > 32 or "/" in period:
        raise PeriodNotFound(f"no period {period[:64]!r}")
    return board.table(period), False


def refuse_odd_definition(definition: Definition) -> None:
    """Return for a definition that makes sense.

    Raises:
        Invalid: the bounds are the wrong way round.
        ScheduleInvalid, ScheduleNever, ZoneUnknown: the reset cannot be.
    """
    if definition.min_score > definition.max_score:
        raise Invalid("min_score is above max_score")
    if definition.reset is not None:
        Schedule(definition.reset)
