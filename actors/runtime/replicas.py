"""Small tables that every node has whole in memory, for turns to look at: definitions, not states of players.

The truth is rows that some actor keeps. A node reads them all at the start, whenever it hears that they have changed,
after the bus was away, and every ``RELOAD_S`` seconds, because the word of a change may be lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from actors.runtime.clock import Clock
from actors.runtime.membership import Membership
from storage import Bus, Store, StoreDown

log = structlog.get_logger()
RELOAD_S = 10.0  # between two looks while other nodes are alive: how long a lost word can leave a node behind
PATIENCE_S = 1.0  # for the other nodes to say that they have read a change
CHANNEL = "replicas"
NODES = "SELECT node FROM nodes"  # the dead are among them for a renewal: waiting for one costs PATIENCE_S


class ReplicaOf(Struct, frozen=True):
    """What a room replicates: ``make`` builds from the rows of ``sql`` what turns see; from no rows at the start."""

    sql: str
    make: Callable[[Sequence[tuple[Any, ...]]], Any]


class ChangedFrame(Struct, tag="changed", array_like=True):
    """The rows of ``room`` are not what they were."""

    node: str
    number: int
    room: str


class ReadFrame(Struct, tag="read", array_like=True):
    """``node`` has read what change ``number`` was about."""

    node: str
    number: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ChangedFrame | ReadFrame).decode


class _Spreading:
    """A change whose word is on its way."""

    def __init__(self, missing: set[str]) -> None:
        self.missing = missing
        self.done = asyncio.Event()
        if not missing:
            self.done.set()

    def wait_for(self, nodes: set[str]) -> None:
        """For these as well."""
        self.missing |= nodes
        self.done.clear()


class Replicas:
    """The replicas of one node; ``values`` has the present one of each room."""

    def __init__(
        self, replicated: Mapping[str, ReplicaOf], *, store: Store, bus: Bus, membership: Membership, clock: Clock
    ) -> None:
        self.values: dict[str, Any] = {room: spec.make(()) for room, spec in replicated.items()}
        self._replicated = dict(replicated)
        self._store = store
        self._bus = bus
        self._membership = membership
        self._clock = clock
        self._spreading: dict[int, _Spreading] = {}
        self._number = 0
        self._begun = 0
        self._loaded: dict[str, int] = {}
        """By room: which of the readings it is from, counted as they began."""
        self._watching: dict[str, Callable[[Any], None]] = {}
        self._unread: set[str] = set()
        """Rooms whose last reading has failed, or is under way."""
        self._asked: dict[str, list[ChangedFrame]] = {}
        self._bell = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the rows until the context is left. Waits for the first reading of all."""
        if not self._replicated:
            yield
            return
        await self._bus.subscribe(CHANNEL, self._receive)
        await self._bus.subscribe(self._own_channel, self._receive)
        self._bus.on_gap(self._reload_all)
        await self._load_first()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._answer(), name="replicas"),
                tasks.create_task(self._look_again(), name="replicas-again"),
            ]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    def watch(self, room: str, watching: Callable[[Any], None]) -> None:
        """Have ``watching`` see the value of ``room`` now and whenever it was read; it must not raise."""
        self._watching[room] = watching
        watching(self.values[room])

    async def spread(self, room: str) -> bool:
        """Have every node read the rows of ``room`` that were committed before this call; False where some live node
        has not said so within ``PATIENCE_S``: it does within ``RELOAD_S``.

        Raises:
            StoreDown: this node could not read them.
        """
        others = {row.node for row in self._membership.rows} - {self._membership.node}
        number = self._number = self._number + 1
        spreading = self._spreading[number] = _Spreading(others)
        try:
            if others:
                self._bus.publish(CHANNEL, _encode(ChangedFrame(self._membership.node, number, room)))
            await self.load(room)
            # Membership learns at the next renewal of a node that has just come; it had its row before it read any.
            new = {node for (node,) in await self._store.select(NODES)} - others - {self._membership.node}
            if new:
                spreading.wait_for(new)
                self._bus.publish(CHANNEL, _encode(ChangedFrame(self._membership.node, number, room)))
            async with asyncio.TaskGroup() as tasks:
                patience = tasks.create_task(self._clock.sleep(PATIENCE_S), name="replicas-patience")
                heard = tasks.create_task(spreading.done.wait(), name="replicas-heard")
                await asyncio.wait({patience, heard}, return_when=asyncio.FIRST_COMPLETED)
                patience.cancel()
                heard.cancel()
        finally:
            del self._spreading[number]
        return not spreading.missing

    async def load(self, room: str) -> None:
        """Read the rows of ``room`` now. Of readings that overlap, the one that began last is the newest."""
        spec = self._replicated[room]
        self._begun += 1
        begun = self._begun
        self._unread.add(room)
        rows = await self._store.select(spec.sql)
        self._unread.discard(room)
        if begun > self._loaded.get(room, 0):
            self._loaded[room] = begun
            value = self.values[room] = spec.make(rows)
            if room in self._watching:
                self._watching[room](value)

    @property
    def _own_channel(self) -> str:
        return f"{CHANNEL}:{self._membership.node}"

    def _receive(self, payload: bytes) -> None:
        try:
            frame = _decode(payload)
        except msgspec.MsgspecError as error:
            log.error("bus.frame_not_understood", reason=str(error), size=len(payload))
            return
        if isinstance(frame, ReadFrame):
            spreading = self._spreading.get(frame.number)
            if spreading is not None:
                spreading.missing.discard(frame.node)
                if not spreading.missing:
                    spreading.done.set()
        elif frame.node != self._membership.node and frame.room in self._replicated:
            self._asked.setdefault(frame.room, []).append(frame)
            self._bell.set()

    def _reload_all(self) -> None:
        self._reload(self._replicated)

    def _reload(self, rooms: Iterable[str]) -> None:
        for room in rooms:
            self._asked.setdefault(room, [])
        self._bell.set()

    async def _answer(self) -> None:
        """Read what has changed, and say so to who has told."""
        failed = False
        while True:
            await self._bell.wait()
            self._bell.clear()
            asked, self._asked = self._asked, {}
            for room, frames in asked.items():
                try:
                    await self.load(room)
                except StoreDown as error:
                    if not failed:
                        log.warning("replica.not_read", room=room, reason=str(error))
                    failed = True
                    continue  # the next look has it; who has told waits no longer than PATIENCE_S
                failed = False
                for frame in frames:
                    read = ReadFrame(self._membership.node, frame.number)
                    self._bus.publish(f"{CHANNEL}:{frame.node}", _encode(read))

    async def _look_again(self) -> None:
        while True:
            await self._clock.sleep(RELOAD_S)
            self._reload(self._unread if self._membership.alone else self._replicated)

    async def _load_first(self) -> None:
        for room in self._replicated:
            tries = 0
            while True:
                try:
                    await self.load(room)
                    break
                except StoreDown as error:
                    if tries == 0:
                        log.warning("replica.not_read", room=room, reason=str(error))
                    tries += 1
                    await self._clock.sleep(1.0)
