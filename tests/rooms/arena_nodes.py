"""Two nodes that know the board ``arena``, and an index that may be away, late or lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from actors.leaderboards.definition import Table
from actors.leaderboards.keeper import LOOK_S
from actors.runtime import NodeOptions
from actors.runtime.host import HostOptions
from storage import Placed, RanksDown, RankTable, Standing, Top
from storage.local_ranks import LocalRanks
from tests.rooms.arena import FEATURES, SERVER, defining, said, submitting, top
from tests.support.clock import settle
from tests.support.cluster import LEASE_S, Cluster, Member

MINUTE_S = 60
ALL = Table("arena", "all", lowest_first=False)


class Index(LocalRanks):
    """The index that the nodes share, and what may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.fills = 0
        self.hold: asyncio.Event | None = None

    async def put(self, table: RankTable, standings: Sequence[Standing], *, filling: bool = False) -> list[Placed]:
        self._refuse_while_down()
        placed = await super().put(table, standings, filling=filling)
        if self.hold is not None and filling:
            await self.hold.wait()
        return placed

    async def read(self, table: RankTable, what: Any) -> Any:
        self._refuse_while_down()
        return await super().read(table, what)

    async def begin(self, table: RankTable) -> str:
        self._refuse_while_down()
        self.fills += 1
        return await super().begin(table)

    async def through(self, table: RankTable) -> int | None:
        self._refuse_while_down()
        return await super().through(table)

    async def advance(self, table: RankTable, expected_us: int, through_us: int) -> bool:
        self._refuse_while_down()
        return await super().advance(table, expected_us, through_us)

    async def drop(self, table: RankTable) -> None:
        self._refuse_while_down()
        await super().drop(table)

    def _refuse_while_down(self) -> None:
        if self.down:
            raise RanksDown("away")


class World:
    """Two nodes that know the board ``arena``."""

    def __init__(self, cluster: Cluster, index: Index) -> None:
        self.cluster = cluster
        self.index = index
        self.clock = cluster.clock
        self.north: Member
        self.south: Member

    async def begin(self, **fields: Any) -> None:
        """Start the nodes and define the board."""
        self.north = await self.cluster.start("north")
        self.south = await self.cluster.start("south")
        await self.define(**fields)
        await self.cluster.clock.advance(LOOK_S)

    async def define(self, **fields: Any) -> Any:
        return await self.said(self.north, defining(**fields))

    async def said(self, member: Member, request: Any, caller: str = SERVER) -> Any:
        """See ``said`` of tests.rooms.arena."""
        return await said(self.cluster, member, request, caller)

    async def top(self, member: Member, *, period: str | None = None) -> list[Any]:
        """See ``top`` of tests.rooms.arena."""
        return await top(self.cluster, member, period=period)

    async def play(self, member: Member, scores: dict[str, int]) -> list[Any]:
        """Have each player submit, all at once."""
        heard = [member.ask(submitting(score), player) for player, score in scores.items()]
        await settle()
        while any(each.answer is None for each in heard):
            await self.clock.advance(0.05)
        return [each.reply for each in heard]

    async def indexed(self, table: Table = ALL) -> list[tuple[int, str, int]]:
        """The first places as the index itself has them; nobody is told that they were looked at."""
        page = await LocalRanks.read(self.index, table.ranks, Top(0, 100))
        return [(each.rank, each.standing.owner, each.standing.score) for each in page.entries]


@asynccontextmanager
async def playing() -> AsyncIterator[World]:
    """A world whose nodes are not up yet (``World.begin``)."""
    index = Index()
    cluster = Cluster(FEATURES, NodeOptions(lease_s=LEASE_S, verify=True, host=HostOptions(idle_s=30)))
    cluster.ranks = index
    async with cluster.running():
        yield World(cluster, index)
