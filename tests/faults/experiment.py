"""An experiment: a cluster, a town that lives in it, a fault, recovery, and the judge."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext
from heapq import merge
from itertools import count
from operator import attrgetter
from pathlib import Path

import httpx
from msgspec import Struct, json

from loadtest.check import Rule, Verdict, check
from loadtest.history import write_history
from tests.faults.finals import commits, finals, note_commits
from tests.faults.swarm import Summary, Swarm, swarming
from tests.faults.town import Town
from tests.support.crowd import together
from tests.support.nodes import NodeProcess
from tests.support.recorded import Backend, Recorder, Wait, recorded_crowd

LEASE_S = 2.0
BACK_S = LEASE_S + 1.0
"""The promise: after a node's death its actors answer again within so long."""
ALONE = bool(os.environ.get("FAULTS_TABLE"))
"""Whether this is `make faults`; in `make test` the machine is shared with other tests."""
BUSY_S = 0.5 if ALONE else 30.0
"""What a machine adds whose cores others use too. Beside other tests it says whether service comes back, alone when."""
CALM_S = 0.1
"""The promise for whoever is not concerned: the slowest of 100 requests."""
PLAYERS = int(os.environ.get("FAULTS_PLAYERS", "40"))
BEFORE_S = 2.0
ANSWERED_S = 60.0  # of the fault and the recovery; every request has its answer by then
SERVICE = frozenset({"chat.send", "leaderboard.submit"})
"""Requests of which "time without service" speaks: one actor each. A gift waits for two, and has its own number."""
DOUBLED = frozenset({Rule.ONCE, Rule.REPLIES, Rule.REUSE, Rule.ASKED})
_names = count(1)


class Cluster:
    """Nodes that share a database and a bus; ended with the test."""

    def __init__(self, folder: Path, store: str, bus: str, running: ExitStack) -> None:
        self.store = store
        self.bus = bus
        self.nodes: list[NodeProcess] = []
        self.names: dict[NodeProcess, str] = {}
        self._folder = folder
        self._running = running

    async def add(self, *, store: str = "", bus: str = "", module: str = "server") -> NodeProcess:
        """One more, ready; ``store`` and ``bus`` where it goes another way (a proxy's), ``module`` of another build."""
        name = f"node{next(_names)}"
        options = ["--store", store or self.store, "--bus", bus or self.bus, "--node", name]
        node = NodeProcess(self._folder, name, *options, "--lease", str(LEASE_S), "--limits", "off")
        node.module = module
        self._running.callback(node.stop)
        await asyncio.to_thread(node.start)
        self.nodes.append(node)
        self.names[node] = name
        return node

    async def add_more(self, nodes: int, *, module: str = "server") -> None:
        """So many more."""
        for _ in range(nodes):
            await self.add(module=module)

    def logged(self, event: str) -> int:
        """How often a line of this name was logged; no node may have logged a traceback."""
        lines = [line for node in self.nodes for line in node.log.read_text().splitlines()]
        assert not [line for line in lines if "Traceback" in line]
        return sum(event in line for line in lines)


class Measured(Struct):
    """What an experiment came to."""

    fault: str
    load: str
    silence_s: float
    """The longest that a line or a score waited for its answer, from the first try: time without service."""
    gift_s: float
    """The same of everything that takes two actors."""
    calm_s: float | None
    """Of those who had nothing to do with it, the slowest of 100 requests; None: it concerned everybody."""
    usual_s: float
    """Of everybody's lines before the fault, the slowest of 100: what this machine can do now."""
    retries: int
    lost: int
    doubled: int
    verdict: Verdict
    waits: list[Wait]
    began: float
    ended: float
    swarm: Summary | None
    """What the swarm says, if there was one."""

    @property
    def row(self) -> str:
        """A line of the table."""
        calm = "" if self.calm_s is None else f"{self.calm_s * 1000:.0f} ms"
        return (
            f"| {self.fault} | {self.load} | {self.silence_s:.1f} s | {self.gift_s:.1f} s | {calm}"
            f" | {self.retries} | {self.lost} | {self.doubled} |"
        )


Fault = Callable[[Town], Awaitable[None]]
Calm = Callable[[Wait], bool]


class Experiment:
    """Runs one. ``calm`` says of a request during the fault whether it had nothing to do with it."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        *,
        players: int = PLAYERS,
        pause_s: float = 1.0,
        after_s: float = 3.0,
        swarm: int = 0,
        gathers: bool = False,
        within_s: float = ANSWERED_S,
    ) -> None:
        self.cluster = cluster
        self.recorder = Recorder()
        self.calm: Calm | None = None
        self._folder = folder
        self._players = players
        self._pause_s = pause_s
        self._after_s = after_s
        self._swarm = swarm
        self._gathers = gathers
        self._within_s = within_s
        self.note = ""
        """What else was measured, said with the load."""

    async def run(self, says: str, fault: Fault) -> Measured:
        """Live, hurt, recover, rest, judge. Fails if the judge finds anything."""
        loop = asyncio.get_running_loop()
        await note_commits(self.cluster.store)
        async with self._town() as town, self._swarming() as swarm:
            await town.settle_in()
            if swarm is not None:
                await swarm.do("talk")
            times: list[float] = []

            async def direct() -> None:
                await asyncio.sleep(BEFORE_S)
                times.append(loop.time())
                await fault(town)
                times.append(loop.time())
                await asyncio.sleep(self._after_s)
                town.stop()

            async with asyncio.timeout(BEFORE_S + self._within_s):
                await together(direct(), town.live())
            await town.come_to_rest()
            if swarm is not None:
                await swarm.do("stop")
                await swarm.do(f"rest {json.encode(await town.stand()).decode()}")
                await swarm.end()
            waits = [wait for player in town.players for wait in player.waits]
        if swarm is not None:
            self.recorder.records = list(merge(self.recorder.records, swarm.records, key=attrgetter("at")))
            self.note = _of_reconnects(swarm.summary.away_s)
        self.recorder.records += await asyncio.to_thread(commits, self.cluster.store, self.recorder.at)
        self.recorder.records += await asyncio.to_thread(finals, self.cluster.store, self.recorder.at)
        measured = self._measured(says, waits, times[0], times[1], swarm.summary if swarm else None)
        if not measured.verdict.good:
            path = self._folder / "history.jsonl"
            await asyncio.to_thread(write_history, path, self.recorder.records)
            raise AssertionError(f"{measured.row}\n{measured.verdict}\nall of it: {path}")
        return measured

    @asynccontextmanager
    async def _town(self) -> AsyncIterator[Town]:
        names = [f"p{n}" for n in range(self._players)]
        nodes = self.cluster.nodes
        async with (
            httpx.AsyncClient(timeout=5, limits=httpx.Limits(max_connections=40)) as http,
            recorded_crowd(self.recorder, list(nodes), names) as players,
        ):
            yield Town(self.cluster.store, players, Backend(self.recorder, http, nodes), self._pause_s)

    def _swarming(self) -> AbstractAsyncContextManager[Swarm | None]:
        if not self._swarm:
            return nullcontext()
        nodes, began = self.cluster.nodes, self.recorder.began
        return swarming(nodes, self._swarm, began, self._folder / "swarm.jsonl", gathers=self._gathers)

    def _measured(
        self, says: str, waits: Sequence[Wait], began: float, ended: float, swarm: Summary | None
    ) -> Measured:
        verdict = check(self.recorder.records)
        asked, retries = self.recorder.count()
        during = [wait for wait in waits if wait.ended > began]
        calm = None if self.calm is None else [wait.lasted for wait in during if self.calm(wait)]
        doubled = sum(found for rule, found in verdict.found.items() if rule in DOUBLED)
        return Measured(
            fault=says,
            load="; ".join(filter(None, [f"{self._players + self._swarm:,} players, {asked:,} requests", self.note])),
            silence_s=max((wait.lasted for wait in during if wait.kind in SERVICE), default=0.0),
            gift_s=max((wait.lasted for wait in during if wait.kind not in SERVICE), default=0.0),
            calm_s=None if calm is None else percentile(calm, 0.99),
            usual_s=percentile([w.lasted for w in waits if w.ended <= began and w.kind == "chat.send"], 0.99),
            retries=retries,
            lost=sum(verdict.found.values()) - doubled,
            doubled=doubled,
            verdict=verdict,
            waits=list(waits),
            began=began,
            ended=ended,
            swarm=swarm,
        )


def _of_reconnects(away_s: Sequence[float]) -> str:
    half, most = percentile(away_s, 0.5), percentile(away_s, 0.99)
    return f"{len(away_s):,} reconnected, half of them within {half:.1f} s, 99 of 100 within {most:.1f} s"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all do not pass."""
    assert values, "nothing was measured"
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
