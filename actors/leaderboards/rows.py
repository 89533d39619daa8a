"""Ranks from the database: of periods that are over, and while the index is away. Right, and slow for large tables."""

from collections.abc import Sequence
from itertools import accumulate

from actors.leaderboards.definition import Table
from actors.leaderboards.requests import BoardChecked
from actors.leaderboards.tables import all_after, counts_between, page_of, rows_of, size_of, standing_of
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
            return Page(size, await _ranked(store, table, owners))


async def _around(store: Store, table: Table, owner: str, limit: int, size: int) -> list[Ranked]:
    found = await _ranked(store, table, [owner])
    if not found:
        return []
    start = max(0, min(found[0].rank - 1 - limit // 2, size - limit))
    return await _from_top(store, table, Top(start, limit))


async def _from_top(store: Store, table: Table, top: Top) -> list[Ranked]:
    rows = await store.select(*page_of(table, top))
    return [Ranked(rank, standing_of(row)) for rank, row in enumerate(rows, start=top.start + 1)]


async def _ranked(store: Store, table: Table, owners: Sequence[str]) -> list[Ranked]:
    if not owners:
        return []
    rows = sorted(await store.select(*rows_of(table, owners)))
    if not rows:
        return []
    counts = dict(await store.select(*counts_between(table, [row[:4] for row in rows])))
    above = accumulate(counts.get(n, 0) for n in range(len(rows)))
    return [Ranked(count + 1, standing_of(row[4:])) for count, row in zip(above, rows, strict=True)]


async def compare(store: Store, ranks: Ranks, table: Table) -> BoardChecked:
    """Compare every row of the table with what the index says of its owner.

    Owners who differ are looked at once more: between a commit and its place in the index there is a moment.
    """
    rows, owner = 0, ""
    differing: list[str] = []
    try:
        size = (await ranks.read(table.ranks, Top(0, 1))).size
        while found := await store.select(*all_after(table, owner, PAGE_LIMIT)):
            standings = [standing_of(row) for row in found]
            rows += sum(not standing.removed for standing in standings)
            differing += await _differing(ranks, table, standings)
            owner = standings[-1].owner
        if len(differing) <= PAGE_LIMIT:
            differing = await _still_differing(store, ranks, table, differing)
    except Incomplete:
        ((count,),) = await store.select(*size_of(table))
        return BoardChecked(
            board=table.board, period=table.period, rows=count, ranked=None, different=count, examples=[]
        )
    return BoardChecked(
        board=table.board,
        period=table.period,
        rows=rows,
        ranked=size,
        different=len(differing) + max(0, size - rows),
        examples=differing[:EXAMPLES],
    )


async def _differing(ranks: Ranks, table: Table, standings: Sequence[Standing]) -> list[str]:
    page = await ranks.read(table.ranks, Of([standing.owner for standing in standings]))
    indexed = {ranked.standing.owner: ranked.standing for ranked in page.entries}
    return [each.owner for each in standings if indexed.get(each.owner) != (None if each.removed else each)]


async def _still_differing(store: Store, ranks: Ranks, table: Table, owners: Sequence[str]) -> list[str]:
    if not owners:
        return []
    rows = await store.select(*rows_of(table, owners))
    standings = {standing.owner: standing for standing in (standing_of(row[4:]) for row in rows)}
    page = await ranks.read(table.ranks, Of(owners))
    indexed = {ranked.standing.owner: ranked.standing for ranked in page.entries}
    return [owner for owner in owners if indexed.get(owner) != standings.get(owner)]
