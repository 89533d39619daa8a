"""What the live view shows, as plain values: taken from the totals on the loop, drawn elsewhere."""

from collections import Counter, deque
from collections.abc import Sequence

from hdrh.histogram import HdrHistogram
from msgspec import Struct

from loadtest.figures import RESUME, Count, State, Totals, bottleneck, histogram, quantiles_ms
from loadtest.outcome import Judged, Mark, ServerFigures, ServerMoment
from loadtest.reporting.seen import NAMED
from loadtest.reporting.slo import Slo, live

RECENT_S = 10
MINUTE_S = 60
KINDS = 10
SELDOM_S = 5
"""Quantiles of the whole run and the limits change slowly and cost the most: they are taken anew so often."""
ANSWERS = "answers/s"
DELIVERIES = "deliveries/s"

Four = tuple[float, ...]
"""p50, p90, p99 and p99.9 in milliseconds; empty: there is nothing."""


class Kind(Struct, frozen=True):
    """Latencies of one kind."""

    name: str
    per_s: float
    """Of the last ten seconds, as ``recent``."""
    recent: Four
    whole: Four


class Node(Struct, frozen=True):
    """One node, and its CPU of the last minute."""

    url: str
    last: ServerMoment
    cpu: list[float]


class Frame(Struct, frozen=True, kw_only=True):
    """One second's picture."""

    title: str
    second: int
    duration_s: float
    players: dict[State, int]
    rates: dict[str, list[float]]
    """Answers and deliveries in each second of the last minute."""
    counts: dict[Count, int]
    errors: dict[str, int]
    closes: dict[str, int]
    resume: Four
    kinds: list[Kind]
    nodes: list[Node]
    lag_ms: float
    cpu: list[float]
    bottleneck: str
    """Why the tester is late in this second, in words; empty: it is not."""
    judged: list[Judged]
    marks: list[Mark]


class Frames:
    """Makes one of each second, and remembers what later ones need."""

    def __init__(self, title: str, duration_s: float, slo: Slo) -> None:
        self._title = title
        self._duration_s = duration_s
        self._slo = slo
        self._recent: deque[Totals] = deque(maxlen=RECENT_S)
        self._rates: dict[str, deque[float]] = {name: deque(maxlen=MINUTE_S) for name in (ANSWERS, DELIVERIES)}
        self._whole: dict[str, Four] = {}
        self._judged: list[Judged] = []
        self._seldom_at = -SELDOM_S

    def frame(
        self, second: int, now: Totals, whole: Totals, servers: Sequence[ServerFigures], marks: Sequence[Mark]
    ) -> Frame:
        """The picture of ``second``; ``now`` must not change afterwards."""
        self._recent.append(now)
        self._rates[ANSWERS].append(now.counts[Count.ANSWERED])
        self._rates[DELIVERIES].append(now.counts[Count.HEARD] + now.counts[Count.TOLD])
        names = _busiest(whole)
        if second >= self._seldom_at + SELDOM_S:
            self._seldom_at = second
            self._whole = {name: _four(whole.took[name]) for name in {*names, RESUME} & whole.took.keys()}
            self._judged = live(self._slo, whole, second + 1, servers)
        return Frame(
            title=_plain(self._title),
            second=second,
            duration_s=self._duration_s,
            players=dict(whole.players),  # also of a process that is silent
            rates={name: list(rates) for name, rates in self._rates.items()},
            counts=dict(whole.counts),
            errors=_named(whole.errors),
            closes=_named(whole.closes),
            resume=self._whole.get(RESUME, ()),
            kinds=[self._kind(name) for name in names],
            nodes=[_node(each) for each in servers if each.moments],
            lag_ms=now.lag_ms,
            cpu=[share for _, share in sorted(now.cpu.items())],
            bottleneck=bottleneck(now.lag_ms, now.cpu),
            judged=self._judged,
            marks=[Mark(mark.at_ms, _plain(mark.says)) for mark in marks[-10:]],
        )

    def _kind(self, name: str) -> Kind:
        together = histogram()
        for totals in self._recent:
            kept = totals.took.get(name)
            if kept is not None and kept.get_total_count():
                together.add(kept)
        per_s = together.get_total_count() / len(self._recent)
        return Kind(_plain(name), per_s, _four(together), self._whole.get(name, ()))


def _busiest(whole: Totals) -> list[str]:
    """What is no request, then the requests with the most answers, in an order that does not change with them."""
    counted = {name: kept.get_total_count() for name, kept in whole.took.items()}
    named = [name for name in NAMED if name in counted]
    requests = sorted((name for name in counted if name not in NAMED), key=lambda name: counted[name], reverse=True)
    return named + sorted(requests[: KINDS - len(named)])


def _four(kept: HdrHistogram) -> Four:
    return tuple(quantiles_ms(kept)) if kept.get_total_count() else ()


def _node(figures: ServerFigures) -> Node:
    shares = [moment.cpu for moment in figures.moments[-MINUTE_S:]]
    return Node(_plain(figures.url), figures.moments[-1], [share or 0.0 for share in shares])


def _named(counted: Counter[str]) -> dict[str, int]:
    """The most first; names come from the server, which may be any."""
    return {_plain(name): times for name, times in counted.most_common(KINDS)}


def _plain(text: str) -> str:
    """Without what would move a terminal's cursor."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])
