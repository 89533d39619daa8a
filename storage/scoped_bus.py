"""Several clusters on one Redis: each hears only its own channels."""

from collections.abc import Callable, Sequence

from storage.bus import Bus, Receive


class ScopedBus:
    """A bus whose channel names all begin with ``scope``. Pub/sub of Redis knows no database numbers."""

    def __init__(self, bus: Bus, scope: str) -> None:
        self._bus = bus
        self._prefix = f"{scope}/"

    def publish(self, channel: str, payload: bytes) -> None:
        self._bus.publish(self._prefix + channel, payload)

    async def subscribe(self, channel: str, receive: Receive) -> None:
        await self.subscribe_all((channel,), receive)

    async def subscribe_all(self, channels: Sequence[str], receive: Receive) -> None:
        await self._bus.subscribe_all([self._prefix + channel for channel in channels], receive)

    async def unsubscribe(self, channel: str) -> None:
        await self._bus.unsubscribe(self._prefix + channel)

    def on_gap(self, notice: Callable[[], None]) -> None:
        self._bus.on_gap(notice)

    @property
    def connected(self) -> bool:
        return self._bus.connected

    @property
    def dropped(self) -> int:
        return self._bus.dropped
