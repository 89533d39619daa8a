"""A clock that only a test moves, for everything that takes its time from ``actors.runtime.Clock``."""

import asyncio
from heapq import heappop, heappush
from itertools import count

START_MS = 1_700_000_000_000
PATIENCE = 20_000  # turns of the loop in which it has to come to rest; past that something spins


class FakeClock:
    """Time stands still but for ``advance``. Nodes may share one; each sleeps through a ``ClockView`` of its own."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._numbers = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return START_MS + round(self._seconds * 1000)

    def now_us(self) -> int:
        return START_MS * 1000 + round(self._seconds * 1_000_000)

    def monotonic(self) -> float:
        return 1_000.0 + self._seconds

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self._seconds + seconds, next(self._numbers), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let time pass: whoever sleeps is woken in order, each at its own time, and what that causes comes to rest
        before time goes on."""
        end = self._seconds + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heappop(self._sleepers)
            if not woken.done():  # a cancelled sleeper is past waking
                self._seconds = max(self._seconds, due)
                woken.set_result(None)
                await settle()
        self._seconds = end

    def spend(self, seconds: float) -> None:
        """Let time pass without anybody noticing yet: what a slow turn or a stopped process does."""
        self._seconds += seconds


class ClockView:
    """The clock as one node has it. While ``paused`` its sleepers do not wake; afterwards they are late."""

    def __init__(self, clock: FakeClock) -> None:
        self.ahead_ms = 0
        """How far its wall clock is ahead of the right time; may change at any moment."""
        self.rate = 1.0
        """Seconds that it counts in a right one, by its monotonic clock; to be set before anybody uses it."""
        self._clock = clock
        self._running = asyncio.Event()
        self._running.set()

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.ahead_ms

    def now_us(self) -> int:
        return self._clock.now_us() + self.ahead_ms * 1000

    def monotonic(self) -> float:
        return self._clock.monotonic() * self.rate

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds / self.rate)
        await self._running.wait()

    def pause(self) -> None:
        """Wake nobody."""
        self._running.clear()

    def resume(self) -> None:
        """Wake those who are late."""
        self._running.set()


async def settle() -> None:
    """Let the loop run until nothing is left that could run without time passing."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # no public way to ask whether it is at rest
    for _ in range(PATIENCE):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError("the loop does not come to rest: something spins")
