"""The closed loops: requests, and saturated chat into rooms."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack
from msgspec import Struct

from loadtest.bench.driver import Client, Latencies, Marks, Trouble, connect, in_groups, masked, now, request, sign_in
from loadtest.bench.spent import Spent, spending

WARM_UP_S = 1.0
STAMP = re.compile(rb"@(\d+\.\d{6})@")
WORDS = "let us meet at the gate, then go in together"


class Measured(Struct, frozen=True):
    """What a load measured: operations a second, latencies in milliseconds, and the processor time behind them."""

    per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float
    """Microseconds of the server's processor time for an operation."""
    server_share: float
    """Of a core."""
    driver_share: float
    sends_per_second: float = 0.0


def result(spent: Spent, operations: int, latencies: Latencies, sends: int = 0) -> Measured:
    """Put together what was counted in an interval."""
    return Measured(
        operations / spent.seconds,
        latencies.quantile(0.5),
        latencies.quantile(0.99),
        spent.server_us(operations),
        spent.server_share,
        spent.driver_share,
        sends / spent.seconds,
    )


class Place(Struct, frozen=True):
    """Where a load goes; the ``floor`` takes no sign-in and no join."""

    host: str
    port: int
    pid: int
    """The server's process."""
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

    def __init__(self, number: int, client: Client, ask: Ask, trouble: Trouble) -> None:
        self.counted = 0
        self.measuring = False
        self.latencies = Latencies()
        self._number = number
        self._client = client
        self._ask = ask
        self._trouble = trouble
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
            self._trouble.look(data)
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
    trouble = Trouble()
    askers = [Asker(number, client, ask, trouble) for number, client in enumerate(clients)]
    for asker in askers:
        asker.ask()
    await asyncio.sleep(WARM_UP_S)
    for asker in askers:
        asker.measuring = True
    with spending(place.pid) as spent:
        await asyncio.sleep(seconds)
    for asker in askers:
        asker.measuring = False
    trouble.check(clients)
    for client in clients:
        client.transport.abort()
    return result(spent, sum(a.counted for a in askers), Latencies.of(a.latencies for a in askers))


class Room:
    """Fifty members who all talk as fast as they are answered."""

    def __init__(self, channel: str, members: list[Client], prefix: str, trouble: Trouble) -> None:
        self.delivered = 0
        self.sent = 0
        self.latencies = Latencies()
        self.measuring = False
        self._channel = channel
        self._members = members
        self._prefix = prefix
        self._trouble = trouble

    def start(self) -> None:
        for number, member in enumerate(self._members):
            self._play(number, member)

    def stop(self) -> None:
        self._trouble.check(self._members)
        for member in self._members:
            member.transport.abort()

    def _play(self, number: int, member: Client) -> None:
        turn = 0
        messages, answers = Marks(b"chat.message"), Marks(b"chat.sent")
        samples = number == len(self._members) - 1  # the last one to whom a line is written

        def say() -> None:
            nonlocal turn
            turn += 1
            text = f"@{now():.6f}@ {WORDS}"
            frame = {"t": "chat.send", "id": f"{self._prefix}{number}-{turn}", "channel": self._channel, "text": text}
            member.transport.write(masked(msgpack.packb(frame)))

        def arrived(data: bytes) -> None:
            self._trouble.look(data)
            delivered = messages.count(data)
            if self.measuring:
                self.delivered += delivered
                if samples:
                    at = now()
                    self.latencies.seconds.extend(at - float(stamp) for stamp in STAMP.findall(data))
            for _ in range(answers.count(data)):
                self.sent += self.measuring
                say()

        member.on_data = arrived
        say()


async def chat(place: Place, *, kind: str, rooms: int, members: int, seconds: float) -> Measured:
    """``rooms`` rooms of ``members`` who all talk at once; deliveries are counted at the receivers."""
    run = new_run()
    crowd, trouble = await gather(place, kind, rooms, members, run), Trouble()
    made = [Room(channel, players, f"{run}r{n}x", trouble) for n, (channel, players) in enumerate(crowd)]
    for room in made:
        room.start()
    await asyncio.sleep(WARM_UP_S)
    for room in made:
        room.measuring = True
    with spending(place.pid) as spent:
        await asyncio.sleep(seconds)
    for room in made:
        room.measuring = False
        room.stop()
    latencies = Latencies.of(room.latencies for room in made)
    return result(spent, sum(r.delivered for r in made), latencies, sum(r.sent for r in made))


def new_run() -> str:
    """A number that tells the ids and channels of one load from those of another."""
    return f"{int(now() * 1000) % 10**9}"


async def gather(place: Place, kind: str, rooms: int, members: int, run: str) -> list[tuple[str, list[Client]]]:
    """The members of each of ``rooms`` rooms, in the order in which they came in, and the room's channel."""
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
        made.append((channel, players))
    await asyncio.sleep(0.5)
    return made


async def _join(host: str, port: int, channel: str, name: str) -> Client:
    player = await sign_in(host, port, name)
    reply = await player.ask("chat.join", f"{name}-join-{channel}"[-36:], channel=channel)
    if b"chat.joined" not in reply:
        raise ConnectionError(f"{name} could not join: {reply!r}")
    return player
