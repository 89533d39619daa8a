"""Real client sessions on the worst of networks, and a real node: everybody hears every line once, in order."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec.structs import asdict

from clients.python import Ear, Link, Shell, WebSocketDial
from loadtest.check import Rule, check
from loadtest.history import Answered, Asked, Heard, Lost, Welcomed
from loadtest.players.networks import NETWORKS, Network, Trouble
from loadtest.players.phone import Phone
from protocol import ClientSession, ClientStatus, Disconnected, Output, Wire
from tests.faults.finals import finals
from tests.support.nodes import node
from tests.support.recorded import NOT_ASKED, Recorder

PLAYERS = 8
ROOM = "room:hostile"
TOPIC = f"chat:{ROOM}"
FASTER = 30.0  # so that a switch comes each two seconds instead of each minute
TALK_S = 3.0
PAUSE_S = 0.1  # between two lines of a player, on average
PATIENCE_S = 40.0


def hurried(network: Network, by: float) -> Network:
    """The same with everything so much faster."""
    times = {
        name: value / by for name, value in asdict(network).items() if value and name.endswith(("_ms", "_s"))
    }  # fmt: skip
    rates = {name: value * by for name, value in asdict(network).items() if value and name.endswith("_kbps")}
    return msgspec.structs.replace(network, **times, **rates)


class Hasty(Random):
    """Dice with which the pauses before a reconnect are shorter as well."""

    def random(self) -> float:
        return super().random() / FASTER


class Player:
    """One of them, who writes down what it sees of its connections."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        self.name = f"h{number}"
        self.random = Random(number)
        wire = Wire.MSGPACK if number % 2 else Wire.JSON
        self.session = ClientSession(wire, Hasty(number), f"dev:{self.name}", prefix=f"{self.name}-x")
        network = hurried(NETWORKS["hostile"], FASTER)
        self.phone = Phone(WebSocketDial(crowd.url), network, Random(f"network of {number}"))
        self.shell = Shell(self.session, self.dial, crowd.tasks, self._told, clock=self.phone.clock)
        self._crowd = crowd
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.decode if wire.binary else msgspec.json.decode
        self._hello: dict[str, Any] = {}

    async def dial(self, wire: Wire, ear: Ear) -> Link:
        """A connection that is watched from the application's side."""
        return _Watched(self, await self.phone.dial(wire, _WatchedEar(self, ear)))

    async def play(self) -> None:
        """Say lines until the time is over; then live in peace."""
        self.phone.start()
        ends = self.phone.clock.time() + TALK_S
        while self.phone.clock.time() < ends:
            await asyncio.sleep(self.random.uniform(0, 2 * PAUSE_S))
            await self.phone.awake()
            if len(self.session.pending) < 30:
                self.shell.request("chat.send", {"channel": ROOM, "text": f"{self.random.getrandbits(24)}"})
        self.phone.stop()

    @property
    def heard_up_to(self) -> int:
        """Its place in the topic."""
        return self.session.cursors.for_hello().get(TOPIC, ("", 0))[1]

    def sent(self, payload: bytes) -> None:
        message = self._decode(payload)
        if message["t"] == "hello":
            self._hello = message
        elif message["t"] not in NOT_ASKED:
            self._crowd.recorder.add(Asked(self._crowd.recorder.at, self.name, self.name, message["id"], message))

    def came(self, payload: bytes) -> None:
        message, recorder = self._decode(payload), self._crowd.recorder
        if message["t"] == "welcome":
            recorder.add(Welcomed(recorder.at, self.name, self.name, message, self._hello.get("resume")))
        elif message.get("re", self._hello["id"]) != self._hello["id"] and message["t"] not in NOT_ASKED:
            recorder.add(Answered(recorder.at, self.name, self.name, message["re"], message))
            if message["t"] == "chat.sent":
                self._crowd.stand = max(self._crowd.stand, message["seq"])
        elif message.get("seq") is not None:
            recorder.add(Heard(recorder.at, self.name, self.name, message))

    def _told(self, output: Output) -> None:
        if isinstance(output, Disconnected):
            self._crowd.recorder.add(Lost(self._crowd.recorder.at, self.name, self.name))
        self._crowd.changed.set()


class _WatchedEar:
    def __init__(self, player: Player, ear: Ear) -> None:
        self._player = player
        self._ear = ear
        self.lost = ear.lost

    def heard(self, payload: bytes) -> None:
        self._player.came(payload)
        self._ear.heard(payload)


class _Watched:
    def __init__(self, player: Player, link: Link) -> None:
        self._player = player
        self._link = link
        self.close = link.close
        self.abort = link.abort
        self.wait_gone = link.wait_gone

    def send(self, payload: bytes) -> None:
        self._player.sent(payload)
        self._link.send(payload)


class Crowd:
    """All of them."""

    def __init__(self, url: str, tasks: asyncio.TaskGroup) -> None:
        self.url = url
        self.tasks = tasks
        self.recorder = Recorder()
        self.changed = asyncio.Event()
        self.stand = 0
        """The last line that was acknowledged."""
        self.players = [Player(self, n) for n in range(PLAYERS)]

    async def play(self) -> None:
        """Come, talk, and wait until everything is answered and heard."""
        for player in self.players:
            player.shell.connect()
            player.shell.request("chat.join", {"channel": ROOM})
        async with asyncio.TaskGroup() as talking:
            for player in self.players:
                talking.create_task(player.play())
        async with asyncio.timeout(PATIENCE_S):
            while not all(self._is_done(player) for player in self.players):
                self.changed.clear()
                await self.changed.wait()

    def _is_done(self, player: Player) -> bool:
        session = player.session
        return session.status is ClientStatus.ONLINE and not session.pending and player.heard_up_to >= self.stand


async def test_on_a_hostile_network_everybody_hears_every_line_once_and_in_order(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/g.db"
    with node(tmp_path, "node", "--store", store, "--limits", "off") as server:
        async with asyncio.TaskGroup() as tasks:
            crowd = Crowd(server.url, tasks)
            await crowd.play()
            crowd.recorder.records += await asyncio.to_thread(finals, store, crowd.recorder.at)
            for player in crowd.players:
                player.shell.stop()
    verdict = check(crowd.recorder.records)
    injected = sum((player.phone.injected for player in crowd.players), start=Counter())
    assert verdict.good, str(verdict)
    assert all(injected[trouble] > 0 for trouble in set(Trouble) - {Trouble.UNREACHED})  # of few dials all may succeed
    assert verdict.judged[Rule.ORDER] > PLAYERS * crowd.stand / 2
    assert verdict.judged[Rule.ACKNOWLEDGED] >= crowd.stand
