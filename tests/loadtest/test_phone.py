"""A player's phone: its clock, and what happens to it as time goes by."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import msgspec
import pytest

from clients.python import Shell
from loadtest.players.networks import NETWORKS, Network, Trouble
from loadtest.players.phone import READ_FIRST_S, Phone, PlayerClock
from protocol import ClientSession, ClientStatus, Output, Wire
from tests.loadtest.far import Line, Moment, Server, now, simulated

HOUR_S = 3600.0


class Player:
    """A real client session on a phone. The server's part is spoken by the test."""

    def __init__(self, network: Network, tasks: asyncio.TaskGroup, seed: int = 1) -> None:
        self.server = Server()
        self.phone = Phone(self.server, network, Random(seed))
        self.session = ClientSession(Wire.JSON, Random(seed), "dev:ann", prefix="a")
        self.told: list[Output] = []
        self.shell = Shell(self.session, self.phone.dial, tasks, self.told.append, clock=self.phone.clock)

    async def online(self) -> Line:
        """Sign in; the server's end of the connection."""
        self.shell.connect()
        await asyncio.sleep(1)
        self.welcome()
        await asyncio.sleep(1)
        assert self.session.status is ClientStatus.ONLINE
        return self.server.line

    def welcome(self) -> None:
        """Answer the newest connection's hello."""
        line = self.server.line
        hello = msgspec.json.decode(line.payloads[0])
        assert hello["t"] == "hello"
        line.say(frame("welcome", re=hello["id"], session="s1", heartbeat_ms=25_000, topics={}))


def frame(t: str, **fields: object) -> bytes:
    """What a server says."""
    return msgspec.json.encode({"t": t, **fields})


def kinds(line: Line) -> list[tuple[Moment, str]]:
    """When what came, by type."""
    return [(at, msgspec.json.decode(payload)["t"]) for at, payload in line.came]


def played(network: Network, play: Callable[[Player], Awaitable[None]], seed: int = 1) -> None:
    """Play with one player."""

    async def whole() -> None:
        async with asyncio.TaskGroup() as tasks:
            player = Player(network, tasks, seed)
            await play(player)
            player.phone.stop()
            player.shell.stop()
            await asyncio.sleep(60)

    simulated(whole, seed)


# The clock.
@pytest.mark.parametrize("ahead_s", [0.0, 86_400.0])
@pytest.mark.parametrize("drift", [0.0, 0.2])
def test_a_clock_that_runs_fast_or_slow_moves_the_sessions_timers_and_one_that_is_ahead_does_not(
    ahead_s: float, drift: float
) -> None:
    rates = set()

    async def play(player: Player) -> None:
        rate = player.phone.clock.rate
        rates.add(rate)
        line = await player.online()
        await asyncio.sleep(90)
        pings = [at for at, kind in kinds(line) if kind == "ping"]
        assert pings[0] == pytest.approx(20 / rate, abs=0.01)  # 0.8 of the heartbeat after the hello
        assert pings[1] - pings[0] == pytest.approx(20 / rate)

    for seed in range(4):
        played(Network(latency_ms=0.001, clock_ahead_s=ahead_s, clock_drift=drift), play, seed)
    assert len(rates) == (4 if drift else 1)
    assert all(1 - drift <= rate <= 1 + drift for rate in rates)


def test_a_clock_calls_at_its_own_time_and_not_while_it_is_frozen_nor_what_was_cancelled() -> None:
    async def play() -> None:
        clock = PlayerClock(asyncio.get_running_loop(), ahead_s=1000, rate=2)
        called: list[tuple[str, float]] = []

        def at(seconds: float, name: str) -> Callable[[], object]:
            return clock.call_at(1000 + seconds, lambda: called.append((name, now()))).cancel

        assert clock.time() == 1000
        at(4, "on time")
        at(4, "cancelled")()
        at(10, "late")
        late_and_cancelled = at(10, "late and cancelled")
        await asyncio.sleep(3)
        clock.freeze()
        await asyncio.sleep(7)
        late_and_cancelled()
        assert clock.time() == 1020, "time passes all the same"
        assert called == [("on time", 2)]
        clock.thaw()
        assert called == [("on time", 2), ("late", 10)]

    simulated(play)


# The background.
def test_an_app_in_the_background_asks_nothing_and_pings_nobody_and_goes_on_when_it_is_back() -> None:
    async def play(player: Player) -> None:
        line = await player.online()
        player.phone.background(30)
        player.phone.background(99)  # it is there already
        player.shell.request("chat.send", {"channel": "room:a", "text": "hi"})
        line.say(frame("ping", id="s-1"))
        before = len(line.came)
        began = now()
        await asyncio.sleep(29)
        assert player.phone.frozen
        assert len(line.came) == before
        await player.phone.awake()
        assert now() == pytest.approx(began + 30)
        await asyncio.sleep(1)
        assert {kind for _, kind in kinds(line)[before:]} == {"chat.send", "pong"}
        assert player.session.status is ClientStatus.ONLINE
        assert len(player.server.lines) == 1

    played(Network(latency_ms=10), play)


@pytest.mark.parametrize("server_speaks", [True, False])
def test_back_after_longer_than_the_heartbeat_what_has_come_is_read_before_timers_run(server_speaks: bool) -> None:
    async def play(player: Player) -> None:
        line = await player.online()
        player.phone.background(100)
        if server_speaks:
            await asyncio.sleep(50)
            line.say(frame("ping", id="s-1"))
            await asyncio.sleep(50)
        else:
            await asyncio.sleep(100)
        await asyncio.sleep(2 * READ_FIRST_S)
        assert (player.session.status is ClientStatus.ONLINE) is server_speaks
        assert (line.goodbyes != []) is not server_speaks

    played(Network(latency_ms=1), play)


# As time goes by.
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_things_happen_as_often_as_the_network_says(name: str) -> None:
    network = NETWORKS[name]
    every = {
        Trouble.SWITCH: (network.switch_every_s, 0.0),
        Trouble.TUNNEL: (network.tunnel_every_s, network.tunnel_s),
        Trouble.BACKGROUND: (network.background_every_s, network.background_s),
    }

    async def play() -> None:
        phone = Phone(Server(), network, Random(name))
        phone.start()
        await asyncio.sleep(50 * HOUR_S)
        phone.stop()
        happened = dict(phone.injected)
        await asyncio.sleep(HOUR_S)
        assert dict(phone.injected) == happened, "nothing happens after the end"
        for trouble, (interval, lasts) in every.items():
            expected = 50 * HOUR_S / (interval + lasts) if interval else 0
            assert 0.8 * expected <= happened.get(trouble, 0) <= 1.2 * expected

    simulated(play)


def test_the_end_of_the_troubles_ends_the_tunnel_the_background_and_what_was_left_behind() -> None:
    async def play(player: Player) -> None:
        first = await player.online()
        player.phone.dial.switch()
        await asyncio.sleep(1)
        player.welcome()
        await asyncio.sleep(1)
        player.phone.dial.tunnel(1000)
        player.phone.background(1000)
        player.shell.request("chat.send", {"channel": "room:a", "text": "hi"})
        await asyncio.sleep(1)
        began = now()
        before = first.cut_at
        player.phone.stop()
        await player.phone.awake()
        await asyncio.sleep(1)
        assert (before, first.cut_at) == (None, began)
        at, kind = kinds(player.server.line)[-1]
        assert (kind, at) == ("chat.send", pytest.approx(began + 0.01))

    played(Network(latency_ms=10, half_open_s=1000), play)


def test_a_player_on_a_hostile_network_comes_back_each_time_and_no_request_is_left() -> None:
    """The server answers everything at once; what is between does the rest."""

    def answer(line: Line, payload: bytes) -> None:
        message = msgspec.json.decode(payload)
        if message["t"] == "hello":
            line.say(frame("welcome", re=message["id"], session="s1", heartbeat_ms=25_000, topics={}))
        else:
            line.say(frame("done", re=message["id"]))

    async def play(player: Player) -> None:
        player.server.answer = answer
        player.shell.connect()
        player.phone.start()
        for _ in range(200):
            await asyncio.sleep(5)
            await player.phone.awake()
            player.shell.request("chat.send", {"channel": "room:a", "text": "hi"})
        player.phone.stop()
        await asyncio.sleep(120)
        assert player.session.pending == {}
        assert player.session.status is ClientStatus.ONLINE
        assert {trouble for trouble, times in player.phone.injected.items() if times} == set(Trouble)
        open_lines = [line for line in player.server.lines if line.cut_at is None and not line.goodbyes]
        assert open_lines == [player.server.line], "what was left behind is cut in the end"

    played(NETWORKS["hostile"], play)
