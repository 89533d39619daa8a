"""A node's way to the database, over a network and with a server at its end that has its own life.

A call travels to the database's process, is carried out there at once and whole, and its answer travels back. A node
that stops or dies in between does not take back what it has sent; a call may also be lost, slow, carried out with its
answer lost, or carried out after the node has given it up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Any, TypeVar, cast

from msgspec import Struct

from storage import ActorWrite, CommitResult, Outcome, StoreDown
from storage.commits import only_releases
from tests.simulation.loop import Process, SimulatedLoop
from tests.support.memory_store import MemoryStore, Method, StoreLink

T = TypeVar("T")
GIVEN_UP_S = 2.0  # after which a node takes a connection without an answer for dead
Applied = Callable[[str, ActorWrite], None]
"""(node, write): the store has applied it just now, for the first time."""


class StoreTrouble(Struct):
    """How likely what goes wrong with one call."""

    refused: float = 0.0
    """It is lost on its way, or the database rolls it back (a deadlock, a lock wait)."""
    unanswered: float = 0.0
    """It is carried out, its answer is lost."""
    late: float = 0.0
    """The node gives it up, and only then it is carried out."""
    slow: float = 0.0
    """It takes up to three seconds."""


class SimulatedStore(MemoryStore):
    """The database. Every call is over when it returns; ``applied`` hears of each write that changes something."""

    def __init__(self, rooms: Any, now_ms: Callable[[], int], applied: Applied) -> None:
        super().__init__(rooms, now_ms, gives_way=False)
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

    async def commit(self, writes: Sequence[ActorWrite]) -> list[CommitResult]:
        return await self._call("commit", lambda: self._database.commit_of(self._node.name, writes))

    async def _call(self, method: Method, ask: Callable[[], Awaitable[T]]) -> T:
        loop, random, trouble = self._loop, self._random, self.trouble
        there = 0.0003 + random.random() * 0.002
        if self.down:
            await asyncio.sleep(random.random() * GIVEN_UP_S)
            raise StoreDown("simulated: the database cannot be reached")
        chance = random.random()
        if chance < trouble.refused:
            await asyncio.sleep(there)
            raise StoreDown(f"simulated: {method} was rolled back")
        if chance < trouble.refused + trouble.late:
            loop.deliver(self._server, there + random.random() * 4, self._carry_out, ask, None)
            await asyncio.sleep(random.random() * GIVEN_UP_S)
            raise StoreDown(f"simulated: {method} was given up")
        if chance > 1 - trouble.slow:
            there += random.random() * 3
        unanswered = chance < trouble.refused + trouble.late + trouble.unanswered
        answered: asyncio.Future[T] = loop.create_future()
        loop.deliver(self._server, there, self._carry_out, ask, None if unanswered else answered)
        if unanswered:
            await asyncio.sleep(there + random.random() * GIVEN_UP_S)
            raise StoreDown(f"simulated: the answer to {method} was lost")
        return await answered

    def _carry_out(self, ask: Callable[[], Awaitable[Any]], answered: "asyncio.Future[Any] | None") -> None:
        """In the database's process."""
        result, error = None, None
        try:
            result = at_once(cast("Coroutine[Any, Any, Any]", ask()))
        except StoreDown as failure:
            error = failure
        if answered is not None:
            self._loop.deliver(self._node, 0.0003 + self._random.random() * 0.002, _settle, answered, result, error)


def _settle(answered: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if answered.done():
        return  # nobody waits for it any more
    if error is not None:
        answered.set_exception(error)
    else:
        answered.set_result(result)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise AssertionError("the simulated database waits for something")
