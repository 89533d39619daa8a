"""The command line of the load tester. Exit codes: 0 passed, 1 not passed (or worse, of two), 2 asked wrongly."""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from msgspec import structs
from rich.console import Console
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from loadtest.outcome import Outcome
from loadtest.players.networks import NETWORKS
from loadtest.players.tokens import BadTokens, tokens_of
from loadtest.reporting import BadReport, compare, encode, read_outcome, render, summary
from loadtest.reporting.slo import Slo, SloError, judge, parse_slo
from loadtest.running.live import LiveView
from loadtest.running.plan import Plan
from loadtest.running.run import run
from loadtest.scenario import Scenario
from loadtest.scenarios import BadScenario, load, names

PASSED, NOT_PASSED, ASKED_WRONGLY = 0, 1, 2
STAFF_KEY = "LOADTEST_STAFF_KEY"
"""Environment variable: a key on the command line can be read by everybody on the machine."""
SLO = """
[errors]
share = 0.01
[requests]
unanswered = 0
[players]
online = 0.95
refused = 0
failed = 0
"""
"""Of scenarios that have none."""
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


class AskedWrongly(Exception):
    """The command line makes no sense; says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    given = _parser().parse_args(arguments)
    try:
        match given.command:
            case "run":
                return _run(given, f"python -m loadtest {shlex.join(arguments)}")
            case "compare":
                comparison = compare(read_outcome(given.a), read_outcome(given.b))
                print(comparison)
                return NOT_PASSED if comparison.worse else PASSED
            case _:
                for name, says in names().items():
                    print(f"{name:<12} {says}")
                return PASSED
    except (AskedWrongly, BadReport, BadScenario, BadTokens, SloError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return ASKED_WRONGLY
    except KeyboardInterrupt:
        print("loadtest: stopped twice, without a report", file=sys.stderr)
        return NOT_PASSED


def seconds(text: str) -> float:
    """Seconds of a duration such as ``90``, ``90s``, ``5m`` or ``1h30m``."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; examples: 90s, 5m, 1h30m")
    hours, minutes, rest = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


def _run(given: argparse.Namespace, command: str) -> int:
    plan, slo = _plan(given, command)
    reports = (given.report, given.report.with_suffix(".json"))
    try:
        given.report.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AskedWrongly(f"--report {given.report}: {error.strerror}") from None
    console = Console(force_terminal=False) if given.plain else Console()
    view = LiveView(f"{plan.name}: {plan.says}", plan.duration_s, slo, console=console)
    outcome = uvloop.run(run(plan, view, print))
    outcome = judged(outcome, slo)
    try:
        reports[0].write_text(render(outcome))
        reports[1].write_bytes(encode(outcome))
    except OSError as error:
        print(summary(outcome))
        print(f"loadtest: the report could not be written: {error}", file=sys.stderr)
        return NOT_PASSED
    print(summary(outcome, reports))
    return PASSED if outcome.passed else NOT_PASSED


def judged(outcome: Outcome, slo: Slo) -> Outcome:
    """The outcome with the verdict: passed is what happened, met all limits and broke no promise."""
    lines = judge(slo, outcome)
    missed = [f"{line.what} is {line.measured}, and may be {line.limit}" for line in lines if not line.met]
    reasons = [*outcome.reasons, *missed]
    return structs.replace(outcome, slo=lines, reasons=reasons, passed=not reasons)


def _plan(given: argparse.Namespace, command: str) -> tuple[Plan, Slo]:
    scenario, says = load(given.scenario)
    if bool(given.url) == bool(given.serve):
        raise AskedWrongly("say where to play: --url ws://HOST:PORT/ws (once for each node), or --serve 1")
    for url in given.url:
        _check_url(url)
    players = given.players or scenario.players
    tokens_of(given.tokens, players)
    plan = Plan(
        scenario=scenario,
        name=given.scenario,
        says=says,
        urls=given.url,
        http=given.http,
        serve=given.serve,
        store=given.store,
        bus=given.bus,
        players=players,
        processes=given.processes,
        duration_s=scenario.duration_s if given.duration is None else given.duration,
        ramp_s=scenario.ramp_s if given.ramp is None else given.ramp,
        seed=given.seed,
        networks=_networks(given.network, scenario),
        twice=given.twice,
        tokens=given.tokens,
        staff_key=os.environ.get(STAFF_KEY, "dev" if given.serve else ""),
        replace=given.replace,
        check=not given.no_check,
        history=given.history,
        evidence=given.report.parent,
        command=command,
    )
    if plan.ramp_s >= plan.duration_s:
        raise AskedWrongly(f"everybody arrives in {plan.ramp_s:g} s, and it is over after {plan.duration_s:g} s")
    return plan, _slo(given.slo, scenario)


def _slo(file: Path | None, scenario: Scenario) -> Slo:
    if file is None:
        return parse_slo(scenario.slo or SLO, "the scenario's limits")
    try:
        text = file.read_text()
    except OSError as error:
        raise AskedWrongly(f"--slo {file}: {error.strerror}") from None
    return parse_slo(text, str(file))


def _check_url(url: str) -> None:
    try:
        parse_uri(url)
    except InvalidURI as error:
        raise AskedWrongly(f"--url: {error}; an address is ws://HOST:PORT/ws or wss://HOST/ws") from None


def _networks(asked: Sequence[str], scenario: Scenario) -> dict[str, float]:
    """Shares of networks by ``NAME`` or ``NAME=SHARE``, added up to 1."""
    shares: dict[str, float] = {}
    for text in asked:
        name, _, share = text.partition("=")
        try:
            shares[name] = float(share or 1)
        except ValueError:
            raise AskedWrongly(f"--network: {text!r} is not NAME or NAME=SHARE") from None
    shares = shares or dict(scenario.networks)
    if unknown := shares.keys() - NETWORKS.keys():
        raise AskedWrongly(f"there is no network {min(unknown)!r}; there are {', '.join(NETWORKS)}")
    whole = sum(shares.values())
    if whole <= 0 or min(shares.values()) < 0:
        raise AskedWrongly("--network: shares must be above 0")
    return {name: share / whole for name, share in shares.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest", description="Play thousands of simulated players, and say whether the server holds."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the scenarios that are included")
    two = commands.add_parser("compare", help="what has changed between two reports")
    two.add_argument("a", type=Path, help="report.html or report.json of the earlier run")
    two.add_argument("b", type=Path, help="of the later one")
    _add_run(commands.add_parser("run", help="play a scenario"))
    return parser


def _add_run(add: argparse.ArgumentParser) -> None:
    add.add_argument("scenario", help="a name that `list` shows, or the path of a .py file")
    where = add.add_argument_group("where to play")
    where.add_argument("--url", action="append", default=[], help="ws://HOST:PORT/ws; once for each node")
    where.add_argument("--http", action="append", default=[], help="http://HOST:PORT of a node, for its metrics and "
                       "for announcements (default: the gateway's port + 1)")  # fmt: skip
    where.add_argument("--serve", type=_count, default=0, metavar="N", help="start N nodes for this run instead")
    where.add_argument("--store", default="", help="with --serve: database of the nodes (default: a SQLite file)")
    where.add_argument("--bus", default="", help="with --serve: bus of the nodes")
    where.add_argument("--tokens", default="dev", help="dev; jwt:FILE[?kid=K&aud=A&iss=I]: minted with the HS256 "
                       "secret in FILE; file:FILE: a token a line")  # fmt: skip
    where.add_argument("--replace", action="append", default=[], metavar="COMMAND", help="drains and replaces a node; "
                       "once for each, for `deploy`")  # fmt: skip
    how = add.add_argument_group("how to play")
    how.add_argument("--players", type=_count, metavar="N")
    how.add_argument("--processes", type=_count, default=1, metavar="P", help="of players, each on a core (default 1)")
    how.add_argument("--duration", type=seconds, metavar="TIME", help="from the first arrival: 90s, 5m, 1h30m")
    how.add_argument("--ramp", type=seconds, metavar="TIME", help="in which everybody arrives")
    how.add_argument("--seed", type=int, default=1, help="the same seed, the same choices (default 1)")
    how.add_argument("--network", action="append", default=[], metavar="NAME[=SHARE]",
                     help=f"instead of the scenario's: {', '.join(NETWORKS)}")  # fmt: skip
    how.add_argument("--twice", action="store_true", help="send every request twice")
    what = add.add_argument_group("what to make of it")
    what.add_argument("--slo", type=Path, metavar="FILE", help="limits to judge by (TOML; docs/loadtest.md)")
    what.add_argument("--report", type=Path, default=Path("loadtest-report.html"), metavar="FILE",
                      help="HTML; the same as JSON goes beside it (default loadtest-report.html)")  # fmt: skip
    what.add_argument("--history", type=Path, metavar="FILE", help="keep everything that was seen (JSON lines)")
    what.add_argument("--no-check", action="store_true", help="record nothing, judge nothing but the limits")
    what.add_argument("--plain", action="store_true", help="a line every few seconds instead of the live view")


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
