"""What a run came to: the report for machines, of which the report for people is drawn.

``report.json`` is this struct, with ``format`` 1. Times are milliseconds, memory bytes, shares from 0 to 1.
"""

from hdrh.histogram import HdrHistogram
from msgspec import Struct

from loadtest.checking import Verdict
from loadtest.figures import Count, State, quantiles_ms


class Setting(Struct, frozen=True, kw_only=True):
    """What was run, where, on what."""

    scenario: str
    says: str
    """The scenario's own first line."""
    urls: list[str]
    players: int
    processes: int
    duration_s: float
    ramp_s: float
    seed: int
    networks: dict[str, float]
    """Share of the players on each network."""
    twice: bool = False
    """Whether every request was sent twice."""
    started_at: str
    """ISO 8601, UTC."""
    command: str
    python: str
    machine: str
    """Processor and number of cores of the tester's machine."""
    commit: str = ""
    """Of this tester."""
    servers: list[str] = []
    """What the tester has started itself: a line each."""
    notes: list[str] = []
    """What was left out, in words: a scenario's announcements without a staff key."""


class Quantiles(Struct, frozen=True):
    """Latencies of one kind, in milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    longest: float


def quantiles(kept: HdrHistogram) -> Quantiles:
    """Figures of a histogram of microseconds that holds something."""
    p50, p90, p99, p999 = quantiles_ms(kept)
    return Quantiles(kept.get_total_count(), p50, p90, p99, p999, kept.get_max_value() / 1000)


class KindFigures(Struct, frozen=True, kw_only=True):
    """One kind of latency over the whole run: a request's type, or sign-in, resume, delivery, connect."""

    kind: str
    took: Quantiles
    curve: list[tuple[float, float]] = []
    """(percentile, milliseconds), denser towards 100: as HDR histograms are drawn."""


class Moment(Struct, frozen=True, kw_only=True):
    """One second of the run, all processes together."""

    second: int
    players: dict[State, int]
    counts: dict[Count, int]
    errors: dict[str, int] = {}
    took: dict[str, Quantiles] = {}
    lag_ms: float = 0.0
    cpu: list[float] = []
    """Of each process of players, share of a core."""


class ServerMoment(Struct, frozen=True, kw_only=True):
    """What one node's ``/metrics`` said; None where it said nothing of that, or did not answer."""

    at_ms: int
    """Since the run began."""
    cpu: float | None = None
    """Share of a core since the last look."""
    memory_bytes: float | None = None
    commit_ms: float | None = None
    """Mean since the last look."""
    loop_lag_ms: float | None = None
    sessions: float | None = None


class ServerFigures(Struct, frozen=True):
    """One node, as its metrics tell."""

    url: str
    moments: list[ServerMoment]


class Mark(Struct, frozen=True):
    """Something that the scenario's director did, to be seen in the plots: an announcement, a drained node."""

    at_ms: int
    says: str


class Judged(Struct, frozen=True):
    """One line of the SLO: what was asked for, what was measured."""

    what: str
    """As in the SLO file: ``latency.chat.send.p99``."""
    limit: str
    measured: str
    met: bool


class Tester(Struct, frozen=True, kw_only=True):
    """Whether the figures speak of the server, or of the tester."""

    lag_p99_ms: float
    """Of each second's latest timer."""
    lag_longest_ms: float
    cpu: list[float]
    """The mean share of a core, by process."""
    bottleneck: str = ""
    """Why the tester was the bottleneck, in words; empty: it was not."""


class Outcome(Struct, frozen=True, kw_only=True):
    """All of it."""

    format: int = 1
    setting: Setting
    passed: bool
    reasons: list[str]
    """Why it did not pass, in words: the server was away, a limit was not met, something was lost."""
    played_s: float
    """Seconds from the first arrival to the end; less than asked for where it was stopped."""
    interrupted: bool = False
    """Whether somebody stopped it (Ctrl-C)."""
    counts: dict[Count, int]
    errors: dict[str, int]
    closes: dict[str, int]
    players: dict[State, int]
    """At the end of playing."""
    refused: dict[str, int] = {}
    """Players that were told not to come back, by the reason that they were given."""
    kinds: list[KindFigures]
    moments: list[Moment]
    moment_s: int = 1
    """Seconds that each of ``moments`` stands for: more than 1 where a report has thinned out a long run."""
    server: list[ServerFigures] = []
    marks: list[Mark] = []
    tester: Tester
    slo: list[Judged] = []
    verdict: Verdict | None = None
    """The checker's; None: it was turned off."""
    history: str = ""
    """Where the whole history is kept, if it is."""
