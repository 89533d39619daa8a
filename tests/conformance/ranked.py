"""What the tests of ``Ranks`` share."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from os import getpid

from storage import Page, Ranks, RankTable, Standing, open_ranks

HIGHEST = RankTable("arena/2026-11-26T00:00Z")
LOWEST = RankTable("race", lowest_first=True)

_scopes = count(1)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Ranks]:
    """An index that nobody else sees; its tables are dropped afterwards."""
    async with open_ranks(url, f"test-{getpid()}-{next(_scopes)}") as ranks:
        yield ranks
        await ranks.drop(HIGHEST)
        await ranks.drop(LOWEST)


async def fill(ranks: Ranks, table: RankTable, standings: Sequence[Standing] = (), through_us: int = 1) -> None:
    """Make it complete with these."""
    token = await ranks.begin(table)
    assert await ranks.put(table, standings, filling=True) == []
    assert await ranks.finish(table, token, through_us)


def standing(
    owner: str, score: int, subscore: int = 0, at_us: int = 0, count: int = 1, *, removed: bool = False
) -> Standing:
    return Standing(owner, owner.upper(), score, subscore, at_us, count, removed)


def owners(page: Page) -> list[tuple[int, str]]:
    return [(entry.rank, entry.standing.owner) for entry in page.entries]
