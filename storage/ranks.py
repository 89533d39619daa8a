"""Who is where in a table of scores: an index that follows a database table and may be lost at any time.

The truth is elsewhere. An index that was flushed, evicted in part or restored from an older copy of itself says so
(``Incomplete``, or the older watermark); it never answers with ranks that it cannot vouch for.

    token = await ranks.begin(table)              # a table that is Incomplete is filled from the truth
    await ranks.put(table, standings, filling=True)      # as often as it takes
    await ranks.finish(table, token, through_us)  # False: begin again

    since = await ranks.through(table)            # and kept, by whoever repairs it, now and then:
    await ranks.put(table, everything_committed_from(since), filling=True)
    await ranks.advance(table, since, now)        # False: look at `through` again
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

PUT_LIMIT = 1000  # standings in one put
PAGE_LIMIT = 1000  # entries in one page, owners in one question


class Standing(Struct, frozen=True, array_like=True):
    """Where one owner stands. Numbers are int64."""

    owner: str
    """Id, up to 64 characters of ``[A-Za-z0-9_.~-]``."""
    name: str
    """Shown with it."""
    score: int
    subscore: int
    """Decides between equal scores, in the same direction."""
    at_us: int
    """Microseconds since the epoch at which it was achieved. Of equal (score, subscore) the earlier is higher; if that
    is equal too, the owner whose id sorts first."""
    count: int
    """Rises with each change of this owner in this table: of two puts the higher count wins, whichever comes first."""
    removed: bool = False
    """Not ranked, but remembered, so that an older put does not bring it back."""


class RankTable(Struct, frozen=True):
    """What is ranked. The direction of a name never changes."""

    name: str
    """Unique in its scope, as ``arena/2026-11-26T00:00Z``."""
    lowest_first: bool = False
    """Else the highest score has rank 1."""


class Ranked(Struct, frozen=True):
    """A standing and its rank, from 1; no two owners share one."""

    rank: int
    standing: Standing


class Page(Struct, frozen=True):
    """Part of a table at one instant, in rank order."""

    size: int
    """Ranked owners in the whole table."""
    entries: list[Ranked]


class Placed(Struct, frozen=True):
    """What a put did to the rank of an owner. A put that is not newer than what is known leaves both the same."""

    rank: int
    """After it; 0: not ranked (removed)."""
    was: int
    """Before it; 0: not ranked."""


class Top(Struct, frozen=True, tag=True):
    """Read ``limit`` (1 to PAGE_LIMIT) entries after the first ``start``."""

    start: int
    limit: int


class Around(Struct, frozen=True, tag=True):
    """Read ``limit`` (1 to PAGE_LIMIT) entries with the owner in the middle, ``limit // 2`` of them above.

    At both ends of the table the window is shifted, so that it is full where the table has enough. For an owner
    without a rank it is empty.
    """

    owner: str
    limit: int


class Of(Struct, frozen=True, tag=True):
    """Read those of ``owners`` (at most PAGE_LIMIT) that are ranked, each once."""

    owners: Sequence[str]


class Incomplete(Exception):
    """The table may lack standings: it is to be filled from the truth (``begin``, ``put``, ``finish``)."""


class RanksDown(Exception):
    """The index did not answer. Whether it did what was asked is unknown; every call may be repeated."""


class Ranks(Protocol):
    """Ranked tables, open between ``__aenter__`` and ``__aexit__`` of ``open_ranks``.

    A table that nobody has filled is incomplete, not empty. A standing is placed, and a page read, at one instant.
    Every method may raise RanksDown, in about two seconds for each 100 standings at most; none hangs.
    """

    async def put(self, table: RankTable, standings: Sequence[Standing], *, filling: bool = False) -> list[Placed]:
        """Place ``standings`` (at most PUT_LIMIT), one after the other; says where each then was.

        Idempotent, and in any order: ``Standing.count`` decides. With ``filling`` it neither ranks nor complains, the
        answer is empty: cheaper, for whoever does not ask for ranks.

        Raises:
            Incomplete: they are placed, but the ranks are not known. Never with ``filling``, nor for no standings.
        """
        ...

    async def read(self, table: RankTable, what: Top | Around | Of) -> Page:
        """A page of the table.

        Raises:
            Incomplete: ranks are not known.
        """
        ...

    async def begin(self, table: RankTable) -> str:
        """Forget the table and start filling it: a token for ``finish``. A fill that was under way is over.

        What is read of the truth from now on has to be put, and what is committed from now on is put by whoever
        commits it; nothing from before is needed.
        """
        ...

    async def finish(self, table: RankTable, token: str, through_us: int) -> bool:
        """The table is complete now, with the watermark ``through_us``. Asked again, it answers the same.

        False: begin again. Another fill has begun, or the index has (or may have) lost something since ``begin`` of
        this token. A connection that was lost in between counts as that: the index may have come back older.
        """
        ...

    async def through(self, table: RankTable) -> int | None:
        """The watermark: everything committed up to here, in microseconds since the epoch, is certainly in.

        None: the table is incomplete. It stands in the index beside what it vouches for, and is restored with it.
        """
        ...

    async def advance(self, table: RankTable, expected_us: int, through_us: int) -> bool:
        """Move the watermark from ``expected_us`` to ``through_us``; True if it is there now.

        The caller has, since it learned ``expected_us`` from this object, put everything itself that was committed
        between the two.

        False, and nothing is changed: the watermark is another one, the table is incomplete, or the index may have
        become older since this object last told the watermark (``through``, ``finish`` or ``advance``).
        """
        ...

    async def drop(self, table: RankTable) -> None:
        """Forget all of it; it is incomplete then."""
        ...


def check_put(standings: Sequence[Standing]) -> None:
    """For implementations: refuse what no caller may ask.

    Raises:
        ValueError: more than PUT_LIMIT.
    """
    if len(standings) > PUT_LIMIT:
        raise ValueError(f"a put of {len(standings)} standings; {PUT_LIMIT} are the most")


def check_read(what: Top | Around | Of) -> None:
    """For implementations: refuse what no caller may ask.

    Raises:
        ValueError: a start or a limit that makes no sense, or past PAGE_LIMIT.
    """
    if not _sensible(what):
        raise ValueError(f"no such page: {what}")


def _sensible(what: Top | Around | Of) -> bool:
    match what:
        case Top(start, limit):
            return start >= 0 and 1 <= limit <= PAGE_LIMIT
        case Around(_, limit):
            return 1 <= limit <= PAGE_LIMIT
        case Of(owners):
            return len(owners) <= PAGE_LIMIT
