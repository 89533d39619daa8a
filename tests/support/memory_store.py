"""A store in memory, and the faults that a node may meet on its way to any store.

``MemoryStore`` is the SQLite engine on a database without a file, run on the event loop: no threads, so a test with a
``FakeClock`` is the same at every run. It passes tests/conformance like every engine.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import time_ns
from typing import Any, Literal, TypeVar

from storage import (
    ActorWrite,
    CommitResult,
    DueTimer,
    EventRange,
    EventRow,
    Migration,
    NodeRow,
    OwnedElsewhere,
    Position,
    Snapshot,
    Store,
    StoreDown,
)
from storage.migrations import pending
from storage.schema import with_core
from storage.sqlite import SqliteStore
from storage.sqlite_link import FAILURES, SqliteThread, translated
from storage.sqlite_migrations import checked

T = TypeVar("T")
Method = Literal["claim", "commit", "read_events", "positions", "due", "renew", "select"]


def system_ms() -> int:
    """The machine's clock, in milliseconds since the Unix epoch."""
    return time_ns() // 1_000_000


class MemoryStore(SqliteStore):
    """See ``Store``. Several nodes may share one; ``now_ms`` is the database's clock.

    Without ``gives_way`` no method waits for anything, not even for its turn: who calls decides when it happens.
    """

    def __init__(
        self,
        rooms: Mapping[str, Sequence[Migration]] | None = None,
        now_ms: Callable[[], int] = system_ms,
        *,
        gives_way: bool = True,
    ) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        # The two functions that the engine asks for the time; a little is added so that no millisecond is rounded off.
        self._db.create_function("unixepoch", 1, lambda _: (now_ms() + 0.1) / 1000)
        self._db.create_function("julianday", 1, lambda _: (now_ms() + 0.1) / 86_400_000 + 2_440_587.5)
        for step in pending(with_core(rooms or {}), []):
            self._db.execute(checked(step.migration.sql))
        inline = _Inline(self._db, gives_way=gives_way)
        super().__init__(inline, inline)

    def close(self) -> None:
        """Forget everything."""
        self._db.close()


class _Inline(SqliteThread):
    """Work on the loop itself; gives way once first, as every engine does."""

    def __init__(self, db: sqlite3.Connection, *, gives_way: bool) -> None:
        self._db = db
        self._gives_way = gives_way

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._gives_way:
            await asyncio.sleep(0)
        try:
            return work(self._db)
        except FAILURES as error:
            raise translated(error) from error


class Hold:
    """Calls that are kept waiting: ``reached`` once the first of them is there."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.over = asyncio.Event()

    async def wait(self) -> None:
        self.reached.set()
        await self.over.wait()


class StoreLink:
    """One node's way to a store, and what may happen on it: nothing answers, a call or its answer is lost or late."""

    def __init__(self, store: Store) -> None:
        self.down = False
        """Nothing reaches the store."""
        self.calls: list[Method] = []
        """What has been asked for, in order, also what was lost."""
        self._store = store
        self._lost: dict[Method, deque[bool]] = {}
        self._before: dict[Method, Hold] = {}
        self._after: dict[Method, Hold] = {}

    # Faults.
    def lose_next(self, method: Method, *, applied: bool) -> None:
        """The next call ends in StoreDown, either before it reached the store or after it was ``applied``."""
        self._lost.setdefault(method, deque()).append(applied)

    @contextmanager
    def holding(self, method: Method, *, applied: bool = False) -> Iterator[Hold]:
        """Within the block calls wait, before they reach the store or, ``applied``, with their answer."""
        holds = self._after if applied else self._before
        hold = holds[method] = Hold()
        try:
            yield hold
        finally:
            del holds[method]
            hold.over.set()

    # Store.
    async def claim(self, node: str, actors: Sequence[str]) -> list[Snapshot | OwnedElsewhere]:
        return await self._call("claim", lambda: self._store.claim(node, actors))

    async def commit(self, writes: Sequence[ActorWrite]) -> list[CommitResult]:
        return await self._call("commit", lambda: self._store.commit(writes))

    async def read_events(self, span: EventRange) -> list[EventRow]:
        return await self._call("read_events", lambda: self._store.read_events(span))

    async def positions(self, topics: Sequence[str]) -> dict[str, Position]:
        return await self._call("positions", lambda: self._store.positions(topics))

    async def due(
        self, shards: Sequence[int], *, timers_until_ms: int, tells_until_ms: int | None, limit: int
    ) -> tuple[list[DueTimer], list[str]]:
        def ask() -> Awaitable[tuple[list[DueTimer], list[str]]]:
            return self._store.due(shards, timers_until_ms=timers_until_ms, tells_until_ms=tells_until_ms, limit=limit)

        return await self._call("due", ask)

    async def renew(self, node: NodeRow, lease_s: float, *, held: bool = False) -> list[NodeRow]:
        return await self._call("renew", lambda: self._store.renew(node, lease_s, held=held))

    async def select(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._call("select", lambda: self._store.select(sql, values))

    async def _call(self, method: Method, ask: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(method)
        if hold := self._before.get(method):
            await hold.wait()
        lost = self._lost.get(method)
        applied = lost.popleft() if lost else None
        if self.down or applied is False:
            await asyncio.sleep(0)
            raise StoreDown(f"a fault of the test: {method} was lost")
        answer = await ask()
        if hold := self._after.get(method):
            await hold.wait()
        if applied:
            raise StoreDown(f"a fault of the test: the answer to {method} was lost")
        return answer
