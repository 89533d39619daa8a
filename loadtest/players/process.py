"""A process of players: ``python -m loadtest.players.process``, told what to do by the lines of ``orders``."""

import asyncio
import gc
import secrets
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

import uvloop
from msgspec import structs

from clients.python import WebSocketDial
from loadtest.figures import Meters, State
from loadtest.history import DeviceHistory, HistoryFile, TopicLog
from loadtest.players import audit
from loadtest.players.dials import BalancedDial
from loadtest.players.networks import NETWORKS, Trouble
from loadtest.players.orders import LINE_BYTES, Ended, Orders, Rested, Said, decode_orders, encode_said
from loadtest.players.phone import Phone
from loadtest.players.player import WIRES, Player
from loadtest.players.tap import Tap
from loadtest.players.tokens import tokens_of
from loadtest.scenarios import load
from protocol import ClientSession

LAG_S = 0.02  # between two looks at how late timers fire
HISTORY_BUFFER_BYTES = 256 * 1024  # one system call for a thousand records
GC_THRESHOLD = (50_000, 20, 50)  # nearly nothing that a message brings is in a cycle
PLAYING = frozenset({State.ONLINE, State.AWAY})


class Process:
    """All players of this process. Implements ``loadtest.players.player.Hall``."""

    def __init__(self, orders: Orders, tasks: asyncio.TaskGroup, history: HistoryFile | None) -> None:
        self.scenario, _ = load(orders.scenario)
        self.run = orders.run
        self.meters = Meters(orders.process)
        self.tasks = tasks
        self.stopped = False
        self.refused: dict[str, int] = {}
        self.failures: Counter[str] = Counter()
        self.injected: Counter[Trouble] = Counter()
        self.states: Counter[State] = Counter({State.WAITING: orders.count})
        self.players: list[Player] = []
        self._orders = orders
        self._loop = asyncio.get_running_loop()
        self._sleepers: dict[asyncio.Future[None], asyncio.TimerHandle] = {}
        self._taps: list[Tap] = []
        self._lag_s = 0.0
        self._make_players(history)

    def _make_players(self, history: HistoryFile | None) -> None:
        orders, shared = self._orders, dict[int, dict[str, object]]()
        tokens = tokens_of(orders.tokens, orders.players)
        dials = [WebSocketDial(url) for url in orders.urls]
        networks = [
            structs.replace(NETWORKS[name], twice=True) if orders.twice else NETWORKS[name] for name in orders.networks
        ]
        for number in range(orders.first, orders.first + orders.count):
            random = Random(f"{orders.seed}/{number}")
            name = f"{orders.run}-{number}"
            wire = WIRES[number % len(WIRES)]
            (network,) = random.choices(networks, list(orders.networks.values()))
            phone = Phone(BalancedDial(dials, random), network, random, self.injected)
            seen = DeviceHistory(history, name, orders.began) if history else None
            tap = Tap(name, phone.dial, wire, self.meters, seen)
            session = ClientSession(
                wire,
                random,
                tokens(number, name),
                client={"app": "1.0.0", "platform": "loadtest"},
                prefix=f"{name}-{secrets.token_hex(2)}",
                format=tap.format,
            )
            player = Player(self, number, session, phone, tap, random)
            player.shared = shared.setdefault(player.group, {})
            self.players.append(player)
            self._taps.append(tap)

    # Hall
    def move(self, before: State, after: State) -> None:
        self.states[before] -= 1
        self.states[after] += 1

    async def sleep_until(self, moment: float) -> None:
        if self.stopped or moment <= self._loop.time():
            return
        done: asyncio.Future[None] = self._loop.create_future()
        self._sleepers[done] = self._loop.call_at(moment, _wake, done)
        try:
            await done
        finally:
            self._sleepers.pop(done).cancel()

    # The process's life.
    async def play(self, stop: asyncio.Event) -> None:
        """Have everybody come and play, until ``stop``; then until nobody is busy any more."""
        lives = [
            self.tasks.create_task(self._live(player, self._arrival(player.number)), name=player.name)
            for player in self.players
        ]
        await stop.wait()
        self.stopped = True
        for sleeper in list(self._sleepers):
            _wake(sleeper)
        for player in self.players:
            player.calm()
        _, late = await asyncio.wait(lives, timeout=audit.REST_S)
        for life in late:
            life.cancel()
        await audit.come_to_rest(self._playing(), {})

    async def rest(self) -> tuple[list[str], list[TopicLog]]:
        """Everybody hears everything; what is missing, and what is kept."""
        playing = self._playing()
        logs = await audit.read_logs(playing)
        missing = await audit.come_to_rest(playing, {log.topic: log.seq for log in logs})
        return missing, logs

    def leave(self) -> Ended:
        """Everybody goes; what is to be said of them."""
        for player in self.players:
            player.close()
        unreached: Counter[str] = Counter()
        for tap in self._taps:
            unreached.update(tap.unreached)
        return Ended(self.refused, dict(unreached), dict(self.failures), dict(self.injected))

    async def tick(self) -> None:
        """Say each second of the run what was in it; give up what nobody waits for."""
        began, cpu = self._orders.began, time.process_time()
        second = int(self._loop.time() - began)
        try:
            while True:
                await asyncio.sleep(began + second + 1 - self._loop.time())
                now, used = self._loop.time(), time.process_time()
                share = (used - cpu) / max(1e-3, now - began - second)
                self._say_tick(second, share)
                cpu, second = used, int(now - began)
                for player in self.players:
                    player.give_up(now)
        finally:
            self._say_tick(second, 0.0)

    def _say_tick(self, second: int, cpu: float) -> None:
        lag_s, self._lag_s = self._lag_s, 0.0
        _say(self.meters.take(second, self.states, lag_ms=lag_s * 1000, cpu=cpu))

    def _playing(self) -> list[Player]:
        return [player for player in self.players if player.state in PLAYING]

    async def watch_lag(self) -> None:
        """Measure how late timers fire."""
        while True:
            due = self._loop.time() + LAG_S
            await asyncio.sleep(LAG_S)
            self._lag_s = max(self._lag_s, self._loop.time() - due)

    async def _live(self, player: Player, arrives: float) -> None:
        try:
            await player.live(arrives)
        except Exception as error:  # noqa: BLE001 - a scenario's mistake ends its player and is told, not the run
            self.failures[f"{type(error).__name__}: {error}"] += 1
            player.fail()

    def _arrival(self, number: int) -> float:
        share = (number + 0.5) / self._orders.players
        return self._orders.began + self._orders.ramp_s * self.scenario.arrival(share)


async def main() -> None:
    """Play as told."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orders = decode_orders(await reader.readline())
    with ExitStack() as files:
        history: HistoryFile | None = None
        if orders.history:
            history = HistoryFile(files.enter_context(Path(orders.history).open("wb", HISTORY_BUFFER_BYTES)))  # noqa: ASYNC230 - once
        async with asyncio.TaskGroup() as tasks:
            process = Process(orders, tasks, history)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLD)
            await _play(process, reader, orders, history)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()


async def _play(process: Process, reader: asyncio.StreamReader, orders: Orders, history: HistoryFile | None) -> None:
    stop = asyncio.Event()
    beside = [
        process.tasks.create_task(process.tick(), name="tick"),
        process.tasks.create_task(process.watch_lag(), name="lag"),
        process.tasks.create_task(_stop_when_told(reader, stop), name="orders"),
    ]
    await process.play(stop)
    for task in beside:
        task.cancel()
    await asyncio.wait(beside)
    missing, logs = await process.rest()
    _say(Rested(missing))
    if history is not None:
        for record in await audit.read_finals(process.players, logs, orders.began):
            history.add(record)
    ended = process.leave()
    if history is not None:
        history.flush()
    _say(ended)


async def _stop_when_told(reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
    await reader.readline()
    stop.set()


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _say(what: Said) -> None:
    with suppress(BrokenPipeError):  # the coordinator is gone; the end of our input says so too
        sys.stdout.buffer.write(encode_said(what) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
