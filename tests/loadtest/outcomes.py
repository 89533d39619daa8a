"""Outcomes of runs that look like real ones, for tests of what is told of them."""

import math
from collections import Counter
from random import Random

from msgspec.structs import replace

from loadtest.checking import Finding, Rule, Verdict
from loadtest.figures import Count, State
from loadtest.outcome import (
    Judged,
    KindFigures,
    Mark,
    Moment,
    Outcome,
    Quantiles,
    ServerFigures,
    ServerMoment,
    Setting,
    Tester,
)

KINDS = {
    "sign-in": 38.0,
    "connect": 6.0,
    "resume": 900.0,
    "delivery": 9.0,
    "chat.send": 8.0,
    "chat.join": 11.0,
    "leaderboard.submit": 7.0,
    "leaderboard.top": 3.0,
    "wallet.give": 14.0,
    "guild.join": 17.0,
}
"""What half of the latencies of each kind stay within, in milliseconds."""


def setting(*, players: int = 1000, duration_s: float = 120.0) -> Setting:
    return Setting(
        scenario="evening",
        says="An evening: players come and go, chat in guilds and rooms, give gifts and climb boards.",
        urls=["ws://10.0.0.4:7350/ws", "ws://10.0.0.5:7350/ws"],
        players=players,
        processes=2,
        duration_s=duration_s,
        ramp_s=30.0,
        seed=20260117,
        networks={"wifi": 0.7, "lte": 0.25, "subway": 0.05},
        started_at="2026-01-17T19:30:05Z",
        command="python -m loadtest run evening --url ws://10.0.0.4:7350/ws --players 1000 --seed 20260117",
        python="3.11.7",
        machine="AMD EPYC 7B13, 8 cores",
        commit="158e2f8",
        notes=["No staff key was given: no announcements were sent."],
    )


def quantiles(random: Random, median: float, count: int, load: float = 1.0) -> Quantiles:
    """Latencies as they are: most near the median, few far beyond."""
    p50 = median * load * random.uniform(0.9, 1.15)
    p90, p99 = p50 * random.uniform(1.8, 2.3), p50 * random.uniform(3.5, 5.5)
    return Quantiles(count, p50, p90, p99, p99 * random.uniform(1.5, 2.2), p99 * random.uniform(2.3, 4.0))


def curve(took: Quantiles) -> list[tuple[float, float]]:
    """Through the quantiles, denser towards 100."""
    known = [(50.0, took.p50), (90.0, took.p90), (99.0, took.p99), (99.9, took.p999), (100.0, took.longest)]
    between = [(25.0, took.p50 * 0.7), (75.0, took.p50 * 1.4), (95.0, took.p90 * 1.35), (99.5, took.p99 * 1.2)]
    return sorted([(0.0, took.p50 * 0.3), *known, *between])


def moment(random: Random, second: int, players: int, *, dip: bool) -> Moment:
    """One second; in a dip some players have lost their connection."""
    online = min(players, max(1, players * second // 30))
    away = online // 4 if dip else random.randrange(3)
    asked = online * 2 + random.randrange(online + 1)
    load = 3.0 if dip else 1.0 + 0.3 * math.sin(second / 9)
    took = {kind: quantiles(random, median, max(1, asked // 9), load) for kind, median in KINDS.items()}
    if second > 30 and not dip:
        del took["sign-in"]
    return Moment(
        second=second,
        players={
            State.WAITING: players - online,
            State.CONNECTING: 12 if second < 30 else 0,
            State.ONLINE: max(0, online - away - (12 if second < 30 else 0)),
            State.AWAY: away,
        },
        counts={
            Count.ASKED: asked,
            Count.ANSWERED: asked - random.randrange(3),
            Count.REFUSED: random.randrange(4),
            Count.SENT_AGAIN: online // 8 if dip else 0,
            Count.HEARD: asked * 24,
            Count.TOLD: asked * 3,
            Count.SIGN_INS: players // 30 if second < 30 else 0,
            Count.LOST: away,
            Count.RESUMED: random.randrange(3) + (online // 5 if dip else 0),
        },
        errors={"unavailable": online // 10, "actor.moved": 4} if dip else {"chat.rate_limited": 1 + second % 2},
        took=took,
        lag_ms=random.uniform(0.4, 3.0),
        cpu=[random.uniform(0.3, 0.5), random.uniform(0.25, 0.45)],
    )


def node(random: Random, url: str, seconds: int) -> ServerFigures:
    """One node, looked at every two seconds."""
    moments = [
        ServerMoment(
            at_ms=at * 1000 + random.randrange(200),
            cpu=random.uniform(0.2, 0.9),
            memory_bytes=120e6 + at * 9e4,
            commit_ms=random.uniform(1.5, 4.0),
            loop_lag_ms=random.uniform(0.5, 9.0),
            sessions=500.0,
        )
        for at in range(0, seconds, 2)
    ]
    return ServerFigures(url, moments)


def good_verdict() -> Verdict:
    judged: dict[str, int] = dict.fromkeys(Rule, 40_000)
    judged[Rule.REUSE] = 0
    return Verdict(812_331, [], {}, judged, {"a reply without its request": 2})


def bad_verdict(seen: str = "seq 5019 after seq 5017") -> Verdict:
    lost = Finding(
        rule=Rule.ACKNOWLEDGED,
        says="a line that was acknowledged is in no history",
        player="p17",
        topic="chat:room:raid-4",
        op="p17-118",
        expected="chat.message with op p17-118 at seq 5018",
        seen=seen,
        records=(118_201, 118_377),
    )
    order = Finding(rule=Rule.ORDER, says="a gap", player="p9", topic="guild:42", records=(99,))
    found: dict[str, int] = {Rule.ACKNOWLEDGED: 1, Rule.ORDER: 61}
    return Verdict(812_331, [lost, order], found, good_verdict().judged, {})


def outcome(seconds: int = 120, *, players: int = 1000, seed: int = 1) -> Outcome:
    """A run that passed, on two nodes with two processes of players."""
    random = Random(seed)
    moments = [moment(random, at, players, dip=seconds > 95 and 80 <= at < 92) for at in range(seconds)]
    counts: Counter[Count] = Counter()
    errors: Counter[str] = Counter()
    for each in moments:
        counts.update(each.counts)
        errors.update(each.errors)
    counts.update({Count.BYTES_IN: counts[Count.HEARD] * 180, Count.BYTES_OUT: counts[Count.ASKED] * 95})
    kinds = [(kind, quantiles(random, median, seconds * players // 5)) for kind, median in KINDS.items()]
    return Outcome(
        setting=setting(players=players, duration_s=float(seconds)),
        passed=True,
        reasons=[],
        played_s=float(seconds),
        counts=dict(counts),
        errors=dict(errors),
        closes={"4000": 240, "1006": 12, "4503": 1},
        players={State.ONLINE: players - 3, State.AWAY: 2, State.FAILED: 1},
        kinds=[KindFigures(kind=kind, took=took, curve=curve(took)) for kind, took in kinds],
        moments=moments,
        server=[node(random, url, seconds) for url in ("http://10.0.0.4:7351", "http://10.0.0.5:7351")],
        marks=[
            Mark(45_400, "announcement to everybody"),
            Mark(80_000, "north is drained"),
            Mark(95_200, "north is back"),
        ],
        tester=Tester(lag_p99_ms=2.9, lag_longest_ms=3.0, cpu=[0.41, 0.36]),
        slo=[
            Judged("latency.chat.send.p99", "at most 100 ms", "38.2 ms", met=True),
            Judged("errors.share", "at most 1 %", "0.5 %", met=True),
        ],
        verdict=good_verdict(),
    )


def failed(seen: str = "seq 5019 after seq 5017") -> Outcome:
    """A run that broke promises and limits."""
    limits = [Judged("latency.delivery.p99", "at most 250 ms", "312 ms", met=False)]
    good = outcome()
    return replace(
        good,
        passed=False,
        reasons=[
            "latency.delivery.p99 was 312 ms, the limit is at most 250 ms",
            "checker.findings is 62 (acknowledged, order), and may be <= 0",
        ],
        slo=[*good.slo, *limits],
        verdict=bad_verdict(seen),
        history="run-20260117/history.jsonl",
    )


def never_played() -> Outcome:
    """A run whose server was away."""
    return replace(
        outcome(1),
        passed=False,
        reasons=["no player reached ws://10.0.0.4:7350/ws: connection refused"],
        played_s=0.0,
        counts={},
        errors={},
        closes={},
        players={},
        kinds=[],
        moments=[],
        server=[],
        marks=[],
        slo=[],
        verdict=None,
    )
