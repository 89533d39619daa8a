"""The figures of a run that a comparison sets side by side."""

from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

from loadtest.figures import Count
from loadtest.outcome import Outcome, ServerMoment
from loadtest.reporting import words

Form = Literal["ms", "number", "bytes", "share"]
_MANY = 1_000_000_000


class Figure(Struct, frozen=True, kw_only=True):
    """One of them."""

    area: str
    what: str
    value: float
    form: Form
    good: Literal["less", "more", ""] = "less"
    """What is better; empty: neither, it is only shown."""
    noise: float = 0.0
    """By how much two runs of the same differ, in the figure's own unit, however small it is."""
    beyond: float = _MANY
    """How many measurements lie beyond it, where it is a percentile."""


def figures(run: Outcome) -> dict[str, Figure]:
    """All of them by name, in the order in which they are shown."""
    every = (*_latencies(run), *_flow(run), *_trouble(run), *_servers(run))
    return {f"{figure.area} {figure.what}": figure for figure in every}


def _latencies(run: Outcome) -> Iterator[Figure]:
    for each in run.kinds:
        took = each.took
        for what, percent, value in (("p50", 50.0, took.p50), ("p99", 99.0, took.p99), ("p99.9", 99.9, took.p999)):
            beyond = round(took.count * (100 - percent) / 100, 6)
            yield Figure(area=each.kind, what=what, value=value, form="ms", noise=1.0, beyond=beyond)


def _flow(run: Outcome) -> Iterator[Figure]:
    for what, counts in (("requests", (Count.ASKED,)), ("deliveries", (Count.HEARD, Count.TOLD))):
        value = words.a_second(run, *counts)
        yield Figure(area="a second", what=what, value=value, form="number", good="more", noise=1.0)


def _trouble(run: Outcome) -> Iterator[Figure]:
    asked = run.counts.get(Count.ASKED, 0)
    for what, count in (
        ("error replies", sum(run.errors.values())),
        ("without an answer", run.counts.get(Count.UNANSWERED, 0)),
    ):
        value = count / asked if asked else 0.0
        yield Figure(area="of all requests", what=what, value=value, form="share", noise=0.001)
    players = run.setting.players or 1
    for what, each in (("connections lost", Count.LOST), ("dials to nothing", Count.UNREACHED)):
        value = run.counts.get(each, 0) / players * 100
        yield Figure(area="by 100 players", what=what, value=value, form="number", noise=1.0)


def _servers(run: Outcome) -> Iterator[Figure]:
    """Of all nodes together; a figure that no node gave is left out."""
    for what, form, good, noise, of, over_time, over_nodes in _SERVER:
        nodes = [[value for each in node.moments if (value := of(each)) is not None] for node in run.server]
        values = [over_time(node) for node in nodes if node]
        if values:
            yield Figure(area="servers", what=what, value=over_nodes(values), form=form, good=good, noise=noise)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


_Fold = Callable[[list[float]], float]
_SERVER: tuple[
    tuple[str, Form, Literal["less", ""], float, Callable[[ServerMoment], float | None], _Fold, _Fold], ...
] = (
    ("cores, mean", "number", "less", 0.05, lambda each: each.cpu, _mean, sum),
    ("memory, most", "bytes", "less", 16_000_000, lambda each: each.memory_bytes, max, sum),
    ("commit, mean", "ms", "less", 1.0, lambda each: each.commit_ms, _mean, _mean),
    ("loop lag, longest", "ms", "", 0.0, lambda each: each.loop_lag_ms, max, max),  # one turn decides: only shown
)
