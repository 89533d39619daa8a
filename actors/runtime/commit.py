"""Group commit: the turns of many actors in one transaction, the next batch when the last one has ended.

No idle delay at low load, large batches under load. Lanes (by hash of the actor) commit in parallel; an actor is always
in the same lane, so its commits form one line.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from zlib import crc32

import structlog

from actors.runtime.backoff import Backoff
from actors.runtime.clock import Clock
from actors.runtime.observer import Committed, Observer, StoreLost
from storage import ActorWrite, CommitResult, Outcome, Store, StoreDown

log = structlog.get_logger()
CLOSING_S = 5.0  # for a store that does not answer a node that ends; whoever restarts nodes kills after some 30 s
LATELY_S = 10.0  # for so long a lane's last commit says how fast the store is
BATCH = 256  # actors in one transaction; past that latency grows faster than throughput


class Committable(Protocol):
    """What a lane needs of an activation."""

    address: str

    def collect(self) -> ActorWrite | None:
        """What is to be saved now; None when there is nothing (any more)."""
        ...

    def committed(self, result: CommitResult) -> None:
        """How it ended; called once for each ``collect`` that gave a write."""
        ...


class Committer:
    """Owns the lanes; ``wake`` puts an activation into its lane's next batch."""

    def __init__(self, store: Store, clock: Clock, observe: Observer, backoff: Backoff, lanes: int = 1) -> None:
        self._store = store
        self._clock = clock
        self._observe = observe
        self._backoff = backoff
        self._lanes = [_Lane() for _ in range(lanes)]
        self.store_up = True
        """Whether the last commit reached the store."""

    def wake(self, activation: Committable) -> None:
        """Have ``activation`` collected for the next batch; asking twice is asking once."""
        lanes = self._lanes
        lane = lanes[0] if len(lanes) == 1 else lanes[crc32(activation.address.encode()) % len(lanes)]
        lane.waiting[activation] = None
        if not lane.bell.is_set():
            lane.bell.set()

    @property
    def took_s(self) -> float:
        """Seconds that a commit takes now: the longest of those under way and of each lane's last one."""
        now = self._clock.monotonic()
        return max(lane.took_s(now) for lane in self._lanes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Commit until the context is left; what was collected by then is committed first.

        Raises:
            StoreDown: it could not be, within ``CLOSING_S``.
        """
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._run(lane), name="commit-lane") for lane in self._lanes]
            try:
                yield
            finally:
                for lane in self._lanes:
                    lane.closing = True
                    lane.bell.set()
                patience = tasks.create_task(self._clock.sleep(CLOSING_S), name="commit-closing")
                await _finish(set(running), patience)

    async def _run(self, lane: "_Lane") -> None:
        while not lane.closing or lane.waiting:
            if not lane.waiting:
                lane.bell.clear()
                await lane.bell.wait()
            batch: list[Committable] = []
            writes: list[ActorWrite] = []
            while lane.waiting and len(batch) < BATCH:
                activation = next(iter(lane.waiting))
                del lane.waiting[activation]
                write = activation.collect()
                if write is not None:
                    batch.append(activation)
                    writes.append(write)
            if writes:
                lane.began = self._clock.monotonic()
                results = await self._commit(writes, lane)
                lane.note_end(self._clock.monotonic())
                for activation, result in zip(batch, results, strict=True):
                    activation.committed(result)

    async def _commit(self, writes: Sequence[ActorWrite], lane: "_Lane") -> Sequence[CommitResult]:
        """Commit, however long the store is away: the same writes are safe to send again."""
        tries = 0
        while True:
            started = self._clock.monotonic()
            try:
                results = await self._store.commit(writes)
            except StoreDown as error:
                if self.store_up:
                    log.warning("store.lost", reason=str(error))
                self.store_up = False
                self._observe(StoreLost("commit"))
                if lane.closing and tries >= self._backoff.last_tries:
                    raise
                await self._clock.sleep(self._backoff.pause(tries))
                tries += 1
                continue
            if not self.store_up:
                log.info("store.back", tries=tries)
            self.store_up = True
            lost = sum(result is not Outcome.DONE for result in results)
            self._observe(Committed(len(writes), lost, self._clock.monotonic() - started))
            return results


class _Lane:
    def __init__(self) -> None:
        self.waiting: dict[Committable, None] = {}
        self.bell = asyncio.Event()
        self.closing = False
        self.began: float | None = None
        """Monotonic seconds at which the commit under way began; None between two."""
        self._took_s = 0.0
        self._ended = float("-inf")

    def note_end(self, now: float) -> None:
        """The commit under way is done."""
        if self.began is not None:
            self._took_s, self._ended, self.began = now - self.began, now, None

    def took_s(self, now: float) -> float:
        """See ``Committer.took_s``."""
        under_way_s = now - self.began if self.began is not None else 0.0
        return max(under_way_s, self._took_s if now - self._ended < LATELY_S else 0.0)


async def _finish(running: set[asyncio.Task[None]], patience: asyncio.Task[None]) -> None:
    """Wait for the lanes, no longer than for ``patience``."""
    while running and not patience.done():
        await asyncio.wait({*running, patience}, return_when=asyncio.FIRST_COMPLETED)
        running = {lane for lane in running if not lane.done()}
    patience.cancel()
    for lane in running:
        lane.cancel()
    if running:
        raise StoreDown(f"the store has not taken what was to be saved within {CLOSING_S:g} s")
