"""An announcement to every session of a node, and what others notice of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from msgspec import Struct

from loadtest.bench.driver import Client, Latencies, Trouble, in_groups, now, request, sign_in
from loadtest.bench.loads import Place
from loadtest.bench.spent import spending
from loadtest.bench.staff import change

PINGERS = 20
MARK = b"announce.message"
TEXT = b'{"text": {"en": "The gates open in five minutes. Gather at the bridge!"}}'


class Told(Struct, frozen=True):
    """When the last session heard it, and the pings of others meanwhile and before."""

    sessions: int
    last_ms: float
    """From the request of the staff."""
    spread_ms: float
    """From the first session that heard it."""
    server_us: float
    """For each session."""
    server_share: float
    driver_share: float
    ping_p99_ms: float
    ping_worst_ms: float
    ping_p99_before_ms: float


class Pinger:
    """Pings as fast as it is answered."""

    def __init__(self, number: int, client: Client) -> None:
        self.latencies = Latencies()
        self.answered = asyncio.Event()
        self._number = number
        self._client = client
        self._turn = 0
        self._sent = 0.0
        client.on_data = self._arrived

    def ask(self) -> None:
        self._turn += 1
        self._sent = now()
        self._client.transport.write(request("ping", f"p{self._number}-{self._turn}"))

    def _arrived(self, data: bytes) -> None:
        if b"pong" in data:
            self.latencies.seconds.append(now() - self._sent)
            self.answered.set()
            asyncio.get_running_loop().call_later(0.002, self.ask)


class Waiting:
    """How many have not heard it."""

    def __init__(self, left: int, done: Callable[[], None]) -> None:
        self._left = left
        self._done = done

    def one_less(self) -> None:
        self._left -= 1
        if not self._left:
            self._done()


class Listener:
    """Notes when the announcement comes, and how often."""

    def __init__(self, client: Client, waiting: Waiting) -> None:
        self.at = 0.0
        self.times = 0
        self._waiting = waiting
        client.on_data = self._arrived

    def _arrived(self, data: bytes) -> None:
        if MARK in data:
            self.times += data.count(MARK)
            if not self.at:
                self.at = now()
                self._waiting.one_less()


async def announce(place: Place, http_port: int, sessions: int) -> Told:
    """``sessions`` idle sessions and some that ping; one announcement to all."""
    enter = partial(sign_in, place.host, place.port)
    clients: list[Client] = await in_groups([partial(enter, f"a{n}") for n in range(sessions)])
    heard_by_all = asyncio.Event()
    waiting = Waiting(sessions, heard_by_all.set)
    listeners = [Listener(client, waiting) for client in clients]
    others: list[Client] = await in_groups([partial(enter, f"p{n}") for n in range(PINGERS)])
    pingers = [Pinger(number, client) for number, client in enumerate(others)]
    for pinger in pingers:
        pinger.ask()
    await asyncio.sleep(1.0)
    before = _taken(pingers)
    Trouble().check([*clients, *others])
    asked = now()
    with spending(place.pid) as spent:
        await asyncio.to_thread(change, http_port, "POST", "/v1/announcements", TEXT)
        with suppress(TimeoutError):
            await asyncio.wait_for(heard_by_all.wait(), 10)
    await _answered(pingers)  # what waits for its answer now has waited meanwhile
    during = _taken(pingers)
    heard = [listener.at for listener in listeners if listener.times]
    if len(heard) < sessions or any(listener.times > 1 for listener in listeners):
        raise SystemExit(f"{len(heard)} of {sessions} sessions have heard it")
    for client in (*clients, *others):
        client.transport.abort()
    return Told(
        sessions,
        (max(heard) - asked) * 1000,
        (max(heard) - min(heard)) * 1000,
        spent.server_us(sessions),
        spent.server_share,
        spent.driver_share,
        during.quantile(0.99),
        during.quantile(1.0),
        before.quantile(0.99),
    )


async def _answered(pingers: list[Pinger]) -> None:
    """Wait until each of them has heard once more."""
    for pinger in pingers:
        pinger.answered.clear()
    for pinger in pingers:
        await asyncio.wait_for(pinger.answered.wait(), 10)


def _taken(pingers: list[Pinger]) -> Latencies:
    taken = Latencies()
    for pinger in pingers:
        taken.seconds.extend(pinger.latencies.seconds)
        pinger.latencies.seconds.clear()
    return taken
