"""Finds what is due for actors that are not in memory: timers, and tells whose sender died before delivering them.

Each node looks after its share (by rendezvous hash) of ``SHARDS`` parts: for timers every ``LOOK_S`` seconds, for tells
every ``TELLS_EVERY`` looks, since they wait for their sender first, and in the next one when somebody has died. A node
at rest makes under two queries a second.

A timer that was not fired is left alone for a while that doubles with each failure, and takes no other timer's place in
a look meanwhile. One whose turn has failed ``TRIES`` times for a defect is set aside by its actor: it stays visible in
the table and is not met any more (``actors.runtime.aside``). Failures are counted in the memory of the node that looks
after the timer: when that is another one, the count begins anew, so a timer may be tried more often, never less.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from msgspec import structs

from actors.runtime.answer import Answer
from actors.runtime.clock import Clock
from actors.runtime.membership import Change, Membership
from actors.runtime.router import Router
from protocol import Defect
from storage import SHARDS, DueTimer, Store, StoreDown

log = structlog.get_logger()
LOOK_S = 2.0
TELLS_EVERY = 3  # looks
AHEAD_MS = 2_000  # timers due before the next look are fetched now and fired when they are due
STALE_MS = 5_000  # age of a tell after which its sender is taken to be gone
LIMIT = 500  # timers, and senders of tells, in one look; besides those that it has met before
MOST = 10_000  # of them all; while more than so many fail, those due later wait until some were set aside
TRIES = 5  # of a timer whose turn fails for a defect, before it is set aside: half a minute with the pauses
PAUSE_S = 2.0  # after the first failure
LONGEST_S = 16.0  # of the pauses: so late a timer may be that could not be fired during an outage


Key = tuple[str, str, int]
"""Actor, name and due time of a timer: one firing."""


class _Firing:
    """A timer that is being fired, or was not fired and is to be again."""

    __slots__ = ("again_at", "defects", "failed", "failures", "under_way")

    def __init__(self) -> None:
        self.under_way = False
        self.again_at = 0.0
        self.failures = 0
        """How often it was not fired, for whatever reason. One that its turn refused is done with: no look finds it."""
        self.defects = 0
        self.failed: str | None = None
        """Why it is to be set aside; None while it is to be fired."""


class DuePoller:
    """Fires due timers and wakes actors whose outbox was left behind."""

    def __init__(self, *, store: Store, membership: Membership, router: Router, clock: Clock) -> None:
        self._store = store
        self._membership = membership
        self._router = router
        self._clock = clock
        self._firings: dict[Key, _Firing] = {}
        self._looks = 0
        self._orphans = False
        """Whether somebody has died or lost its lease, or the store was away: what is left behind need not grow old."""
        self._woken = 0
        """Senders that the last look for tells has found: where they are stuck, the next one looks behind them."""

        membership.on_change(self._changed)
        membership.on_lapse(self._lapsed)

    def _changed(self, change: Change) -> None:
        self._orphans = self._orphans or bool(change.gone)

    def _lapsed(self) -> None:
        self._orphans = True

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
                failed = self._orphans = True

    async def look(self, tasks: asyncio.TaskGroup) -> None:
        """One look at this node's share."""
        node = self._membership.node
        shards = [n for n in range(SHARDS) if self._membership.owner_by_hash(f"shard:{n}") == node]
        if not shards:
            return
        now_ms = self._clock.now_ms()
        orphans, self._orphans = self._orphans, False
        with_tells = orphans or self._looks % TELLS_EVERY == 0
        self._looks += 1
        timers, tellers = await self._store.due(
            shards,
            timers_until_ms=now_ms + AHEAD_MS,
            tells_until_ms=now_ms - (0 if orphans else STALE_MS) if with_tells else None,
            limit=min(LIMIT + max(sum(firing.failures > 0 for firing in self._firings.values()), self._woken), MOST),
        )
        found = {(due.actor, due.timer.name, due.timer.due_ms): due for due in timers}
        self._firings = {key: known for key, known in self._firings.items() if known.under_way or key in found}
        now = self._clock.monotonic()
        for key, due in found.items():
            firing = self._firings.setdefault(key, _Firing())
            if not firing.under_way and firing.again_at <= now:
                firing.under_way = True
                tasks.create_task(self._fire(due, key, firing), name="timer")
        if with_tells:
            self._woken = len(tellers)
        for actor in tellers:
            self._router.wake(actor)

    async def _fire(self, due: DueTimer, key: Key, firing: _Firing) -> None:
        wait_ms = due.timer.due_ms - self._clock.now_ms()
        if wait_ms > 0:
            await self._clock.sleep(wait_ms / 1000)
        if firing.failed is not None:
            due = DueTimer(due.actor, structs.replace(due.timer, failed=firing.failed))
        self._router.fire(due, lambda answer: self._fired(key, firing, answer))

    def _fired(self, key: Key, firing: _Firing, answer: Answer) -> None:
        firing.under_way = False
        actor, timer, _ = key
        error = answer.error
        if error is None and firing.failed is not None:
            log.error("timer.set_aside", actor=actor, timer=timer, reason=firing.failed)
        if error is not None:
            log.warning("timer.not_fired", actor=actor, timer=timer, code=error.code, reason=str(error))
        if error is None:
            self._firings.pop(key, None)
            return
        firing.again_at = self._clock.monotonic() + min(PAUSE_S * float(1 << min(firing.failures, 16)), LONGEST_S)
        firing.failures += 1
        if error.code == Defect.code and firing.failed is None:
            firing.defects += 1
            if firing.defects >= TRIES:
                firing.failed = f"{error.code} under trace {error.trace}"
                firing.again_at = 0.0
