"""Seconds of a run that nobody has played, as the processes of players would tell them."""

from collections.abc import Iterator, Mapping
from random import Random

from loadtest.figures import Counts, Meters, State, Totals
from loadtest.outcome import Mark, ServerFigures, ServerMoment

Second = tuple[int, Totals, Totals, list[ServerFigures], list[Mark]]
KINDS = [
    "chat.send",
    "chat.join",
    "guild.get",
    "guild.donate",
    "friends.list",
    "inbox.list",
    "leaderboard.submit",
    "leaderboard.top",
    "party.invite",
    "wallet.give",
    "player.get",
    "delivery",
    "sign-in",
    "resume",
    "connect",
]
NODE, GONE = "http://127.0.0.1:7351", "http://127.0.0.1:7361"
MARKS = (Mark(2_000, "announcement to everybody"), Mark(8_000, "draining node-2"))


def seconds(count: int, *, late_ms: float = 0.0, busy: float = 0.4, **more: Mapping[str, int]) -> Iterator[Second]:
    """Two processes of players, 1,000 players in all, two nodes of which one is away in the last two seconds.

    ``late_ms`` and ``busy`` are of the second process in the last second; ``more`` are errors or closes in each second.
    """
    random, whole = Random(1), Totals()
    meters = [Meters(0), Meters(1)]
    servers = [ServerFigures(NODE, []), ServerFigures(GONE, [])]
    for second in range(count):
        now, last = Totals(), second == count - 1
        for process, each in enumerate(meters):
            for place, kind in enumerate(KINDS):
                for _ in range(1 + 30 // (place + 1)):
                    each.took(kind, random.lognormvariate(-5.0, 0.8))
            each.counts = Counts(asked=601, answered=600, heard=9_000, told=100)
            each.counts.lost = each.counts.resumed = each.counts.sent_again = each.counts.unanswered = 1
            each.closes.update({"1006": 1, **more.get("closes", {})})
            each.errors.update({"rate.limited": 2, **more.get("errors", {})})
            tick = each.take(
                second,
                {State.ONLINE: 490, State.AWAY: 5, State.WAITING: 4, State.FAILED: 1},
                lag_ms=late_ms if last and process else 2.0,
                cpu=busy if last and process else 0.4,
            )
            now.add(tick)
            whole.add(tick)
        for server in servers:
            away = server.url == GONE and second >= count - 2
            server.moments.append(ServerMoment(at_ms=second * 1000) if away else _moment(second))
        yield second, now, whole, servers, [mark for mark in MARKS if mark.at_ms <= second * 1000]


def _moment(second: int) -> ServerMoment:
    return ServerMoment(
        at_ms=second * 1000, cpu=0.5, memory_bytes=210 << 20, commit_ms=3.25, loop_lag_ms=1.5, sessions=500
    )
