"""Placing standings in the index, many in one call: what a group commit has released comes in one turn of the loop."""

import asyncio

from actors.leaderboards.definition import Table
from storage import Incomplete, Placed, Ranks, RanksDown, Standing

AT_ONCE = 200  # standings in one call; about 6 ms in process


class Placing:
    """Calls of ``place`` in one turn of the loop are one ``Ranks.put`` a table."""

    def __init__(self, ranks: Ranks, tasks: asyncio.TaskGroup) -> None:
        self._ranks = ranks
        self._tasks = tasks
        self._waiting: dict[Table, list[tuple[Standing, asyncio.Future[Placed]]]] = {}

    async def place(self, table: Table, standing: Standing) -> Placed:
        """``Ranks.put`` of one standing.

        Raises:
            Incomplete, RanksDown: as there.
        """
        loop = asyncio.get_running_loop()
        placed: asyncio.Future[Placed] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._start)
        self._waiting.setdefault(table, []).append((standing, placed))
        return await placed

    def _start(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for table, pairs in waiting.items():
            for start in range(0, len(pairs), AT_ONCE):
                self._tasks.create_task(self._put(table, pairs[start : start + AT_ONCE]), name="ranks-put")

    async def _put(self, table: Table, pairs: list[tuple[Standing, asyncio.Future[Placed]]]) -> None:
        try:
            answers = await self._ranks.put(table.ranks, [standing for standing, _ in pairs])
        except (Incomplete, RanksDown) as error:
            for _, placed in pairs:
                if not placed.done():
                    placed.set_exception(type(error)(*error.args))
            return
        for (_, placed), answer in zip(pairs, answers, strict=True):
            if not placed.done():
                placed.set_result(answer)
