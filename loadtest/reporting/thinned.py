"""A long run in fewer moments, so that its page stays small and quick.

Counts and errors are added up, players are as at the end, and of latencies, lags and the tester's load the worst
second stands: percentiles cannot be averaged, and what is thinned out must not look better than it was.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec.structs import replace

from loadtest.outcome import Moment, Outcome, Quantiles, ServerFigures, ServerMoment

MOST = 1800  # moments in a page: half an hour of seconds, more than a screen has pixels for


def thinned(outcome: Outcome, most: int = MOST) -> Outcome:
    """The same run in at most ``most`` moments; the very same where it has no more."""
    spread = _spread(each.second for each in outcome.moments)
    step = -(-spread // most)
    if step > 1:
        moments = [
            _moment(list(some), second=nth * step)
            for nth, some in groupby(outcome.moments, key=lambda each: each.second // step)
        ]
        outcome = replace(outcome, moments=moments, moment_s=outcome.moment_s * step)
    return replace(outcome, server=[_node(each, most) for each in outcome.server])


def _spread(seconds: Iterable[int]) -> int:
    return max(seconds, default=-1) + 1


def _moment(some: Sequence[Moment], second: int) -> Moment:
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    took: dict[str, Quantiles] = {}
    for each in some:
        counts.update(each.counts)
        errors.update(each.errors)
        for kind, seen in each.took.items():
            took[kind] = _worst(took[kind], seen) if kind in took else seen
    processes = max(len(each.cpu) for each in some)
    return replace(
        some[-1],
        second=second,
        counts=dict(counts),
        errors=dict(errors),
        took=took,
        lag_ms=max(each.lag_ms for each in some),
        cpu=[max(each.cpu[at] for each in some if at < len(each.cpu)) for at in range(processes)],
    )


def _worst(one: Quantiles, other: Quantiles) -> Quantiles:
    return Quantiles(
        one.count + other.count,
        max(one.p50, other.p50),
        max(one.p90, other.p90),
        max(one.p99, other.p99),
        max(one.p999, other.p999),
        max(one.longest, other.longest),
    )


def _node(figures: ServerFigures, most: int) -> ServerFigures:
    step = -(-len(figures.moments) // most)
    if step <= 1:
        return figures
    pieces = [figures.moments[at : at + step] for at in range(0, len(figures.moments), step)]
    return ServerFigures(figures.url, [_server_moment(piece) for piece in pieces])


def _server_moment(some: Sequence[ServerMoment]) -> ServerMoment:
    """Means of what is a mean already, so that a comparison finds the same; of the others the highest."""
    return ServerMoment(
        at_ms=some[0].at_ms,
        cpu=_mean(each.cpu for each in some),
        memory_bytes=_highest(each.memory_bytes for each in some),
        commit_ms=_mean(each.commit_ms for each in some),
        loop_lag_ms=_highest(each.loop_lag_ms for each in some),
        sessions=_highest(each.sessions for each in some),
    )


def _highest(values: Iterable[float | None]) -> float | None:
    return max((each for each in values if each is not None), default=None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else None
