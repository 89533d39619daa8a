"""Row locks of the simulated database: who holds which row of ``actors``, who waits for it, and who waits in a circle.

The order of locking is the product's (``storage.commits.lock_order``); how long it takes is drawn from the seed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

from storage import commits
from storage.faults import Contended
from storage.mysql_link import LOCK_WAIT_S

STEP_S = 0.02  # from one row to the next, at most


class Transaction:
    """One transaction of a node: the rows that it holds, and the one that it waits for."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.rows: list[str] = []
        self.wants: str | None = None
        self.turn: asyncio.Future[None] | None = None
        """Done when it gets what it wants."""

    def __str__(self) -> str:
        return f"{self.node} has {', '.join(self.rows)} and wants {self.wants}"


class RowLocks:
    """See the module. ``on_deadlock`` hears of every circle."""

    def __init__(self, on_deadlock: Callable[[str], None]) -> None:
        self._on_deadlock = on_deadlock
        self._holders: dict[str, Transaction] = {}
        self._queues: dict[str, deque[Transaction]] = {}
        """Who waits for a row, in the order in which they get it."""

    def free(self, actor: str) -> bool:
        """Whether nobody holds the row, nor waits for it."""
        return actor not in self._holders

    @asynccontextmanager
    async def held(self, node: str, actors: Sequence[str], random: Random) -> AsyncIterator[None]:
        """Within the block a transaction of ``node`` holds the rows of ``actors``.

        Raises:
            Contended: it would wait in a circle, or has waited too long.
        """
        mine = Transaction(node)
        try:
            for number, actor in enumerate(commits.lock_order(actors)):
                if number:
                    await asyncio.sleep(random.random() * STEP_S)
                if actor in self._holders:
                    await self._wait(mine, actor)
                else:
                    self._give(actor, mine)
            yield
        finally:
            for actor in mine.rows:
                self._let_go(actor)

    async def _wait(self, mine: Transaction, actor: str) -> None:
        mine.wants = actor
        if circle := self._circle(mine):
            text = "; ".join(map(str, circle))
            self._on_deadlock(text)
            raise Contended(text)
        turn = mine.turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(actor, deque()).append(mine)
        try:
            async with asyncio.timeout(LOCK_WAIT_S):
                await turn
        except TimeoutError as error:
            raise Contended(f"{mine}, in vain") from error

    def _circle(self, mine: Transaction) -> list[Transaction]:
        """Each waits for the next one, and the last one for ``mine``; empty if there is no such circle."""
        circle = [mine]
        while (wanted := circle[-1].wants) is not None:
            holder = self._holders[wanted]
            if holder is mine:
                return circle
            circle.append(holder)
        return []

    def _give(self, actor: str, transaction: Transaction) -> None:
        self._holders[actor] = transaction
        transaction.rows.append(actor)
        transaction.wants = None

    def _let_go(self, actor: str) -> None:
        del self._holders[actor]
        queue = self._queues.get(actor)
        while queue:
            first = queue.popleft()
            if first.turn is not None and not first.turn.done():  # else it has given up
                self._give(actor, first)
                first.turn.set_result(None)
                return
