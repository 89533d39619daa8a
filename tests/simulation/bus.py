"""The bus as a server between nodes: each message travels to it and on to everybody who is subscribed then.

Messages of one publisher on one channel stay in order; of different channels they overtake each other. In ``trouble``
they are lost, doubled or late. A node whose connection is ``cut`` neither sends nor hears until it reconnects.
"""

import asyncio
from collections.abc import Sequence
from random import Random

from msgspec import Struct

from storage.bus import Receive
from storage.local_bus import LocalHub
from tests.simulation.loop import Process, SimulatedLoop
from tests.support.cluster import BusLink


class BusTrouble(Struct):
    """How likely what goes wrong with one message to one receiver."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    """It, and what comes after it in its channel, is up to three seconds late."""


class SimulatedHub(LocalHub):
    """The server in the middle."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        super().__init__()
        self.trouble = BusTrouble()
        self.processes: dict[int, Process] = {}
        """Whose bus is whose, by its number."""
        self._loop = loop
        self._random = random
        self._server = Process("bus")
        self._last: dict[tuple[object, ...], float] = {}
        """When the newest message of each way arrives."""

    def publish(self, channel: str, payload: bytes) -> None:
        when = self._on_its_way(self._loop.current, channel, 0.0)
        self._loop.deliver_at(self._server, when, self._fan_out, channel, payload)

    def _fan_out(self, channel: str, payload: bytes) -> None:
        random, trouble = self._random, self.trouble
        for number, receive in list(self.receivers.get(channel, {}).items()):
            process = self.processes[number]
            if random.random() < trouble.lost:
                continue
            times = 2 if random.random() < trouble.doubled else 1
            for _ in range(times):
                late = random.random() * 3 if random.random() < trouble.late else 0.0
                when = self._on_its_way(process, channel, late)
                self._loop.deliver_at(process, when, self._arrive, number, channel, receive, payload)

    def _arrive(self, number: int, channel: str, receive: Receive, payload: bytes) -> None:
        """In the receiver's process; who has unsubscribed meanwhile hears nothing."""
        if self.receivers.get(channel, {}).get(number) is receive:
            receive(payload)

    def _on_its_way(self, process: Process, channel: str, late: float) -> float:
        way = (process, channel)
        before = self._last.get(way, 0.0)
        when = self._last[way] = max(self._loop.time() + 0.0002 + self._random.random() * 0.003 + late, before + 1e-6)
        return when


class SimulatedBusLink(BusLink):
    """One node's way to the bus."""

    def __init__(self, hub: SimulatedHub, process: Process, random: Random) -> None:
        super().__init__(hub)
        hub.processes[self._number] = process
        self._random = random
        self._back = asyncio.Event()
        self._back.set()

    async def subscribe_all(self, channels: Sequence[str], receive: Receive) -> None:
        while True:
            await self._back.wait()
            await asyncio.sleep(0.0005 + self._random.random() * 0.004)
            if not self.cut:
                break
        await super().subscribe_all(channels, receive)

    async def unsubscribe(self, channel: str) -> None:
        await asyncio.sleep(self._random.random() * 0.002)
        await super().unsubscribe(channel)

    def lose_connection(self) -> None:
        """From now on nothing goes out or comes in."""
        self.cut = True
        self._back.clear()

    def reconnect(self) -> None:
        if self.cut:
            self._back.set()
            super().reconnect()
