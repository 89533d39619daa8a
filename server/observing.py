"""Turns the runtime's events into numbers: the metrics' half of the observer."""

from collections.abc import Sequence

import structlog

from actors.runtime.meters import Meters
from actors.runtime.observer import (
    Activated,
    Committed,
    Delivered,
    Dropped,
    Isolated,
    Lifted,
    Passivated,
    RuntimeEvent,
    SlowTurn,
    StoreLost,
    TurnRan,
)
from storage import Bus, Receive, ScopedBus

log = structlog.get_logger()


class CountedBus(ScopedBus):
    """The cluster's bus, with its numbers."""

    def __init__(self, bus: Bus, scope: str, meters: Meters) -> None:
        super().__init__(bus, scope)
        self._meters = meters

    def publish(self, channel: str, payload: bytes) -> None:
        self._meters.bus_published += 1
        self._meters.bus_dropped = self.dropped
        super().publish(channel, payload)

    async def subscribe_all(self, channels: Sequence[str], receive: Receive) -> None:
        def counted(payload: bytes) -> None:
            self._meters.bus_received += 1
            receive(payload)

        await super().subscribe_all(channels, counted)


class MeterObserver:
    """Counts what the runtime tells of itself."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._isolated: set[str] = set()

    def __call__(self, event: RuntimeEvent) -> None:
        meters = self._meters
        match event:
            case Delivered():
                meters.deliveries += event.events * event.readers
                meters.messages_out += event.events * event.readers
            case Committed():
                meters.store_up = True
                meters.commit_size.observe(event.actors)
                meters.commit_seconds.observe(event.seconds)
                meters.commit_outcomes.add("done", event.actors - event.lost)
                if event.lost:
                    meters.commit_outcomes.add("lost", event.lost)
            case TurnRan():
                meters.mailbox_wait.observe(event.waited)
                meters.turns.observe(event.kind, event.took)
            case SlowTurn():
                log.warning("turn.slow", actor=event.actor, message=event.message, took_ms=round(event.took * 1000, 1))
            case Activated():
                meters.activated.add(event.actor.partition(":")[0])
            case Passivated() | Dropped():
                meters.passivated.add(event.actor.partition(":")[0])
                self._isolated.discard(event.actor)
                meters.quarantined = len(self._isolated)
            case Isolated() | Lifted():
                (self._isolated.add if isinstance(event, Isolated) else self._isolated.discard)(event.actor)
                meters.quarantined = len(self._isolated)
            case StoreLost():
                meters.store_up = False
            case _:
                pass
