"""Chat at a given pace, an open loop: lines are due at times that were set before, however slow the server is.

A line's latency counts from when it was due, not from when it could be sent: a server that stalls for a second delays
all that was due in that second, and all of it is in the figures ("coordinated omission" leaves it out).
"""

import asyncio
import random
from collections.abc import Iterator

import msgpack
from msgspec import Struct

from loadtest.bench.driver import Client, Latencies, Marks, Trouble, masked, now
from loadtest.bench.loads import STAMP, WARM_UP_S, WORDS, Measured, Place, gather, new_run, result
from loadtest.bench.spent import spending

SAMPLED = 10  # every tenth member of a room notes latencies, the last one to whom a line is written among them
SETTLE_S = 1.0  # for what was due in the interval to arrive, before it counts as never delivered


class Paced(Struct, frozen=True):
    """What was offered, what was delivered of it, and how late the driver itself was."""

    measured: Measured
    offered_per_second: float
    late_p99_ms: float
    """From when a line was due to when the driver wrote it; part of every latency above."""


def schedule(rate: float, seconds: float, dice: random.Random) -> Iterator[float]:
    """Seconds at which lines are due, in order: ``rate`` a second on average, independent of each other, as from many
    people who know nothing of each other (a Poisson process)."""
    at = dice.expovariate(rate)
    while at < seconds:
        yield at
        at += dice.expovariate(rate)


class Listener:
    """A member: counts what is delivered, and notes latencies if it ``samples``."""

    def __init__(self, client: Client, interval: "Interval", trouble: Trouble, *, samples: bool) -> None:
        self.client = client
        self.latencies = Latencies()
        self._interval = interval
        self._trouble = trouble
        self._messages = Marks(b"chat.message")
        client.on_data = self._arrived_and_noted if samples else self._arrived

    def _arrived(self, data: bytes) -> None:
        self._interval.delivered += self._messages.count(data)
        self._trouble.look(data)

    def _arrived_and_noted(self, data: bytes) -> None:
        self._arrived(data)
        at = now()
        for stamp in STAMP.findall(data):
            due = float(stamp)
            if self._interval.holds(due):
                self.latencies.seconds.append(at - due)


class Interval:
    """What is being measured: lines that are due from ``start`` to ``end``."""

    def __init__(self) -> None:
        self.start = self.end = float("inf")
        self.delivered = 0

    def holds(self, due: float) -> bool:
        return self.start <= due < self.end


class Speaker:
    """Writes each line when it is due, and notes how late it was."""

    def __init__(self, rooms: list[tuple[str, list[Client]]], run: str, rate: float) -> None:
        self.late = Latencies()
        self._rooms = rooms
        self._run = run
        self._rate = rate
        self._dice = random.Random(7)
        self._said = 0

    async def speak(self, start: float, seconds: float) -> int:
        """Say what is due within ``seconds`` of ``start``; how many lines that were."""
        lines = 0
        for offset in schedule(self._rate, seconds, self._dice):
            due = start + offset
            if (early := due - now()) > 0:
                await asyncio.sleep(early)
            self._say(due)
            lines += 1
        return lines

    def _say(self, due: float) -> None:
        channel, members = self._dice.choice(self._rooms)
        self._said += 1
        text = f"@{due:.6f}@ {WORDS}"
        line = {"t": "chat.send", "id": f"{self._run}-{self._said}", "channel": channel, "text": text}
        self._dice.choice(members).transport.write(masked(msgpack.packb(line)))
        self.late.seconds.append(now() - due)


async def paced_chat(
    place: Place, *, kind: str, rooms: int, members: int, seconds: float, deliveries_per_second: float
) -> Paced:
    """``rooms`` rooms of ``members`` in which lines are said at the pace that makes so many deliveries."""
    run = new_run()
    made = await gather(place, kind, rooms, members, run)
    interval, trouble = Interval(), Trouble()
    listeners = [
        Listener(client, interval, trouble, samples=number % SAMPLED == SAMPLED - 1)
        for _, players in made
        for number, client in enumerate(players)
    ]
    speaker = Speaker(made, run, deliveries_per_second / members)
    await speaker.speak(now(), WARM_UP_S)
    speaker.late.seconds.clear()
    interval.start = now()
    interval.end = interval.start + seconds
    before = interval.delivered
    with spending(place.pid) as spent:
        lines = await speaker.speak(interval.start, seconds)
        delivered = interval.delivered - before
    await asyncio.sleep(SETTLE_S)
    trouble.check(listener.client for listener in listeners)
    latencies = Latencies.of(listener.latencies for listener in listeners)
    sampled = lines * rooms_sampled(members)
    if len(latencies.seconds) < sampled:
        latencies.seconds.extend([SETTLE_S] * (sampled - len(latencies.seconds)))
    for listener in listeners:
        listener.client.transport.abort()
    return Paced(
        result(spent, delivered, latencies, lines),
        lines * members / seconds,
        speaker.late.quantile(0.99),
    )


def rooms_sampled(members: int) -> int:
    """How many members of a room note latencies."""
    return members // SAMPLED
