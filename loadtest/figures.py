"""What processes of players say of a run, second by second, and how it adds up.

A process sends a ``Tick`` each second; ``Totals`` adds ticks of any number of processes together. Latencies travel as
HDR histograms of microseconds, so that adding them loses nothing.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import accumulate

from hdrh.histogram import HdrHistogram
from msgspec import Struct

LONGEST_US = 120_000_000  # two minutes; what takes longer counts as so long
DIGITS = 2  # significant ones: a latency is right to within 1 %, and 20 kinds a second stay cheap
BITS = 8  # that a histogram of DIGITS tells apart in a value
QUANTILES = (50.0, 90.0, 99.0, 99.9)
LATE_MS = 50.0  # a timer of the tester that is so late makes latencies that are the tester's own
BUSY = 0.9  # share of a core from which on a process of players is late itself

SIGN_IN = "sign-in"
"""Kind of latency: from the moment at which a player was to arrive to the first welcome."""
RESUME = "resume"
"""From the loss of a connection to the welcome of the next one."""
DELIVERY = "delivery"
"""From the moment at which a chat line was to be said to its arrival at each listener."""
CONNECT = "connect"
"""From the dial to the upgraded connection."""


class State(StrEnum):
    """What a player is doing."""

    WAITING = "waiting"
    """Has not arrived yet, or is between two sessions."""
    CONNECTING = "connecting"
    """On the way to the first welcome of a session."""
    ONLINE = "online"
    AWAY = "away"
    """Has lost the connection and is coming back."""
    REFUSED = "refused"
    """Was told not to come back: a wrong token, a client that is too old."""
    FAILED = "failed"
    """The scenario's function ended with an error."""
    DONE = "done"


class Count(StrEnum):
    """What is counted."""

    ASKED = "asked"
    """Requests, each once, however often it was sent."""
    SENT_AGAIN = "sent_again"
    """Requests that were sent once more: no answer in time, asked to try again, a new connection."""
    ANSWERED = "answered"
    REFUSED = "refused"
    """Of the answered, those whose answer is no."""
    UNANSWERED = "unanswered"
    """Given up: no answer within the scenario's patience."""
    HEARD = "heard"
    """Events of durable topics."""
    TOLD = "told"
    """Ephemeral events."""
    SIGN_INS = "sign_ins"
    """First welcomes of a session."""
    RESUMED = "resumed"
    """Welcomes after a lost connection."""
    LOST = "lost"
    """Connections that ended without our doing."""
    UNREACHED = "unreached"
    """Dials that led to nothing."""
    BYTES_IN = "bytes_in"
    BYTES_OUT = "bytes_out"


class Tick(Struct, frozen=True, kw_only=True, tag="tick"):
    """What one process of players saw in one second of the run: from ``second`` up to ``second`` + 1."""

    process: int
    second: int
    players: dict[State, int]
    """How many are in each state at the end of the second."""
    counts: dict[Count, int] = {}
    errors: dict[str, int] = {}
    """Error replies by code, those that ask to try again included."""
    closes: dict[str, int] = {}
    """Connections that ended without our doing, by close code."""
    took: dict[str, str] = {}
    """Latencies by kind (a request's type, or one of the names above): encoded histograms of microseconds."""
    lag_ms: float = 0.0
    """The latest that a timer of the process's loop fired."""
    cpu: float = 0.0
    """Share of a core that the process took."""


def histogram() -> HdrHistogram:
    """An empty one, of microseconds."""
    return HdrHistogram(1, LONGEST_US, DIGITS)


def quantiles_ms(kept: HdrHistogram, percents: Sequence[float] = QUANTILES) -> list[float]:
    """What ``kept.get_value_at_percentile`` says of each, in milliseconds; the histogram must hold something.

    One pass in C over the counts: 0.2 ms, where that takes 0.4 ms for each.
    """
    sums = list(accumulate(kept.counts[:]))
    total = kept.get_total_count()
    places = [bisect_left(sums, max(1, int(percent * total / 100 + 0.5))) for percent in percents]
    return [kept.get_highest_equivalent_value(kept.get_value_from_index(place)) / 1000 for place in places]


def bottleneck(lag_ms: float, cpu: Mapping[int, float]) -> str:
    """Why figures speak of the tester and not of the server, in words; empty: they speak of the server.

    ``lag_ms`` is how late a timer was, ``cpu`` the share of a core that each process took.
    """
    busy = [f"process {process} takes {share:.0%} of a core" for process, share in sorted(cpu.items()) if share >= BUSY]
    late = [f"a timer of the tester was {lag_ms:,.0f} ms late"] if lag_ms >= LATE_MS else []
    return "; ".join(busy + late)


class Counts(Struct):
    """One number for each ``Count``: a field is counted up in half the time of an entry of a dict."""

    asked: int = 0
    sent_again: int = 0
    answered: int = 0
    refused: int = 0
    unanswered: int = 0
    heard: int = 0
    told: int = 0
    sign_ins: int = 0
    resumed: int = 0
    lost: int = 0
    unreached: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class Meters:
    """Counts for one process, emptied into a Tick each second."""

    def __init__(self, process: int) -> None:
        self.counts = Counts()
        """Since the last Tick; another one after it."""
        self.errors: Counter[str] = Counter()
        self.closes: Counter[str] = Counter()
        self._process = process
        self._took: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        """How often each latency, in microseconds of which the first ``BITS`` bits are kept."""

    def took(self, kind: str, seconds: float) -> None:
        """Note a latency."""
        us = int(seconds * 1_000_000)
        if us >> BITS:  # as exact as the histogram is, which takes far longer for each value
            rest = us.bit_length() - BITS
            us = us >> rest << rest
        self._took[kind][us] += 1

    def take(self, second: int, players: Mapping[State, int], *, lag_ms: float, cpu: float) -> Tick:
        """Everything since the last call."""
        tick = Tick(
            process=self._process,
            second=second,
            players=dict(players),
            counts={count: number for count in Count if (number := getattr(self.counts, count))},
            errors=dict(self.errors),
            closes=dict(self.closes),
            took={kind: _encoded(latencies) for kind, latencies in self._took.items()},
            lag_ms=lag_ms,
            cpu=cpu,
        )
        self.counts = Counts()
        for counter in (self.errors, self.closes, self._took):
            counter.clear()
        return tick


def _encoded(latencies: Mapping[int, int]) -> str:
    kept = histogram()
    for us, times in latencies.items():
        kept.record_value(min(LONGEST_US, max(1, us)), times)
    return str(kept.encode().decode())


class Totals:
    """Ticks added together: of several processes in one second, or of a whole run."""

    def __init__(self) -> None:
        self.counts: Counter[Count] = Counter()
        self.errors: Counter[str] = Counter()
        self.closes: Counter[str] = Counter()
        self.took: dict[str, HdrHistogram] = {}
        self.lag_ms = 0.0
        self.cpu: dict[int, float] = {}
        """The highest share of a core, by process."""
        self._players: dict[int, Mapping[State, int]] = {}

    def add(self, tick: Tick) -> None:
        """One more."""
        self.counts.update(tick.counts)
        self.errors.update(tick.errors)
        self.closes.update(tick.closes)
        for kind, encoded in tick.took.items():
            self.took.setdefault(kind, histogram()).decode_and_add(encoded.encode())
        self.lag_ms = max(self.lag_ms, tick.lag_ms)
        self.cpu[tick.process] = max(self.cpu.get(tick.process, 0.0), tick.cpu)
        self._players[tick.process] = tick.players

    @property
    def players(self) -> Counter[State]:
        """How many players are in each state, by the newest tick of each process."""
        sums: Counter[State] = Counter()
        for players in self._players.values():
            sums.update(players)
        return sums
