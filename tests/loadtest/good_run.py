"""An outcome in which everything went well, to be spoilt one thing at a time."""

from typing import Any

from msgspec import structs

from loadtest.checking import Verdict
from loadtest.figures import Count, State
from loadtest.outcome import KindFigures, Moment, Outcome, Quantiles, ServerFigures, ServerMoment, Setting, Tester

NODE = "http://127.0.0.1:7351"
OTHER = "http://127.0.0.1:7361"
LATENCIES = {"chat.send": 1.0, "guild.get": 2.0, "sign-in": 10.0, "delivery": 3.0}
"""The median of each kind in milliseconds; p90 is twice that, p99 4 times, p999 8 times, the longest 16 times."""


def kind(name: str, median: float) -> KindFigures:
    """One kind of latency."""
    return KindFigures(kind=name, took=Quantiles(1_000, *(median * times for times in (1, 2, 4, 8, 16))))


def moment(second: int, online: int = 90, away: int = 10) -> Moment:
    """A second in which so many were online."""
    return Moment(second=second, players={State.ONLINE: online, State.AWAY: away, State.WAITING: 50}, counts={})


def node_moments(*cpu: float) -> list[ServerMoment]:
    """One look a second."""
    return [
        ServerMoment(at_ms=n * 1000, cpu=share, memory_bytes=100 << 20, commit_ms=4.0, loop_lag_ms=6.0, sessions=50)
        for n, share in enumerate(cpu)
    ]


def setting() -> Setting:
    """What was run."""
    return Setting(
        scenario="evening",
        says="An evening.",
        urls=["ws://127.0.0.1:7350/ws"],
        players=100,
        processes=1,
        duration_s=60.0,
        ramp_s=10.0,
        seed=1,
        networks={"wifi": 1.0},
        started_at="2026-01-01T00:00:00Z",
        command="",
        python="",
        machine="",
    )


GOOD = Outcome(
    setting=setting(),
    passed=True,
    reasons=[],
    played_s=60.0,
    counts={
        Count.ASKED: 10_000,
        Count.ANSWERED: 10_000,
        Count.REFUSED: 5,
        Count.SIGN_INS: 100,
        Count.RESUMED: 10,
        Count.LOST: 10,
    },
    errors={"guild.full": 5, "rate.limited": 20},
    closes={"1006": 10},
    players={State.ONLINE: 95, State.AWAY: 5},
    kinds=[kind(name, median) for name, median in LATENCIES.items()],
    moments=[moment(second) for second in range(60)],
    server=[ServerFigures(NODE, node_moments(0.2, 0.3)), ServerFigures(OTHER, node_moments(0.4, 0.5))],
    tester=Tester(lag_p99_ms=5.0, lag_longest_ms=9.0, cpu=[0.3]),
    verdict=Verdict(1_000, [], {}, {"once": 500}, {}),
)

NOTHING = structs.replace(
    GOOD,
    played_s=0.0,
    counts={},
    errors={},
    players={},
    kinds=[],
    moments=[],
    server=[],
    verdict=None,
)
"""A run that did not happen."""


def spoilt(**changes: Any) -> Outcome:
    """The good one, but for this."""
    return structs.replace(GOOD, **changes)
