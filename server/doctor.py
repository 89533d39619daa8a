"""``guildhall doctor``: whether what is kept in two places agrees. It looks and changes nothing.

Leaderboards: the database holds the truth, the index the ranks. What else it looks for: ``doctor_rows``.
"""

from msgspec import Struct

from actors.leaderboards import BoardChecked, Table, boards_of, compare
from storage import Ranks, RanksDown, Store

ALL_BOARDS = "SELECT board, body FROM leaderboard_boards ORDER BY board"
ROWS = "SELECT COUNT(*) FROM leaderboard_entries WHERE board = ? AND period = ? AND removed = 0"


class Finding(Struct, frozen=True):
    """One line for an operator; ``well`` where there is nothing to do."""

    text: str
    well: bool


async def look_at_boards(store: Store, ranks: Ranks | None, now_ms: int) -> list[Finding]:
    """Compare every board's present period; ``ranks`` None: the index is in the memory of a node."""
    found = []
    for board in boards_of(await store.select(ALL_BOARDS)).values():
        table = board.table(board.span(now_ms).name)
        if ranks is None:
            ((rows,),) = await store.select(ROWS, (table.board, table.period))
            where = f"its index is in the node's memory: ask GET /v1/leaderboards/{table.board}/check"
            found.append(Finding(f"leaderboard {_name(table)}: {rows} in the database; {where}", well=True))
            continue
        try:
            found.append(_told(table, await compare(store, ranks, table)))
        except RanksDown as error:
            found.append(Finding(f"leaderboard {_name(table)}: the index does not answer: {error}", well=False))
    return found


def _told(table: Table, checked: BoardChecked) -> Finding:
    if checked.ranked is None:
        text = f"{checked.rows} in the database, the index does not know; a node fills it within seconds"
        return Finding(f"leaderboard {_name(table)}: {text}", well=not checked.rows)
    text = f"{checked.rows} in the database, {checked.ranked} in the index, {checked.different} different"
    if checked.examples:
        text += f", e.g. {', '.join(checked.examples)}"
    return Finding(f"leaderboard {_name(table)}: {text}", well=not checked.different)


def _name(table: Table) -> str:
    return f"{table.board}, period {table.period}"
