"""What limits are compared with: taken from an Outcome when a run is over, or from Totals while it goes on."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import ceil

from msgspec import Struct

from loadtest.checking import Verdict
from loadtest.figures import CONNECT, DELIVERY, RESUME, SIGN_IN, Count, State, Totals
from loadtest.outcome import Moment, Outcome, Quantiles, ServerFigures, ServerMoment, Tester, quantiles

PRESENT = (State.CONNECTING, State.ONLINE, State.AWAY, State.REFUSED, State.FAILED)
"""Players who have arrived, and have not left because their session was over."""
NAMED = (SIGN_IN, RESUME, DELIVERY, CONNECT)
"""Kinds of latency that are no request."""


class Seen(Struct, frozen=True, kw_only=True):
    """Of a whole run, or of one so far."""

    counts: Mapping[Count, int]
    errors: Mapping[str, int]
    kinds: Collection[str]
    took: Callable[[str], Quantiles | None]
    players: Mapping[State, int]
    refused: int
    played_s: float
    moments: Sequence[Moment] = ()
    servers: Sequence[ServerFigures] = ()
    tester: Tester | None = None
    verdict: Verdict | None = None


class Found(Struct, frozen=True):
    """What was measured. ``of`` says of what: the worst of several, or which promises were broken."""

    value: float | None
    """None: nothing was measured, so that no limit is met."""
    of: str = ""


NOTHING = Found(None)


def of_outcome(outcome: Outcome) -> Seen:
    """What a run came to."""
    kinds = {each.kind: each.took for each in outcome.kinds if each.took.count}
    return Seen(
        counts=outcome.counts,
        errors=outcome.errors,
        kinds=kinds,
        took=kinds.get,
        players=outcome.players,
        refused=max(sum(outcome.refused.values()), outcome.players.get(State.REFUSED, 0)),
        played_s=outcome.played_s,
        moments=outcome.moments,
        servers=outcome.server,
        tester=outcome.tester,
        verdict=outcome.verdict,
    )


def of_totals(totals: Totals, played_s: float, servers: Sequence[ServerFigures]) -> Seen:
    """A run so far."""

    def took(kind: str) -> Quantiles | None:
        kept = totals.took.get(kind)
        return quantiles(kept) if kept is not None and kept.get_total_count() else None

    return Seen(
        counts=totals.counts,
        errors=totals.errors,
        kinds=totals.took,
        took=took,
        players=totals.players,
        refused=totals.players[State.REFUSED],
        played_s=played_s,
        servers=servers,
    )


# Players and their connections.
def online(seen: Seen) -> Found:
    """Mean share of those present, over all seconds."""
    return _share(
        sum(moment.players.get(State.ONLINE, 0) for moment in seen.moments),
        sum(_present(moment.players) for moment in seen.moments),
    )


def online_at_end(seen: Seen) -> Found:
    """Share of those present."""
    return _share(seen.players.get(State.ONLINE, 0), _present(seen.players))


def refused(seen: Seen) -> Found:
    """Players."""
    return Found(seen.refused) if _arrived(seen) else NOTHING


def failed(seen: Seen) -> Found:
    """Players."""
    return Found(seen.players.get(State.FAILED, 0)) if _arrived(seen) else NOTHING


def lost(seen: Seen) -> Found:
    """Connections in an hour that a player is online."""
    hours = sum(moment.players.get(State.ONLINE, 0) for moment in seen.moments) / 3600
    return Found(_count(seen, Count.LOST) / hours) if hours else NOTHING


def unreached(seen: Seen) -> Found:
    """Share of all dials."""
    nowhere = _count(seen, Count.UNREACHED)
    return _share(nowhere, nowhere + _count(seen, Count.SIGN_INS) + _count(seen, Count.RESUMED))


# Requests and their answers.
def unanswered(seen: Seen) -> Found:
    """Requests."""
    return Found(_count(seen, Count.UNANSWERED)) if _count(seen, Count.ASKED) else NOTHING


def answered_per_s(seen: Seen) -> Found:
    """Mean over the run."""
    answered = _count(seen, Count.ANSWERED)
    return Found(answered / seen.played_s) if answered and seen.played_s else NOTHING


def errors(seen: Seen, *, but: Collection[str]) -> Found:
    """Share of error answers, those with the codes ``but`` left out."""
    return _share(sum(times for code, times in seen.errors.items() if code not in but), _answers(seen))


def error(seen: Seen, code: str) -> Found:
    """Share of answers with this code."""
    return _share(seen.errors.get(code, 0), _answers(seen))


def latency(seen: Seen, kind: str, quantile: str) -> Found:
    """Milliseconds."""
    took = seen.took(kind)
    return NOTHING if took is None else Found(getattr(took, quantile))


def request_latency(seen: Seen, quantile: str, *, but: Collection[str]) -> Found:
    """Milliseconds, of the request that has the most; those of ``but`` have limits of their own."""
    requests = [kind for kind in seen.kinds if kind not in NAMED]
    measured = ((latency(seen, kind, quantile).value, kind) for kind in requests if kind not in but)
    found = _most(measured)
    if found.value is None and any(seen.took(kind) for kind in requests):
        return Found(0.0, "no other request")
    return found


# Nodes, tester, checker.
def of_nodes(seen: Seen, moment: Callable[[ServerMoment], float | None], over: Callable[[list[float]], float]) -> Found:
    """The most of any node. One that told nothing of this leaves the whole unknown."""
    told = {node.url: [value for each in node.moments if (value := moment(each)) is not None] for node in seen.servers}
    silent = [url for url, values in told.items() if not values]
    if silent:
        return Found(None, silent[0])
    return _most((over(values), url) for url, values in told.items())


def tester_lag(seen: Seen) -> Found:
    """Milliseconds."""
    return Found(seen.tester.lag_p99_ms) if seen.tester is not None and seen.moments else NOTHING


def findings(seen: Seen) -> Found:
    """Broken promises; a checker that has looked at nothing says nothing."""
    if seen.verdict is None or not any(seen.verdict.judged.values()):
        return NOTHING
    return Found(sum(seen.verdict.found.values()), ", ".join(sorted(seen.verdict.found)))


def p99(values: list[float]) -> float:
    """The value that 99 % of them do not pass."""
    return sorted(values)[ceil(0.99 * len(values)) - 1]


def _most(found: Iterable[tuple[float | None, str]]) -> Found:
    return max((Found(value, of) for value, of in found if value is not None), key=_value, default=NOTHING)


def _value(found: Found) -> float:
    return found.value or 0.0


def _share(part: float, whole: float) -> Found:
    return Found(part / whole) if whole else NOTHING


def _count(seen: Seen, what: Count) -> int:
    return seen.counts.get(what, 0)


def _answers(seen: Seen) -> int:
    """All of them: those that were good, and each error reply, also where the request was answered later."""
    return _count(seen, Count.ANSWERED) - _count(seen, Count.REFUSED) + sum(seen.errors.values())


def _present(players: Mapping[State, int]) -> int:
    return sum(players.get(state, 0) for state in PRESENT)


def _arrived(seen: Seen) -> bool:
    return bool(_count(seen, Count.SIGN_INS) or _present(seen.players))
