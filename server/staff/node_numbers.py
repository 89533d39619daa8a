"""What a node does right now, asked from any other over the bus; and the order to drain.

A small conversation beside the runtime's own: ``Ask`` and ``Drain`` go to ``staff:NODE``, the ``Answer`` comes back
to the asker's. At most once, like all on the bus: who gets no answer in time reports that.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import structlog
from msgspec import Struct

from actors.runtime import Clock
from storage import Bus

log = structlog.get_logger()
PATIENCE_S = 1.0  # for the answer of a node that is alive: a hundred times what it takes
TICK_S = 1.0
WINDOW = 5  # ticks over which rates are taken: shorter jumps, longer lags


class Numbers(Struct, frozen=True, kw_only=True):
    """A node, as it says itself."""

    started_at: int
    """Start of the process, milliseconds since the Unix epoch."""
    sessions: int
    actors: int
    messages_in_per_s: float
    """Messages of clients, mean of the last five seconds."""
    messages_out_per_s: float


class Counted(Struct, frozen=True):
    """What a node counts now."""

    sessions: int
    actors: int
    messages_in: int
    messages_out: int


class Ask(Struct, frozen=True, tag=True, array_like=True):
    node: str
    number: int


class Answer(Struct, frozen=True, tag=True, array_like=True):
    number: int
    numbers: Numbers


class Drain(Struct, frozen=True, tag=True, array_like=True):
    started_at: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Ask | Answer | Drain).decode


class NodeNumbers:
    """One node's end of the conversation."""

    def __init__(
        self, node: str, bus: Bus, clock: Clock, *, count: Callable[[], Counted], drain: Callable[[], None]
    ) -> None:
        self._node = node
        self._bus = bus
        self._clock = clock
        self._count = count
        self._drain = drain
        self._started_at = clock.now_ms()
        self._ticks: deque[tuple[float, Counted]] = deque(maxlen=WINDOW + 1)
        self._waiting: dict[int, asyncio.Future[Numbers]] = {}
        self._number = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer until the context is left."""
        await self._bus.subscribe(_channel(self._node), self._receive)
        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(self._tick(), name="node-numbers")
            try:
                yield
            finally:
                ticking.cancel()
                await self._bus.unsubscribe(_channel(self._node))

    async def ask(self, node: str) -> Numbers | None:
        """What ``node`` does now; None if it does not answer in time."""
        self._number += 1
        number, future = self._number, asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._bus.publish(_channel(node), _encode(Ask(self._node, number)))
        try:
            async with asyncio.timeout(PATIENCE_S):
                numbers: Numbers = await future
                return numbers
        except TimeoutError:
            return None
        finally:
            del self._waiting[number]

    def drain(self, node: str, started_at: int) -> None:
        """Have ``node`` drain, if it is still the process that ``ask`` has met."""
        self._bus.publish(_channel(node), _encode(Drain(started_at)))

    def now(self) -> Numbers:
        """What this node does."""
        counted, at = self._count(), self._clock.monotonic()
        since, before = self._ticks[0] if self._ticks else (at, counted)
        seconds = max(at - since, TICK_S)
        return Numbers(
            started_at=self._started_at,
            sessions=counted.sessions,
            actors=counted.actors,
            messages_in_per_s=round((counted.messages_in - before.messages_in) / seconds, 1),
            messages_out_per_s=round((counted.messages_out - before.messages_out) / seconds, 1),
        )

    async def _tick(self) -> None:
        while True:
            self._ticks.append((self._clock.monotonic(), self._count()))
            await self._clock.sleep(TICK_S)

    def _receive(self, payload: bytes) -> None:
        try:
            frame: Ask | Answer | Drain = _decode(payload)
        except msgspec.MsgspecError as error:
            log.error("bus.frame_not_understood", reason=str(error), size=len(payload))
            return
        match frame:
            case Ask():
                self._bus.publish(_channel(frame.node), _encode(Answer(frame.number, self.now())))
            case Answer():
                waiting = self._waiting.get(frame.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame.numbers)
            case Drain() if frame.started_at == self._started_at:
                log.info("server.drain_asked")
                self._drain()
            case Drain():
                pass  # for an earlier process of this name


def _channel(node: str) -> str:
    return f"staff:{node}"
