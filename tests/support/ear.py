"""A receiver for tests of the bus."""

import asyncio


class Ear:
    """Remembers what it was told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self._more = asyncio.Event()

    def __call__(self, payload: bytes) -> None:
        self.payloads.append(payload)
        self._more.set()

    async def heard(self, count: int) -> list[bytes]:
        """Everything heard, once that is at least ``count`` payloads."""
        while len(self.payloads) < count:
            self._more.clear()
            await self._more.wait()
        return self.payloads
