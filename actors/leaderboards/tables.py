"""The tables of leaderboards: the truth that the rank index follows. Rows and statements, no I/O.

``place`` and ``subplace`` are the scores so turned that a lower number is a higher rank in either order, so that one
query serves both: ``~score`` is ``-score - 1``, and has no overflow where ``-score`` has one.
"""

from collections.abc import Sequence
from typing import Any

from actors.leaderboards.definition import Table
from storage import Standing, Top

BOARDS = """
CREATE TABLE leaderboard_boards (
    board VARCHAR(64) NOT NULL PRIMARY KEY,
    body MEDIUMBLOB NOT NULL
)
"""

PERIODS = """
CREATE TABLE leaderboard_periods (
    board VARCHAR(64) NOT NULL,
    period VARCHAR(32) NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT NOT NULL,
    PRIMARY KEY (board, period)
)
"""

ENTRIES = """
CREATE TABLE leaderboard_entries (
    board VARCHAR(64) NOT NULL,
    period VARCHAR(32) NOT NULL,
    owner VARCHAR(64) NOT NULL,
    name VARCHAR(64) NOT NULL,
    score BIGINT NOT NULL,
    subscore BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    changes BIGINT NOT NULL,
    removed INT NOT NULL,
    place BIGINT NOT NULL,
    subplace BIGINT NOT NULL,
    data MEDIUMBLOB NULL,
    PRIMARY KEY (board, period, owner)
)
"""

STATEMENTS = tuple(sql.strip() for sql in (BOARDS, PERIODS, ENTRIES))
"""No index beside the key: each would cost every submission more than all readings together, which go through the rank
index. What reads the table otherwise goes through all of a period."""

ALL_BOARDS = "SELECT board, body FROM leaderboard_boards ORDER BY board"
PAST = "SELECT period, started_ms, ended_ms FROM leaderboard_periods WHERE board = ? ORDER BY ended_ms DESC LIMIT ?"

Query = tuple[str, list[Any]]
_STANDING = "owner, name, score, subscore, at_us, changes, removed"


def entry_row(table: Table, standing: Standing, packed: bytes | None) -> dict[str, Any]:
    """The row of a standing."""
    return {
        "board": table.board,
        "period": table.period,
        "owner": standing.owner,
        "name": standing.name,
        "score": standing.score,
        "subscore": standing.subscore,
        "at_us": standing.at_us,
        "changes": standing.count,
        "removed": int(standing.removed),
        "place": _place(table, standing.score),
        "subplace": _place(table, standing.subscore),
        "data": packed,
    }


def standing_of(row: Sequence[Any]) -> Standing:
    """The standing of (owner, name, score, subscore, at_us, changes, removed)."""
    owner, name, score, subscore, at_us, changes, removed = row
    return Standing(owner, name, score, subscore, at_us, changes, bool(removed))


# What a fill reads: everything, or what has changed lately; also standings that were removed.
def all_after(table: Table, owner: str, limit: int, *, since_us: int = 0) -> Query:
    """Standings that have changed since ``since_us``, in the order of their owners."""
    return _standings(table, "AND owner > ? AND at_us >= ? ORDER BY owner LIMIT ?", owner, since_us, limit)


# Ranks without the index: of old periods, and while the index is away.
def size_of(table: Table) -> Query:
    """How many are ranked."""
    sql = "SELECT COUNT(*) FROM leaderboard_entries WHERE board = ? AND period = ? AND removed = 0"
    return sql, [table.board, table.period]


def page_of(table: Table, top: Top) -> Query:
    """A page from the top."""
    order = "AND removed = 0 ORDER BY place, subplace, at_us, owner LIMIT ? OFFSET ?"
    return _standings(table, order, top.limit, top.start)


def rows_of(table: Table, owners: Sequence[str]) -> Query:
    """The ranked ones among ``owners``: (place, subplace, at_us, owner), by which they sort as they rank, then what
    ``standing_of`` takes. In a period from before its board got another order, the places still follow that one."""
    columns = f"place, subplace, at_us, owner, {_STANDING}"
    marks = ", ".join("?" * len(owners))
    sql = f"SELECT {columns} FROM leaderboard_entries WHERE board = ? AND period = ? AND removed = 0 AND owner IN ({marks})"  # noqa: S608, E501
    return sql, [table.board, table.period, *owners]


def counts_between(table: Table, keys: Sequence[tuple[int, int, int, str]]) -> Query:
    """(n, count): how many stand below key n - 1 and above key n, of keys in rising order; one reading for all."""
    above = "place < ? OR (place = ? AND (subplace < ? OR (subplace = ? AND (at_us < ? OR (at_us = ? AND owner < ?)))))"
    cases = " ".join(f"WHEN {above} THEN {n}" for n in range(len(keys)))
    sql = (
        f"SELECT CASE {cases} ELSE {len(keys)} END AS n, COUNT(*) FROM leaderboard_entries"  # noqa: S608
        " WHERE board = ? AND period = ? AND removed = 0 GROUP BY n"
    )
    values = [
        value
        for place, subplace, at_us, owner in keys
        for value in (place, place, subplace, subplace, at_us, at_us, owner)
    ]
    return sql, [*values, table.board, table.period]


def _standings(table: Table, which: str, *values: Any) -> Query:
    sql = f"SELECT {_STANDING} FROM leaderboard_entries WHERE board = ? AND period = ? {which}"  # noqa: S608
    return sql, [table.board, table.period, *values]


def _place(table: Table, score: int) -> int:
    return score if table.lowest_first else ~score
