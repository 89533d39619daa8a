"""Who is alive, by one lease row a node; and who a key belongs to, by rendezvous hash over the living.

A node judges itself by its own monotonic clock, measured from before the renewal was sent, and stops serving before
others may take over. Others judge it by the database's clock. Where that clock has jumped ahead, they may take over
before the node knows: it learns at its next renewal, which prolongs only a lease that has not run out, and starts anew.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from hashlib import blake2b

import structlog
from msgspec import Struct, structs

from actors.runtime.clock import Clock
from actors.runtime.observer import LeaseLost, LeaseTaken, NodesChanged, Observer
from storage import NodeRow, Store, StoreDown

log = structlog.get_logger()
MARGIN = 0.1  # of the lease: how much earlier a node stops than others may start; covers clock drift
RENEWALS = 3  # in one lease
AGAIN_S = 0.5  # after a renewal that failed: a store that restarts may be back in less than a lease
AT_ONCE_S = 0.05  # after one that was answered too late: the store is back


class Change(Struct, frozen=True):
    """Who came and who went since the last look."""

    live: tuple[str, ...]
    gone: frozenset[str]


class Membership:
    """This node's lease and its view of the others."""

    def __init__(self, node: NodeRow, store: Store, clock: Clock, observe: Observer, lease_s: float) -> None:
        self.node = node.node
        self.rows: tuple[NodeRow, ...] = ()
        """The living, as of the last renewal."""
        self._row = node
        self._store = store
        self._clock = clock
        self._observe = observe
        self._lease_s = lease_s
        self._valid_until = float("-inf")
        self._again_s: float | None = None
        self._placing: tuple[str, ...] = ()
        self.left = False
        """Whether this node has given up its lease, and everything with it."""
        self._renewing = asyncio.Lock()
        self._looking = False
        self._tasks: asyncio.TaskGroup | None = None
        self._listeners: list[Callable[[Change], None]] = []
        self._lapsed: list[Callable[[], None]] = []

    def on_change(self, notice: Callable[[Change], None]) -> None:
        """Have ``notice`` called whenever a node comes or goes."""
        self._listeners.append(notice)

    def on_lapse(self, notice: Callable[[], None]) -> None:
        """Have ``notice`` called when this node's lease has run out: it owns nothing for certain any more."""
        self._lapsed.append(notice)

    @property
    def serving(self) -> bool:
        """Whether this node may answer: its lease has surely not run out."""
        return self._clock.monotonic() < self._valid_until

    @property
    def _holds(self) -> bool:
        """Whether it has a lease and does not know that it is lost."""
        return self._valid_until > float("-inf")

    @property
    def alone(self) -> bool:
        """Whether no other node is alive."""
        return len(self.rows) <= 1

    @property
    def draining(self) -> bool:
        """Whether this node takes no more actors."""
        return self._row.draining

    @property
    def successors(self) -> Sequence[str]:
        """Other live nodes that take actors."""
        return [node for node in self._placing if node != self.node]

    def owner_by_hash(self, key: str) -> str:
        """The live node that ``key`` belongs to; moves only the keys of nodes that come or go."""
        if len(self._placing) <= 1:
            return self._placing[0] if self._placing else self.node
        return _heaviest(self._placing, key)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold the lease until the context is left, then give it up. Waits for the first renewal."""
        await self._renew_first()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            renewing = tasks.create_task(self._run(), name="lease")
            try:
                yield
            finally:
                self._tasks = None
                renewing.cancel()
                await self.leave()

    def look(self) -> None:
        """Look at the leases soon, for somebody has come or goes."""
        if self._tasks is not None and not self._looking and not self.left:
            self._looking = True
            self._tasks.create_task(self._look(), name="lease-look")

    async def _look(self) -> None:
        self._looking = False  # a word that comes from now on is of something that this look may miss
        await self._try_renew()

    async def drain(self) -> None:
        """Have nothing placed here any more; the others see it at their next look."""
        self._row = structs.replace(self._row, draining=True)
        await self._try_renew()

    async def leave(self) -> None:
        """Give up the lease, and with it whatever is still owned."""
        if self.left:
            return
        self.left = True
        self._valid_until = float("-inf")
        async with self._renewing:
            await self._release()

    async def _release(self) -> None:
        try:
            await self._store.renew(self._row, 0.0)
        except StoreDown as error:
            log.warning("lease.not_released", reason=str(error), lease_s=self._lease_s)

    async def _renew_first(self) -> None:
        while not await self._try_renew():
            await self._clock.sleep(min(1.0, self._lease_s / RENEWALS))

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self._pause())
            if not self.left and not await self._try_renew() and not self.serving:
                self._lapse()

    def _pause(self) -> float:
        """Until the next renewal; sooner when a neighbour's lease is about to run out, to take over without delay."""
        pause = self._lease_s / RENEWALS
        if self._again_s is not None:
            pause = min(pause, self._again_s)
        for row in self.rows:
            left_s = row.left_ms / 1000
            if row.node != self.node and left_s < self._lease_s / 2:
                pause = min(pause, max(left_s + 0.05, 0.05))
        if self._valid_until > 0:
            pause = min(pause, max(self._valid_until - self._clock.monotonic(), 0.05))
        return pause

    async def _try_renew(self) -> bool:
        async with self._renewing:
            return not self.left and await self._renew()

    async def _renew(self) -> bool:
        asked, held = self._clock.monotonic(), self._holds
        try:
            rows = await self._store.renew(self._row, self._lease_s, held=held)
        except StoreDown as error:
            self._fail(str(error), AGAIN_S)
            return False
        if held and self.node not in (row.node for row in rows):
            self._lapse()  # by the database's clock, which has jumped: others may have taken over while we believed
            return await self._renew()
        until = asked + self._lease_s * (1 - MARGIN)
        if self._clock.monotonic() >= until:
            self._fail(f"the answer took {self._clock.monotonic() - asked:.1f} s", AT_ONCE_S)
            return False
        self._again_s = None
        if not self.serving:
            self._lapse()  # others may have taken over meanwhile: nothing from before counts
        lapsed = not self._holds
        self._valid_until = until
        if lapsed:
            log.info("lease.taken", node=self.node, lease_s=self._lease_s)
            self._observe(LeaseTaken(self.node, self._lease_s))
        self._see(rows)
        return True

    def _fail(self, reason: str, again_s: float) -> None:
        if self._again_s is None:
            log.warning("lease.not_renewed", reason=reason)  # once: lease.lost follows, if it comes to that
        self._again_s = again_s

    def _lapse(self) -> None:
        if not self._holds:
            return
        self._valid_until = float("-inf")
        log.error("lease.lost", node=self.node)
        self._observe(LeaseLost(self.node))
        for notice in self._lapsed:
            notice()

    def _see(self, rows: Sequence[NodeRow]) -> None:
        before = {row.node for row in self.rows}
        self.rows = tuple(rows)
        live = tuple(row.node for row in rows)
        self._placing = tuple(row.node for row in rows if not row.draining)
        if before != set(live):
            log.info("nodes.changed", nodes=list(live))
            self._observe(NodesChanged(live))
            change = Change(live, frozenset(before - set(live)))
            for notice in self._listeners:
                notice(change)


@lru_cache(maxsize=32_768)
def _heaviest(nodes: tuple[str, ...], key: str) -> str:
    """Asked with every message to an actor, while nodes seldom change; what is kept takes some 8 MB at most."""
    return max(nodes, key=lambda node: _weight(node, key))


def _weight(node: str, key: str) -> bytes:
    return blake2b(f"{node}\0{key}".encode(), digest_size=8).digest()
