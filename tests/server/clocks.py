"""A clock that stands still until a test moves it."""

import asyncio

START_MS = 1_800_000_000_000


class HandClock:
    """Time goes on only by ``advance``; whoever sleeps until then is woken by it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self._waiting: list[tuple[float, asyncio.Event]] = []
        self._asleep = asyncio.Event()

    def now_ms(self) -> int:
        return START_MS + round(self.seconds * 1000)

    def now_us(self) -> int:
        return START_MS * 1000 + round(self.seconds * 1_000_000)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self.slept.append(seconds)
        self._waiting.append((self.seconds + seconds, woken))
        self._asleep.set()
        await woken.wait()

    async def until_asleep(self) -> None:
        """Wait until somebody sleeps."""
        await self._asleep.wait()

    def advance(self, seconds: float) -> None:
        """Let time pass; sleepers that are due run when the caller next awaits."""
        self.seconds += seconds
        due = [entry for entry in self._waiting if entry[0] <= self.seconds]
        self._waiting = [entry for entry in self._waiting if entry[0] > self.seconds]
        if due and not self._waiting:
            self._asleep.clear()
        for _, woken in due:
            woken.set()
