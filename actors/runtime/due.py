"""Finds what is due for actors that are not in memory: timers, and tells whose sender died before delivering them.

Each node looks after its share (by rendezvous hash) of ``SHARDS`` parts: for timers every ``LOOK_S`` seconds, for tells
every ``TELLS_EVERY`` looks, since they wait for their sender first. A node at rest makes under two queries a second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from actors.runtime.clock import Clock
from actors.runtime.mailbox import Answer
from actors.runtime.membership import Membership
from actors.runtime.router import Router
from storage import SHARDS, DueTimer, Store, StoreDown

log = structlog.get_logger()
LOOK_S = 2.0
TELLS_EVERY = 3  # looks
AHEAD_MS = 2_000  # timers due before the next look are fetched now and fired when they are due
STALE_MS = 5_000  # age of a tell after which its sender is taken to be gone
LIMIT = 500  # timers, and tells, in one look


class DuePoller:
    """Fires due timers and wakes actors whose outbox was left behind."""

    def __init__(self, *, store: Store, membership: Membership, router: Router, clock: Clock) -> None:
        self._store = store
        self._membership = membership
        self._router = router
        self._clock = clock
        self._under_way: set[tuple[str, str, int]] = set()
        self._looks = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look again and again until the context is left."""
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._run(tasks), name="due")
            try:
                yield
            finally:
                looking.cancel()

    async def _run(self, tasks: asyncio.TaskGroup) -> None:
        failed = False
        while True:
            await self._clock.sleep(LOOK_S)
            if not self._membership.serving:
                continue
            try:
                await self.look(tasks)
                failed = False
            except StoreDown as error:
                if not failed:
                    log.warning("due.look_failed", reason=str(error))
                failed = True

    async def look(self, tasks: asyncio.TaskGroup) -> None:
        """One look at this node's share."""
        node = self._membership.node
        shards = [n for n in range(SHARDS) if self._membership.owner_by_hash(f"shard:{n}") == node]
        if not shards:
            return
        now_ms = self._clock.now_ms()
        with_tells = self._looks % TELLS_EVERY == 0
        self._looks += 1
        timers, tellers = await self._store.due(
            shards,
            timers_until_ms=now_ms + AHEAD_MS,
            tells_until_ms=now_ms - STALE_MS if with_tells else None,
            limit=LIMIT,
        )
        for due in timers:
            key = (due.actor, due.timer.name, due.timer.due_ms)
            if key not in self._under_way:
                self._under_way.add(key)
                tasks.create_task(self._fire(due, key), name="timer")
        for actor in tellers:
            self._router.wake(actor)

    async def _fire(self, due: DueTimer, key: tuple[str, str, int]) -> None:
        wait_ms = due.timer.due_ms - self._clock.now_ms()
        if wait_ms > 0:
            await self._clock.sleep(wait_ms / 1000)
        self._router.fire(due, lambda answer: self._fired(key, answer))

    def _fired(self, key: tuple[str, str, int], answer: Answer) -> None:
        self._under_way.discard(key)
        if answer.error is not None:
            log.warning(
                "timer.not_fired",
                actor=key[0],
                timer=key[1],
                code=answer.error.code,
                reason=str(answer.error),
            )
