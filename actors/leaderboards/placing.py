"""Placing standings in the index, many in one call: what a group commit has released comes in one turn of the loop."""

import asyncio

from actors.leaderboards.definition import Table
from storage import Incomplete, Placed, Ranks, RanksDown, Standing

AT_ONCE = 200  # standings in one call; about 6 ms in process


class Placing:
    """Calls of ``place`` in one turn of the loop are one ``Ranks.put`` a table, made by the first of them."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._gathering: dict[Table, _Batch] = {}

    async def place(self, table: Table, standing: Standing) -> Placed:
        """``Ranks.put`` of one standing.

        Raises:
            Incomplete, RanksDown: as there.
        """
        batch = self._gathering.get(table)
        if batch is not None and len(batch.standings) < AT_ONCE:
            batch.standings.append(standing)
            number = len(batch.standings) - 1
            return (await asyncio.shield(batch.placed))[number]
        batch = self._gathering[table] = _Batch(standing)
        try:
            await asyncio.sleep(0)  # noqa: TID251 - no time passes, the others of this turn come in
            if self._gathering.get(table) is batch:
                del self._gathering[table]
            placed = await self._ranks.put(table.ranks, batch.standings)
        except (Incomplete, RanksDown) as error:
            batch.fail(error)
            raise
        except BaseException:
            batch.fail(RanksDown("whoever asked has given up"))
            raise
        batch.placed.set_result(placed)
        return placed[0]


class _Batch:
    def __init__(self, first: Standing) -> None:
        self.standings = [first]
        self.placed: asyncio.Future[list[Placed]] = asyncio.get_running_loop().create_future()

    def fail(self, error: Incomplete | RanksDown) -> None:
        self.placed.set_exception(type(error)(*error.args))
        self.placed.exception()  # seen: nobody else may be waiting
