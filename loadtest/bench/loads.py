"""The loads: closed-loop requests, and saturated chat into rooms."""

import asyncio
import re
from functools import partial

import msgpack
from msgspec import Struct

from loadtest.bench.driver import Client, Latencies, in_groups, masked, now, request, sign_in

WARM_UP_S = 1.0
_STAMP = re.compile(rb"@(\d+\.\d{6})@")


class Measured(Struct, frozen=True):
    """What a load measured: operations a second, and latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    sends_per_second: float = 0.0


async def requests(
    host: str, port: int, *, clients: int, seconds: float, tag: str, mark: bytes, fields: dict[str, str], floor: bool
) -> Measured:
    """``clients`` players who each ask ``tag`` again as soon as they have the reply (recognised by ``mark``)."""
    from loadtest.bench.driver import connect

    jobs = [partial(connect, host, port) if floor else partial(sign_in, host, port, f"b{n}") for n in range(clients)]
    players: list[Client] = await in_groups(jobs)
    latencies = Latencies()
    counted = 0
    measuring = False

    def play(number: int, player: Client) -> None:
        sent = 0.0
        turn = 0
        sample = number % 5 == 0

        def again(data: bytes) -> None:
            nonlocal sent, turn, counted
            if mark not in data:
                return
            if measuring:
                counted += 1
                if sample:
                    latencies.seconds.append(now() - sent)
            turn += 1
            sent = now()
            player.transport.write(request(tag, f"r{number}-{turn}", **fields))

        player.on_data = again
        player.transport.write(request(tag, f"r{number}-0", **fields))

    for number, player in enumerate(players):
        play(number, player)
    await asyncio.sleep(WARM_UP_S)
    measuring, started = True, now()
    await asyncio.sleep(seconds)
    measuring, took = False, now() - started
    for player in players:
        player.transport.abort()
    return Measured(counted / took, latencies.quantile(0.5), latencies.quantile(0.99))


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


async def chat(host: str, port: int, *, kind: str, rooms: int, members: int, seconds: float, floor: bool) -> Measured:
    """``rooms`` rooms of ``members`` who all talk at once; deliveries are counted at the receivers."""
    from loadtest.bench.driver import connect

    run = f"{int(now() * 1000) % 10**9}"
    made = []
    for room in range(rooms):
        channel = f"{kind}:{run}x{room}"
        names = [f"c{room}x{n}" for n in range(members)]
        join = partial(_join, host, port, channel)
        players = await in_groups([partial(connect, host, port) if floor else partial(join, name) for name in names])
        if floor:
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
        for member in room_._members:  # noqa: SLF001 - its own kind
            member.transport.abort()
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


async def idle(host: str, port: int, *, clients: int) -> list[Client]:
    """Signed-in players who say nothing."""
    return await in_groups([partial(sign_in, host, port, f"i{n}") for n in range(clients)])
