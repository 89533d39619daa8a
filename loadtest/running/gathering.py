"""Ticks of many processes made into the moments of one run."""

from loadtest.figures import Tick, Totals, bottleneck, quantiles_ms
from loadtest.outcome import KindFigures, Moment, Tester, quantiles

LATE = 2  # seconds after which one that a process has said nothing of is closed without it
OFTEN = 0.9  # of the seconds; late by 100 ms in fewer of them, we are behind less than one latency in a hundred
CURVE = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999)


class Gathering:
    """All that was said of a run so far. Seconds are kept as figures: histograms of hours would not fit."""

    def __init__(self, processes: int) -> None:
        self.whole = Totals()
        self.moments: list[Moment] = []
        self.newest = Totals()
        """The last second that is complete."""
        self._processes = processes
        self._open: dict[int, tuple[Totals, dict[int, Tick]]] = {}
        self._closed = -1

    def add(self, tick: Tick) -> None:
        """One process's second."""
        self.whole.add(tick)
        if tick.second <= self._closed:
            return
        totals, ticks = self._open.setdefault(tick.second, (Totals(), {}))
        totals.add(tick)
        ticks[tick.process] = tick
        for second in sorted(self._open):
            if len(self._open[second][1]) < self._processes and second > tick.second - LATE:
                return
            self._close(second)

    def finish(self) -> None:
        """No more is coming."""
        for second in sorted(self._open):
            self._close(second)

    def kinds(self) -> list[KindFigures]:
        """The latencies of the whole run, the most frequent kinds first."""
        found = [
            KindFigures(
                kind=kind,
                took=quantiles(kept),
                curve=list(zip(CURVE, quantiles_ms(kept, CURVE), strict=True)),
            )
            for kind, kept in self.whole.took.items()
            if kept.get_total_count()
        ]
        return sorted(found, key=lambda figures: -figures.took.count)

    def tester(self, played_s: float, *, closed_loop: bool) -> Tester:
        """Whether we were the ones who were slow while it was played; afterwards all have something to do at once."""
        played = [moment for moment in self.moments if moment.second < int(played_s)]
        lags = sorted(moment.lag_ms for moment in played)
        lag, often = (lags[min(len(lags) - 1, int(share * len(lags)))] if lags else 0.0 for share in (0.99, OFTEN))
        cpu = [sum(shares) / len(shares) for shares in zip(*(moment.cpu for moment in played), strict=False)]
        why = "" if closed_loop else bottleneck(often, dict(enumerate(cpu)))
        return Tester(lag_p99_ms=lag, lag_longest_ms=lags[-1] if lags else 0.0, cpu=cpu, bottleneck=why)

    def _close(self, second: int) -> None:
        totals, ticks = self._open.pop(second)
        self._closed = second
        self.newest = totals
        self.moments.append(
            Moment(
                second=second,
                players=dict(totals.players),
                counts=dict(totals.counts),
                errors=dict(totals.errors),
                took={kind: quantiles(kept) for kind, kept in totals.took.items()},
                lag_ms=totals.lag_ms,
                cpu=[ticks[number].cpu if number in ticks else 0.0 for number in range(self._processes)],
            )
        )
