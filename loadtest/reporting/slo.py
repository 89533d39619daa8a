"""Limits that a run is judged by: TOML, read strictly. docs/loadtest.md has the list of keys.

A limit of something that never occurred is not met: there is no good report of a run that did not happen.
"""

import json
import math
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from functools import partial
from importlib.resources import files
from typing import Any

import msgspec
from msgspec import Struct

from loadtest.figures import Totals
from loadtest.outcome import Judged, Outcome, ServerFigures
from loadtest.reporting import seen
from loadtest.reporting.seen import NAMED, Found, Seen, of_nodes, of_outcome, of_totals, p99

UNMEASURED = "nothing measured"
EVERY = "*"
"""Every request that has no limit of its own for this quantile."""
DIGITS = 10  # in which a limit is shown: as many as anybody writes
MOST = 1e15  # of anything: more is a slip of the keyboard
ERRORS = ("share", "codes", "own_codes")
QUANTILES = ("p50", "p90", "p99", "p999", "longest")


class SloError(Exception):
    """A file that nothing can be judged by; one line: the file, the key, what is allowed."""


class Unit(Enum):
    """What a limit's number is: what is allowed, and how it is shown."""

    MS = "milliseconds, 0 or more"
    SHARE = "a share from 0 to 1 (0.01 is 1 %)"
    COUNT = "a whole number, 0 or more"
    RATE = "a number, 0 or more"
    BYTES = "bytes, 0 or more"
    CORES = "a share of a core, 0 or more (1 is the whole of one)"


class Key(Struct, frozen=True):
    """What may be limited."""

    unit: Unit
    find: Callable[[Seen], Found]
    least: bool = False
    """Whether the limit is the least that is good, and not the most."""
    early: bool = True
    """Whether it can be told while the run goes on."""


class Limit(Struct, frozen=True):
    """One line of a file."""

    what: str
    """``latency.chat.send.p99``."""
    key: Key
    bound: float


class Slo(Struct, frozen=True):
    """What a run is judged by."""

    name: str
    limits: tuple[Limit, ...] = ()


KEYS: Mapping[str, Key] = {
    "requests.unanswered": Key(Unit.COUNT, seen.unanswered),
    "requests.least_per_s": Key(Unit.RATE, seen.answered_per_s, least=True),
    "players.online": Key(Unit.SHARE, seen.online, least=True, early=False),
    "players.online_at_end": Key(Unit.SHARE, seen.online_at_end, least=True),
    "players.refused": Key(Unit.COUNT, seen.refused),
    "players.failed": Key(Unit.COUNT, seen.failed),
    "connections.lost_per_player_hour": Key(Unit.RATE, seen.lost, early=False),
    "connections.unreached": Key(Unit.SHARE, seen.unreached),
    "server.memory_bytes": Key(Unit.BYTES, partial(of_nodes, moment=lambda at: at.memory_bytes, over=max)),
    "server.cpu_p99": Key(Unit.CORES, partial(of_nodes, moment=lambda at: at.cpu, over=p99)),
    "server.commit_p99_ms": Key(Unit.MS, partial(of_nodes, moment=lambda at: at.commit_ms, over=p99)),
    "server.loop_lag_p99_ms": Key(Unit.MS, partial(of_nodes, moment=lambda at: at.loop_lag_ms, over=p99)),
    "tester.lag_p99_ms": Key(Unit.MS, seen.tester_lag, early=False),
    "checker.findings": Key(Unit.COUNT, seen.findings, early=False),
}
CHECKER = "checker.findings"
TABLES = ("latency", "errors", *dict.fromkeys(key.partition(".")[0] for key in KEYS))


def parse_slo(text: str, name: str) -> Slo:
    """The limits of a file's text; ``name`` is how people know the file.

    Raises:
        SloError: it is no TOML, or holds what is not known or cannot be.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SloError(f"{name}: is no TOML: {error}") from None
    try:
        return Slo(name, tuple(_limits(tables)))
    except SloError as error:
        raise SloError(f"{name}: {error}") from None


def judge(slo: Slo, outcome: Outcome) -> list[Judged]:
    """Each limit with what was measured, in the order of the file. What the checker has found is judged without being
    asked for, unless it was turned off."""
    limits = list(slo.limits)
    if outcome.verdict is not None and all(limit.what != CHECKER for limit in limits):
        limits.append(Limit(CHECKER, KEYS[CHECKER], 0))
    measured = of_outcome(outcome)
    return [_judged(limit, measured) for limit in limits]


def live(slo: Slo, totals: Totals, played_s: float, servers: Sequence[ServerFigures] = ()) -> list[Judged]:
    """The same of a run so far, without the limits that need all of it."""
    measured = of_totals(totals, played_s, servers)
    return [_judged(limit, measured) for limit in slo.limits if limit.key.early]


# Reading.
def _limits(tables: Mapping[str, Any]) -> Iterator[Limit]:
    for table, content in tables.items():
        if table not in TABLES:
            raise _unknown(table, TABLES)
        match table:
            case "latency":
                yield from _latencies(_table(content, table))
            case "errors":
                yield from _errors(_table(content, table))
            case _:
                yield from _plain(table, _table(content, table))


def _plain(table: str, content: Mapping[str, Any]) -> Iterator[Limit]:
    allowed = [key.partition(".")[2] for key in KEYS if key.startswith(f"{table}.")]
    for word, bound in content.items():
        if word not in allowed:
            raise _unknown(_key(table, word), allowed)
        yield _limit((table, word), KEYS[f"{table}.{word}"], bound)


def _latencies(kinds: Mapping[str, Any]) -> Iterator[Limit]:
    for kind, quantiles in kinds.items():
        if kind != EVERY and kind not in NAMED and "." not in kind:
            raise _unknown(_key("latency", kind), [f'"{EVERY}"', *NAMED, 'a request such as "chat.send"'])
        for quantile, bound in _table(quantiles, "latency", kind).items():
            if quantile not in QUANTILES:
                raise _unknown(_key("latency", kind, quantile), QUANTILES)
            own = {other for other, limits in kinds.items() if isinstance(limits, dict) and quantile in limits}
            find = (
                partial(seen.request_latency, quantile=quantile, but=own - {EVERY})
                if kind == EVERY
                else partial(seen.latency, kind=kind, quantile=quantile)
            )
            yield _limit(("latency", kind, quantile), Key(Unit.MS, find), bound)


def _errors(content: Mapping[str, Any]) -> Iterator[Limit]:
    codes = _table(content.get("codes", {}), "errors", "codes")
    for word, bound in content.items():
        if word not in ERRORS:
            raise _unknown(_key("errors", word), ERRORS)
        if word == "share":
            yield _limit(("errors", "share"), Key(Unit.SHARE, partial(seen.errors, but=frozenset(codes))), bound)
    own = _own_codes(content.get("own_codes", []))
    known = {*_catalogued_codes(), *own} if codes else ()
    for code, bound in codes.items():
        _check_code(code, known)
        yield _limit(("errors", "codes", code), Key(Unit.SHARE, partial(seen.error, code=code)), bound)


def _check_code(code: str, known: Collection[str]) -> None:
    """A mistyped one never comes, and its limit would always be met."""
    if code not in known:
        (nearest,) = get_close_matches(code, known, 1, 0.0)
        raise SloError(
            f"{_key('errors', 'codes', code)}: no error has this code; the nearest is {json.dumps(nearest)} "
            "(docs/wire.md has all); name those of your own rooms in errors.own_codes"
        )


def _catalogued_codes() -> Collection[str]:
    """All error codes of this release."""
    catalogue: dict[str, Any] = msgspec.json.decode(files("protocol").joinpath("catalogue.json").read_bytes())
    return frozenset(catalogue["errors"])


def _own_codes(listed: Any) -> list[str]:
    if not isinstance(listed, list) or not all(isinstance(code, str) for code in listed):
        raise SloError(f'errors.own_codes is {_toml(listed)}; allowed: a list of codes such as ["quest.closed"]')
    return listed


def _limit(path: tuple[str, ...], key: Key, bound: Any) -> Limit:
    number = isinstance(bound, int | float) and not isinstance(bound, bool)
    most = 1 if key.unit is Unit.SHARE else MOST
    if not number or not 0 <= bound <= most or (key.unit is Unit.COUNT and bound != int(bound)):  # NaN is not within
        raise SloError(f"{_key(*path)} is {_toml(bound)}; allowed: {key.unit.value}")
    return Limit(".".join(path), key, bound)


def _table(content: Any, *path: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise SloError(f"{_key(*path)} is {_toml(content)}; allowed: a table")
    return content


def _key(*path: str) -> str:
    """As it is written in TOML."""
    return ".".join(part if part.replace("_", "").replace("-", "").isalnum() else json.dumps(part) for part in path)


def _toml(value: Any) -> str:
    return "a table" if isinstance(value, dict) else str(value).lower() if isinstance(value, bool) else repr(value)


def _unknown(key: str, allowed: Sequence[str]) -> SloError:
    return SloError(f"{key} is not known; allowed: {', '.join(allowed)}")


# Judging.
def _judged(limit: Limit, what: Seen) -> Judged:
    key, bound = limit.key, limit.bound
    found = key.find(what)
    of = f" ({found.of})" if found.of else ""
    limited = _shown(bound, key.unit, DIGITS)
    shown = f"{'>=' if key.least else '<='} {limited}"
    if found.value is None:
        return Judged(limit.what, shown, UNMEASURED + of, met=False)
    met = found.value >= bound if key.least else found.value <= bound
    measured = _shown(found.value, key.unit)
    if not met and measured == limited:  # what misses the limit must not look like it
        measured = _shown(found.value, key.unit, DIGITS)
    return Judged(limit.what, shown, measured + of, met=met)


def _shown(value: float, unit: Unit, digits: int = 3) -> str:
    match unit:
        case Unit.MS:
            return f"{_number(value, digits)} ms"
        case Unit.SHARE:
            return f"{_number(value * 100, digits)} %"
        case Unit.CORES:
            return f"{_number(value * 100, digits)} % of a core"
        case Unit.BYTES:
            return f"{_number(value / (1 << 20), digits)} MiB"
        case Unit.COUNT:
            return f"{value:,.0f}"
        case Unit.RATE:
            return _number(value, digits)


def _number(value: float, digits: int) -> str:
    """With so many significant digits, and all that stand before the point."""
    places = max(0, digits - 1 - math.floor(math.log10(value))) if value else 0
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
