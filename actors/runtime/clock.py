"""Time as a dependency: the one place that reads a clock."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Where the runtime gets the time from."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the Unix epoch: for people and records."""
        ...

    def now_us(self) -> int:
        """The same in microseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back: for deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less yields once."""
        ...


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self.monotonic = time.monotonic  # asked several times a message: no call of our own around it

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
