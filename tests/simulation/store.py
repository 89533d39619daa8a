"""A node's way to the database, over a network and with a server at its end that has its own life.

A call travels to the database's process, is carried out there whole, and its answer travels back. One that writes
actors locks their rows first, and is rolled back if its node has fallen silent by then; later a node that stops or dies
does not take back what it has sent. A call may also be lost, slow, carried out with its answer lost, or carried out
after the node has given it up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from random import Random
from typing import Any, TypeVar

from msgspec import Struct

from storage import ActorWrite, CommitResult, Outcome, OwnedElsewhere, Snapshot, StoreDown
from storage.attempts import tried
from storage.commits import only_releases
from storage.faults import Contended
from storage.mysql_link import TRANSACTION_IDLE_S
from tests.simulation.locks import RowLocks
from tests.simulation.loop import Process, SimulatedLoop
from tests.support.memory_store import MemoryStore, Method, StoreLink

T = TypeVar("T")
GIVEN_UP_S = 2.0  # after which a node takes a connection without an answer for dead
Applied = Callable[[str, ActorWrite], None]
"""(node, write): the store has applied it just now, for the first time."""


class StoreTrouble(Struct):
    """How likely what goes wrong with one call."""

    refused: float = 0.0
    """It is lost on its way, or the database rolls it back."""
    unanswered: float = 0.0
    """It is carried out, its answer is lost."""
    late: float = 0.0
    """The node gives it up, and only then it is carried out."""
    slow: float = 0.0
    """It takes up to three seconds."""


class SimulatedStore(MemoryStore):
    """The database. Every call is over when it returns; ``applied`` hears of each write that changes something."""

    def __init__(self, rooms: Any, now_ms: Callable[[], int], applied: Applied, locks: RowLocks) -> None:
        super().__init__(rooms, now_ms, gives_way=False)
        self.locks = locks
        """For whoever calls."""
        self._applied = applied
        self._seen: set[tuple[str, str, int, int]] = set()

    async def commit_of(self, node: str, writes: Sequence[ActorWrite]) -> list[CommitResult]:
        """``commit`` of a node; what was applied by an earlier try is told only once."""
        results = await self.commit(writes)
        for write, result in zip(writes, results, strict=True):
            key = (node, write.actor, write.fence, write.version)
            if result is Outcome.DONE and key not in self._seen and not only_releases(write):
                self._seen.add(key)
                self._applied(node, write)
        return results

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """For whoever looks from outside, in the end."""
        return self._db.execute(sql, values).fetchall()


class SimulatedStoreLink(StoreLink):
    """See the module."""

    def __init__(
        self, store: SimulatedStore, server: Process, loop: SimulatedLoop, node: Process, random: Random
    ) -> None:
        super().__init__(store)
        self.trouble = StoreTrouble()
        self._database = store
        self._server = server
        self._loop = loop
        self._node = node
        self._random = random

    async def claim(self, node: str, actors: Sequence[str]) -> list[Snapshot | OwnedElsewhere]:
        return await self._transact("claim", actors, lambda: self._database.claim(node, actors))

    async def commit(self, writes: Sequence[ActorWrite]) -> list[CommitResult]:
        actors = [write.actor for write in writes]
        return await self._transact("commit", actors, lambda: self._database.commit_of(self._node.name, writes))

    async def _transact(self, method: Method, actors: Sequence[str], ask: Callable[[], Awaitable[T]]) -> T:
        """As the product does it with MySQL."""
        return await tried(lambda: self._call(method, ask, actors), random=self._random, sleep=asyncio.sleep)

    async def _call(self, method: Method, ask: Callable[[], Awaitable[T]], actors: Sequence[str] = ()) -> T:
        loop, random, trouble = self._loop, self._random, self.trouble
        there = 0.0003 + random.random() * 0.002
        if self.down:
            await asyncio.sleep(random.random() * GIVEN_UP_S)
            raise StoreDown("simulated: the database cannot be reached")
        chance = random.random()
        if chance < trouble.refused:
            await asyncio.sleep(there)
            raise StoreDown(f"simulated: {method} was rolled back")
        carry_out = partial(self._begin, actors) if actors else self._carry_out
        if chance < trouble.refused + trouble.late:
            loop.deliver(self._server, there + random.random() * 4, carry_out, ask, None)
            await asyncio.sleep(random.random() * GIVEN_UP_S)
            raise StoreDown(f"simulated: {method} was given up")
        if chance > 1 - trouble.slow:
            there += random.random() * 3
        unanswered = chance < trouble.refused + trouble.late + trouble.unanswered
        answered: asyncio.Future[T] = loop.create_future()
        loop.deliver(self._server, there, carry_out, ask, None if unanswered else answered)
        if unanswered:
            await asyncio.sleep(there + random.random() * GIVEN_UP_S)
            raise StoreDown(f"simulated: the answer to {method} was lost")
        return await answered

    # In the database's process.
    def _begin(
        self, actors: Sequence[str], ask: Callable[[], Awaitable[Any]], answered: "asyncio.Future[Any] | None"
    ) -> None:
        if len(actors) == 1 and self._database.locks.free(actors[0]) and not self._silent:
            self._carry_out(ask, answered)  # what follows would come to the same, and most transactions are such
            return
        _ = self._loop.create_task(self._lock_and_carry_out(actors, ask, answered))

    async def _lock_and_carry_out(
        self, actors: Sequence[str], ask: Callable[[], Awaitable[Any]], answered: "asyncio.Future[Any] | None"
    ) -> None:
        try:
            async with self._database.locks.held(self._node.name, actors, self._random):
                if answered is not None and self._silent:
                    await asyncio.sleep(TRANSACTION_IDLE_S)
                    if self._silent:
                        raise StoreDown("simulated: rolled back, the node has fallen silent")
                self._carry_out(ask, answered)
        except (Contended, StoreDown) as failure:
            self._answer(answered, None, failure)

    @property
    def _silent(self) -> bool:
        """Whether the second packet of a transaction does not come: the node has stopped or died."""
        return self._node.paused or self._node.dead

    def _carry_out(self, ask: Callable[[], Awaitable[Any]], answered: "asyncio.Future[Any] | None") -> None:
        result, error = None, None
        try:
            result = at_once(ask())
        except StoreDown as failure:
            error = failure
        self._answer(answered, result, error)

    def _answer(self, answered: "asyncio.Future[Any] | None", result: Any, error: Exception | None) -> None:
        if answered is not None:
            self._loop.deliver(self._node, 0.0003 + self._random.random() * 0.002, _settle, answered, result, error)


def _settle(answered: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if answered.done():
        return  # nobody waits for it any more
    if error is not None:
        answered.set_exception(error)
    else:
        answered.set_result(result)


def at_once(work: Awaitable[T]) -> T:
    """The result of a coroutine that waits for nothing."""
    assert isinstance(work, Coroutine)
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the simulated database waits for something")
