"""The loads: closed-loop requests, and saturated chat into rooms."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack
from msgspec import Struct

from loadtest.bench.driver import Client, Latencies, connect, in_groups, masked, now, request, sign_in

WARM_UP_S = 1.0
_STAMP = re.compile(rb"@(\d+\.\d{6})@")


class Measured(Struct, frozen=True):
    """What a load measured: operations a second, and latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    sends_per_second: float = 0.0


class Place(Struct, frozen=True):
    """Where a load goes; the ``floor`` takes no sign-in and no join."""

    host: str
    port: int
    floor: bool


def nothing(_client: int, _turn: int) -> dict[str, Any]:
    """A request without fields."""
    return {}


class Ask(Struct, frozen=True):
    """A request that is asked again and again, and what its reply is recognised by."""

    tag: str
    mark: bytes
    clients: int
    fields: Callable[[int, int], dict[str, Any]] = nothing
    """By the client's number and its turn."""


class Asker:
    """A player who asks again as soon as it has the reply."""

    def __init__(self, number: int, client: Client, ask: Ask) -> None:
        self.counted = 0
        self.measuring = False
        self.latencies = Latencies()
        self._number = number
        self._client = client
        self._ask = ask
        self._turn = 0
        self._sent = 0.0
        client.on_data = self._arrived

    def ask(self) -> None:
        self._turn += 1
        self._sent = now()
        fields = self._ask.fields(self._number, self._turn)
        self._client.transport.write(
            request(self._ask.tag, f"{self._ask.tag[-4:]}{self._number}-{self._turn}", **fields)
        )

    def _arrived(self, data: bytes) -> None:
        if self._ask.mark not in data:
            if b"\xa5error" in data:
                raise SystemExit(f"a request was refused: {data[:200]!r}")
            return
        if self.measuring:
            self.counted += 1
            self.latencies.seconds.append(now() - self._sent)
        self.ask()


async def requests(place: Place, ask: Ask, seconds: float) -> Measured:
    """``ask.clients`` players who each ask again as soon as they have the reply."""
    host, port = place.host, place.port
    jobs = [
        partial(connect, host, port) if place.floor else partial(sign_in, host, port, f"b{n}")
        for n in range(ask.clients)
    ]
    clients: list[Client] = await in_groups(jobs)
    askers = [Asker(number, client, ask) for number, client in enumerate(clients)]
    for asker in askers:
        asker.ask()
    await asyncio.sleep(WARM_UP_S)
    started = now()
    for asker in askers:
        asker.measuring = True
    await asyncio.sleep(seconds)
    took = now() - started
    for asker in askers:
        asker.measuring = False
    for client in clients:
        client.transport.abort()
    latencies = Latencies()
    for asker in askers:
        latencies.seconds.extend(asker.latencies.seconds)
    return Measured(sum(a.counted for a in askers) / took, latencies.quantile(0.5), latencies.quantile(0.99))


class Room:
    """Fifty members who all talk as fast as they are answered."""

    def __init__(self, channel: str, members: list[Client], prefix: str) -> None:
        self.delivered = 0
        self.sent = 0
        self.latencies = Latencies()
        self.measuring = False
        self._channel = channel
        self._members = members
        self._prefix = prefix

    def start(self) -> None:
        for number, member in enumerate(self._members):
            self._play(number, member)

    def stop(self) -> None:
        for member in self._members:
            member.transport.abort()

    def _play(self, number: int, member: Client) -> None:
        turn = 0
        samples = number == 0

        def say() -> None:
            nonlocal turn
            turn += 1
            text = f"@{now():.6f}@ let us meet at the gate, then go in together"
            frame = {"t": "chat.send", "id": f"{self._prefix}{number}-{turn}", "channel": self._channel, "text": text}
            member.transport.write(masked(msgpack.packb(frame)))

        def arrived(data: bytes) -> None:
            if self.measuring:
                self.delivered += data.count(b"chat.message")
                if samples:
                    at = now()
                    self.latencies.seconds.extend(at - float(stamp) for stamp in _STAMP.findall(data))
            for _ in range(data.count(b"chat.sent")):
                self.sent += self.measuring
                say()

        member.on_data = arrived
        say()


async def chat(place: Place, *, kind: str, rooms: int, members: int, seconds: float) -> Measured:
    """``rooms`` rooms of ``members`` who all talk at once; deliveries are counted at the receivers."""
    run = f"{int(now() * 1000) % 10**9}"
    made = []
    for room in range(rooms):
        channel = f"{kind}:{run}x{room}"
        names = [f"c{room}x{n}" for n in range(members)]
        join = partial(_join, place.host, place.port, channel)
        bare = partial(connect, place.host, place.port)
        players = await in_groups([bare if place.floor else partial(join, name) for name in names])
        if place.floor:
            for player in players:
                player.transport.write(request("join", "j", channel=channel))
        made.append(Room(channel, players, f"{run}r{room}x"))
    await asyncio.sleep(0.5)
    for room_ in made:
        room_.start()
    await asyncio.sleep(WARM_UP_S)
    started = now()
    for room_ in made:
        room_.measuring = True
    await asyncio.sleep(seconds)
    took = now() - started
    for room_ in made:
        room_.measuring = False
        room_.stop()
    latencies = Latencies()
    for room_ in made:
        latencies.seconds.extend(room_.latencies.seconds)
    return Measured(
        sum(r.delivered for r in made) / took,
        latencies.quantile(0.5),
        latencies.quantile(0.99),
        sum(r.sent for r in made) / took,
    )


async def _join(host: str, port: int, channel: str, name: str) -> Client:
    player = await sign_in(host, port, name)
    reply = await player.ask("chat.join", f"{name}-join-{channel}"[-36:], channel=channel)
    if b"chat.joined" not in reply:
        raise ConnectionError(f"{name} could not join: {reply!r}")
    return player


async def idle(place: Place, clients: int) -> list[Client]:
    """Signed-in players who say nothing."""
    return await in_groups([partial(sign_in, place.host, place.port, f"i{n}") for n in range(clients)])
