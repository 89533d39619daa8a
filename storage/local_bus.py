"""The bus of a node that runs alone, and of several nodes in one process.

Nodes that are handed the same ``LocalHub`` hear each other. Payloads go by reference, nothing is
ever lost, and ``on_gap`` notices are never called.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from storage.bus import Receive

log = structlog.get_logger()


class LocalHub:
    """What the ``LocalBus`` instances of one event loop share.

    What waits is bounded by what one turn of the loop publishes: the next turn delivers it all.
    """

    def __init__(self) -> None:
        self.receivers: dict[str, dict[int, Receive]] = {}
        """By channel, then by the number of the bus that subscribed."""
        self._waiting: list[tuple[str, bytes]] = []
        self._buses = 0

    def join(self) -> int:
        """The number of a new bus."""
        self._buses += 1
        return self._buses

    def publish(self, channel: str, payload: bytes) -> None:
        """Deliver in the next turn of the loop, after everything published before."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._waiting.append((channel, payload))

    def _deliver(self) -> None:
        waiting, self._waiting = self._waiting, []
        for channel, payload in waiting:
            # A copy, and a second look: a receiver may subscribe and unsubscribe.
            for bus in tuple(self.receivers.get(channel, ())):
                receive = self.receivers.get(channel, {}).get(bus)
                if receive is None:
                    continue
                try:
                    receive(payload)
                except Exception:
                    log.exception("bus.receiver_failed", channel=channel)


class LocalBus:
    """One node's end of a ``LocalHub``; see ``Bus`` for the contract."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub
        self._number = hub.join()
        self._channels: set[str] = set()
        self._closed = False
        self._dropped = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LocalBus"]:
        """Until the end of the block; then it hears nothing, and what it publishes is dropped."""
        try:
            yield self
        finally:
            self._closed = True
            for channel in tuple(self._channels):
                self._forget(channel)

    def publish(self, channel: str, payload: bytes) -> None:
        if self._closed:
            self._dropped += 1
        else:
            self._hub.publish(channel, payload)

    async def subscribe(self, channel: str, receive: Receive) -> None:
        await self.subscribe_all((channel,), receive)

    async def subscribe_all(self, channels: Sequence[str], receive: Receive) -> None:
        if self._closed:
            raise RuntimeError("the bus is closed")
        for channel in channels:
            self._channels.add(channel)
            self._hub.receivers.setdefault(channel, {})[self._number] = receive

    async def unsubscribe(self, channel: str) -> None:
        if channel in self._channels:
            self._forget(channel)

    def on_gap(self, notice: Callable[[], None]) -> None:
        """Nothing to do: within a process nothing is missed."""

    @property
    def connected(self) -> bool:
        return not self._closed

    @property
    def dropped(self) -> int:
        return self._dropped

    def _forget(self, channel: str) -> None:
        self._channels.discard(channel)
        receivers = self._hub.receivers[channel]
        del receivers[self._number]
        if not receivers:
            del self._hub.receivers[channel]
