"""Ranks from the database: of periods that are over, and while the index is away. Right, and slow for large tables."""

from actors.leaderboards.definition import Table
from actors.leaderboards.requests import BoardChecked
from actors.leaderboards.tables import all_after, better_than, page_of, rows_of, size_of, standing_of
from storage import Around, Incomplete, Of, Page, Ranked, Ranks, Standing, Store, Top
from storage.ranks import PAGE_LIMIT

EXAMPLES = 10  # owners named by a comparison


async def page_by_rows(store: Store, table: Table, what: Top | Around | Of) -> Page:
    """What ``Ranks.read`` would answer; not at one instant where scores are still coming."""
    ((size,),) = await store.select(*size_of(table))
    match what:
        case Top():
            return Page(size, await _from_top(store, table, what))
        case Around(owner, limit):
            return Page(size, await _around(store, table, owner, limit, size))
        case Of(owners):
            rows = await store.select(*rows_of(table, owners))
            entries = [await _ranked(store, table, standing_of(row)) for row in rows]
            return Page(size, sorted(entries, key=lambda ranked: ranked.rank))


async def _around(store: Store, table: Table, owner: str, limit: int, size: int) -> list[Ranked]:
    rows = await store.select(*rows_of(table, [owner]))
    if not rows:
        return []
    rank = (await _ranked(store, table, standing_of(rows[0]))).rank
    start = max(0, min(rank - 1 - limit // 2, size - limit))
    return await _from_top(store, table, Top(start, limit))


async def _from_top(store: Store, table: Table, top: Top) -> list[Ranked]:
    rows = await store.select(*page_of(table, top))
    return [Ranked(rank, standing_of(row)) for rank, row in enumerate(rows, start=top.start + 1)]


async def _ranked(store: Store, table: Table, standing: Standing) -> Ranked:
    ((better,),) = await store.select(*better_than(table, standing))
    return Ranked(better + 1, standing)


async def compare(store: Store, ranks: Ranks, table: Table) -> BoardChecked:
    """Compare every row of the table with what the index says of its owner."""
    rows, different, examples = 0, 0, []
    owner = ""
    try:
        size = (await ranks.read(table.ranks, Top(0, 1))).size
        while found := await store.select(*all_after(table, owner, PAGE_LIMIT)):
            standings = [standing_of(row) for row in found]
            page = await ranks.read(table.ranks, Of([standing.owner for standing in standings]))
            indexed = {ranked.standing.owner: ranked.standing for ranked in page.entries}
            for standing in standings:
                rows += not standing.removed
                if indexed.get(standing.owner) != (None if standing.removed else standing):
                    different += 1
                    examples.append(standing.owner)
            owner = standings[-1].owner
    except Incomplete:
        ((count,),) = await store.select(*size_of(table))
        return BoardChecked(
            board=table.board, period=table.period, rows=count, ranked=None, different=count, examples=[]
        )
    different += max(0, size - rows)
    return BoardChecked(
        board=table.board,
        period=table.period,
        rows=rows,
        ranked=size,
        different=different,
        examples=examples[:EXAMPLES],
    )
