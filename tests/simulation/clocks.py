"""Time in the simulated world: that of the database, which is right, and that of each node, which may not be."""

import asyncio

from tests.simulation.loop import SimulatedLoop
from tests.support.clock import START_MS, ClockView, FakeClock


class WorldClock(FakeClock):
    """The loop's time; nobody has to move it."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self.loop = loop

    def now_ms(self) -> int:
        return START_MS + int(self.loop.now * 1000)

    def now_us(self) -> int:
        return START_MS * 1000 + int(self.loop.now * 1_000_000)

    def monotonic(self) -> float:
        return self.loop.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


class NodeClock(ClockView):
    """A node's clock: its wall clock is ``ahead_ms`` ahead of the right time, which may change at any moment."""

    def __init__(self, clock: WorldClock, up_s: float) -> None:
        super().__init__(clock)
        self.ahead_ms = 0
        loop = clock.loop
        self._right = clock
        self.now_ms = self._now_ms
        self.now_us = self._now_us
        self.monotonic = lambda: up_s + loop.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))

    def _now_ms(self) -> int:
        return self._right.now_ms() + self.ahead_ms

    def _now_us(self) -> int:
        return self._right.now_us() + self.ahead_ms * 1000
