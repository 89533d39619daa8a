"""What nodes say of themselves: their ``/metrics``, looked at every second, as differences between looks."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

import httpx
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from loadtest.outcome import ServerFigures, ServerMoment

EVERY_S = 1.0
PATIENCE_S = 2.0  # for an answer, to its last byte
CPU = "process_cpu_seconds_total"
MEMORY = "process_resident_memory_bytes"
CONNECTIONS = "guildhall_connections"
COMMIT_SUM, COMMIT_COUNT = "guildhall_commit_seconds_sum", "guildhall_commit_seconds_count"
LAG_NOW = "guildhall_loop_lag_now_seconds"
LAG_SUM, LAG_BUCKET = "guildhall_loop_lag_seconds_sum", "guildhall_loop_lag_seconds_bucket"
WANTED = (CPU, MEMORY, CONNECTIONS, COMMIT_SUM, COMMIT_COUNT, LAG_NOW, LAG_SUM, LAG_BUCKET)

Numbers = dict[str, float]
"""Samples of one process by name, those of buckets by name and bound."""


class Scrape:
    """Looks at nodes for as long as ``run`` runs. ``now`` gives seconds, ``began`` is when the run began by it."""

    def __init__(
        self,
        urls: Iterable[str],
        *,
        began: float,
        now: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._nodes = [_Node(url, patience_s) for url in urls]
        self._began = began
        self._now = now
        self._every_s = every_s

    @property
    def figures(self) -> list[ServerFigures]:
        """What was seen so far, in the order of the URLs."""
        return [ServerFigures(node.url, node.moments) for node in self._nodes]

    def notes(self) -> list[str]:
        """Nodes of which nothing is known, with the reason."""
        return [f"no metrics of {node.url}: {node.trouble}" for node in self._nodes if not node.answered]

    async def run(self) -> None:
        """For ever; each node is asked on its own, so that one that is slow delays no other."""
        async with AsyncExitStack() as open_now:
            client = await open_now.enter_async_context(_client())
            tasks = await open_now.enter_async_context(asyncio.TaskGroup())
            for node in self._nodes:
                tasks.create_task(self._watch(node, client), name=f"scrape {node.url}")

    async def look(self) -> None:
        """Ask each once: what ``run`` does every second."""
        async with _client() as client, asyncio.TaskGroup() as tasks:
            for node in self._nodes:
                tasks.create_task(node.look(client, self._now, self._began), name=f"scrape {node.url}")

    async def _watch(self, node: "_Node", client: httpx.AsyncClient) -> None:
        while True:
            asked = self._now()
            await node.look(client, self._now, self._began)
            await asyncio.sleep(max(0.0, asked + self._every_s - self._now()))


class _Node:
    """One URL, behind which a process answers, or several workers at once."""

    def __init__(self, url: str, patience_s: float) -> None:
        self.url = url
        self.moments: list[ServerMoment] = []
        self.answered = False
        self.trouble = "nobody has asked"
        self._metrics = url if url.endswith("/metrics") else f"{url.rstrip('/')}/metrics"
        self._patience_s = patience_s
        self._before: dict[str, _Look] = {}
        """The newest look at each process; one that was away for a while is compared with what it said before."""

    async def look(self, client: httpx.AsyncClient, now: Callable[[], float], began: float) -> None:
        """Ask once, and keep what came of it."""
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await client.get(self._metrics)
            answer.raise_for_status()
            pages = processes(answer.text)
        except TimeoutError:
            pages, self.trouble = {}, f"no answer within {self._patience_s:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            pages, self.trouble = {}, str(error).partition("\n")[0] or type(error).__name__
        except ValueError:
            pages, self.trouble = {}, "what it answers is no page of metrics"
        else:
            self.answered = self.answered or bool(pages)
            self.trouble = "it answers with none of a node's metrics"
        at = now()
        self.moments.append(self._moment(at, round((at - began) * 1000), pages))

    def _moment(self, at: float, at_ms: int, pages: Mapping[str, Numbers]) -> ServerMoment:
        looks = [(_Look(at, numbers), self._before.get(process)) for process, numbers in pages.items()]
        self._before |= {process: _Look(at, numbers) for process, numbers in pages.items()}
        spans = [(look, before) for look, before in looks if before is not None]
        return ServerMoment(
            at_ms=at_ms,
            cpu=_sum(look.rise(before, CPU) / (look.at - before.at) for look, before in spans if look.follows(before)),
            memory_bytes=_sum(look.numbers[MEMORY] for look, _ in looks if MEMORY in look.numbers),
            commit_ms=_commit_ms(spans),
            loop_lag_ms=max(
                (lag for look, before in looks if (lag := _lag_ms(look, before)) is not None), default=None
            ),
            sessions=_sum(look.numbers[CONNECTIONS] for look, _ in looks if CONNECTIONS in look.numbers),
        )


class _Look(Struct, frozen=True):
    """What one process said."""

    at: float
    numbers: Numbers

    def follows(self, before: "_Look") -> bool:
        """Whether processor time has a rise since ``before``."""
        return self.at > before.at and CPU in self.numbers and CPU in before.numbers

    def rise(self, before: "_Look", name: str) -> float:
        """How far a counter rose. One that fell began again at 0: the process is a new one."""
        now, then = self.numbers.get(name, 0.0), before.numbers.get(name, 0.0)
        return now if self.began_after(before) else max(0.0, now - then)

    def began_after(self, before: "_Look") -> bool:
        """Whether it is another process, in whose life the counters of ``before`` never were."""
        return any(self.numbers.get(name, 0.0) < before.numbers.get(name, 0.0) for name in (CPU, COMMIT_COUNT, LAG_SUM))


def processes(page: str) -> dict[str, Numbers]:
    """The wanted numbers of each process by its label ``worker``; one that is alone has none, and is ``""``.

    Raises:
        ValueError: the page is not in Prometheus's form.
    """
    found: dict[str, Numbers] = {}
    wanted = "".join(f"{line}\n" for line in page.splitlines() if line.startswith(WANTED))
    if not wanted and not page.startswith("# "):
        raise ValueError("no metrics")
    for family in text_string_to_metric_families(wanted):
        for sample in family.samples:
            bound = sample.labels.get("le", "")
            found.setdefault(sample.labels.get("worker", ""), {})[f"{sample.name}{bound}"] = sample.value
    return found


def _commit_ms(spans: Sequence[tuple[_Look, _Look]]) -> float | None:
    """Mean of all commits since the last look."""
    commits = sum(look.rise(before, COMMIT_COUNT) for look, before in spans)
    seconds = sum(look.rise(before, COMMIT_SUM) for look, before in spans)
    return seconds / commits * 1000 if commits else None


def _lag_ms(look: _Look, before: _Look | None) -> float | None:
    """The longest since the last look, or what it was the last time.

    The histogram tells in which range the longest lies, and its sum how long it can be at most: what is left when each
    of the others was as short as its own range allows.
    """
    now = look.numbers.get(LAG_NOW)
    if now is None:
        return None
    counts = _in_ranges(look, before) if before is not None else []
    grown = [(least, most, count) for least, most, count in counts if count > 0]
    if before is None or not grown:
        return now * 1000
    others = sum(least * count for least, _, count in grown) - grown[-1][0]
    return max(now, min(grown[-1][1], look.rise(before, LAG_SUM) - others)) * 1000


def _in_ranges(look: _Look, before: _Look) -> list[tuple[float, float, float]]:
    """Each range of the lag's histogram: from, to, and how many came to it since ``before``."""
    bounds = sorted(float(name.removeprefix(LAG_BUCKET)) for name in look.numbers if name.startswith(LAG_BUCKET))
    names = {float(name.removeprefix(LAG_BUCKET)): name for name in look.numbers if name.startswith(LAG_BUCKET)}
    ranges, below, least = [], 0.0, 0.0
    for most in bounds:
        so_far = look.rise(before, names[most])
        ranges.append((least, most, so_far - below))
        below, least = so_far, most
    return ranges


def _sum(values: Iterable[float]) -> float | None:
    """None: there are none."""
    kept = list(values)
    return sum(kept) if kept else None


def _client() -> httpx.AsyncClient:
    # Not by way of a proxy that the environment names: players do not go by it either.
    return httpx.AsyncClient(timeout=None, trust_env=False)  # noqa: S113 - each look has its own
