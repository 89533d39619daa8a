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
        self._loop = clock.loop
        self._up_s = up_s

    def monotonic(self) -> float:
        return self._up_s + self._loop.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))
