"""One run from its first player to its outcome."""

import asyncio
import gc
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, datetime
from heapq import merge
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import structs

from clients.python import Client, ClientOptions, NotConnected, SessionEnded
from loadtest.checking import Verdict, check
from loadtest.figures import Count, State
from loadtest.history import AnyRecord, Final, read_history, write_history
from loadtest.outcome import Outcome, ServerFigures
from loadtest.players.orders import Ended
from loadtest.players.tokens import tokens_of
from loadtest.running.fleet import END_S, Fleet, FleetTrouble, fleet_of
from loadtest.running.gathering import Gathering
from loadtest.running.live import LiveView
from loadtest.running.plan import Plan, http_of
from loadtest.running.scrape import Scrape
from loadtest.running.servers import LocalNode, ServerTrouble, local_nodes
from loadtest.running.stage import Stage, Tools

BEGIN_S = 1.0  # for the processes to start before the first player is due
KNOCK_S = 5.0  # for a node to welcome the first of all players
Says = Callable[[str], None]
OVER = frozenset({State.REFUSED, State.FAILED, State.DONE})


class Run:
    """One run. ``stop`` ends its play early, cleanly; the outcome says so."""

    def __init__(self, plan: Plan, view: LiveView, says: Says) -> None:
        self.plan = plan
        self._view = view
        self._says = says
        self._started = datetime.now(UTC)
        self._name = plan.run_name(self._started)
        self._reasons: list[str] = []
        self._stopping = asyncio.Event()
        self._interrupted = False
        self._records: list[AnyRecord] = []
        self._gathering = Gathering(0)
        self._stage: Stage | None = None
        self._scrape: Scrape | None = None
        self._ended: list[Ended] = []
        self._played_s = 0.0
        self._verdict: Verdict | None = None
        self._history = ""

    def stop(self) -> None:
        """End playing now; a second call does not wait for anybody."""
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        self._stopping.set()

    async def play(self) -> Outcome:
        """All of it. Whatever goes wrong is in the outcome."""
        with TemporaryDirectory(prefix="loadtest-") as made:
            folder = Path(made)
            async with AsyncExitStack() as running:
                try:
                    nodes = await self._serve(running, folder)
                    await self._knock()
                    await self._play(running, folder, nodes)
                except (ServerTrouble, FleetTrouble) as trouble:
                    self._reasons.append(str(trouble))
            if self.plan.check and self._ended:
                self._says("judging what was recorded")
                await asyncio.to_thread(self._judge, folder)
        return self._outcome()

    # Before.
    async def _serve(self, running: AsyncExitStack, folder: Path) -> list[LocalNode]:
        plan = self.plan
        if not plan.serve:
            http = plan.http or [http_of(url) for url in plan.urls]
            self.plan = structs.replace(plan, http=list(dict.fromkeys(http)))
            return []
        self._says(f"starting {plan.serve} {'node' if plan.serve == 1 else 'nodes'}")
        nodes = await running.enter_async_context(local_nodes(plan.serve, folder, store=plan.store, bus=plan.bus))
        self.plan = structs.replace(plan, urls=[node.url for node in nodes], http=[node.http for node in nodes])
        return nodes

    async def _knock(self) -> None:
        """See that every address welcomes a player, before thousands find out that it does not.

        Raises:
            ServerTrouble: one does not.
        """
        token = tokens_of(self.plan.tokens, self.plan.players)(0, f"{self._name}-0")
        for url in self.plan.urls:
            try:
                async with Client.connect(url, token=token, options=ClientOptions(within_s=KNOCK_S)):
                    pass
            except NotConnected as error:
                raise ServerTrouble(f"nobody answers at {url}: {error}") from None
            except SessionEnded as error:
                raise ServerTrouble(f"{url} takes no player of ours: {error}") from None

    # The play.
    async def _play(self, running: AsyncExitStack, folder: Path, nodes: Sequence[LocalNode]) -> None:
        plan = self.plan
        began = time.monotonic() + BEGIN_S
        orders = plan.orders(self._name, began, folder)
        self._gathering = Gathering(len(orders))
        tools = Tools(http=plan.http, staff_key=plan.staff_key, nodes=nodes, replace=plan.replace)
        self._stage = Stage(tools, self._records.append, run=self._name, began=began, duration_s=plan.duration_s)
        self._scrape = Scrape(plan.http, began=began)
        fleet = await running.enter_async_context(fleet_of(orders, folder, self._gathering.add))
        try:
            async with asyncio.timeout(BEGIN_S + plan.duration_s + END_S), asyncio.TaskGroup() as tasks:
                heard = tasks.create_task(fleet.listen(), name="fleet")
                async with self._view:
                    beside = [
                        tasks.create_task(self._direct(self._stage), name="director"),
                        tasks.create_task(self._scrape.run(), name="scrape"),
                        tasks.create_task(self._watch(began, self._stage, self._scrape), name="watch"),
                    ]
                    await self._until_over(began, heard)
                    self._played_s = time.monotonic() - began
                    for task in beside:
                        task.cancel()
                self._says("waiting for everybody to be answered, and to hear everything")
                fleet.stop()
        except* FleetTrouble as group:
            self._reasons += [str(error) for error in group.exceptions]
        except* TimeoutError:
            self._reasons.append(f"the players did not come to an end within {END_S:.0f} s")
        self._gathering.finish()
        self._take_end(fleet)

    async def _until_over(self, began: float, heard: asyncio.Task[None]) -> None:
        """Wait for the end of the time, somebody's wish, or nobody being left who plays."""
        ends = asyncio.get_running_loop().call_at(began + self.plan.duration_s, self._stopping.set)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((stopped, heard), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            ends.cancel()

    async def _direct(self, stage: Stage) -> None:
        direct = self.plan.scenario.direct
        if direct is None:
            return
        try:
            await direct(stage)
        except Exception as error:  # noqa: BLE001 - a mistake there is told, and ends the director, not the run
            self._reasons.append(f"the scenario's director failed: {type(error).__name__}: {error}")
        except asyncio.CancelledError:
            if not self._interrupted:
                self._reasons.append("the scenario's director was not finished when the time was over")
            raise

    async def _watch(self, began: float, stage: Stage, scrape: Scrape) -> None:
        """Show each second; stop where nobody is left."""
        second = 0
        while True:
            second += 1
            await asyncio.sleep(began + second + 0.2 - time.monotonic())
            players = self._gathering.whole.players
            self._view.update(second, self._gathering.newest, self._gathering.whole, scrape.figures, stage.marks)
            if players and sum(players[state] for state in OVER) == players.total():
                self._stopping.set()

    def _take_end(self, fleet: Fleet) -> None:
        self._ended = fleet.ended
        if fleet.missing:
            few = "; ".join(fleet.missing[:3])
            self._reasons.append(f"{len(fleet.missing)} players did not come to rest: {few}")
        for failure, times in _summed(ended.failures for ended in fleet.ended).items():
            self._reasons.append(f"the scenario failed for {times} players: {failure}")

    # After.
    def _judge(self, folder: Path) -> None:
        with _without_collector():
            verdict = self._verdict = check(self._merged(folder))
        kept = self.plan.history
        if kept is None and not verdict.good:
            kept = self.plan.evidence / f"loadtest-{self._name}-history.jsonl"
        if kept is not None:
            write_history(kept, self._merged(folder))
            self._history = str(kept)

    def _merged(self, folder: Path) -> Iterator[AnyRecord]:
        """The histories of all processes and of the director, in the order of time."""
        files = [read_history(path) for path in sorted(folder.glob("history-*.jsonl"))]
        at = 0
        for record in merge(*files, iter(self._records), key=attrgetter("at")):
            at = record.at
            yield record
        yield Final(at, "settled", True)

    def _outcome(self) -> Outcome:
        gathering, whole = self._gathering, self._gathering.whole
        notes = list(self._stage.notes) if self._stage else []
        self._reasons += self._stage.undone if self._stage else []
        servers: list[ServerFigures] = self._scrape.figures if self._scrape else []
        notes += self._scrape.notes() if self._scrape else []
        refused = _summed(ended.refused for ended in self._ended)
        injected = _summed(ended.injected for ended in self._ended)
        unreached = _summed(ended.unreached for ended in self._ended)
        notes += [f"{times} times: {reason}" for reason, times in unreached.most_common(5)]
        notes += [f"{kind} {times} times" for kind, times in injected.items()]
        played = [f"node-{n + 1} at {url}, started by the tester" for n, url in enumerate(self.plan.urls)]
        tester = gathering.tester(self._played_s, closed_loop=self.plan.scenario.closed_loop)
        return Outcome(
            setting=self.plan.setting(self._started, len(self._ended), played if self.plan.serve else [], notes),
            passed=False,
            reasons=[*self._reasons, *self._of_the_run(tester.bottleneck)],
            played_s=round(self._played_s, 1),
            interrupted=self._interrupted,
            counts=dict(whole.counts),
            errors=dict(whole.errors),
            closes=dict(whole.closes),
            players=dict(whole.players),
            refused=dict(refused),
            kinds=gathering.kinds(),
            moments=gathering.moments,
            server=servers,
            marks=list(self._stage.marks) if self._stage else [],
            tester=tester,
            verdict=self._verdict,
            history=self._history,
        )

    def _of_the_run(self, bottleneck: str) -> list[str]:
        """What is wrong whatever the limits are. What the checker has found is judged with them (``slo.judge``)."""
        counts, reasons = self._gathering.whole.counts, list[str]()
        if not counts[Count.SIGN_INS]:
            reasons.append("nobody was ever online")
        elif not counts[Count.ANSWERED]:
            reasons.append("no request was ever answered")
        if bottleneck:
            reasons.append(f"the tester was the bottleneck: {bottleneck}")
        return reasons


async def run(plan: Plan, view: LiveView, says: Says) -> Outcome:
    """Run it, and say what is done while nobody plays. Ctrl-C and SIGTERM end the play, a second one everything."""
    made = Run(plan, view, says)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, made.stop)
    try:
        return await made.play()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):
                loop.remove_signal_handler(number)


def _summed(counts: Iterable[Mapping[Any, int]]) -> Counter[str]:
    """What the processes have counted, all together."""
    sums: Counter[str] = Counter()
    for each in counts:
        sums.update(each)
    return sums


@contextmanager
def _without_collector() -> Iterator[None]:
    """Nothing of a history refers to itself, and going through millions of records again takes half of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
