"""Two runs side by side: what is alike, what became better or worse, and what is only noise."""

import re

import pytest
from msgspec.structs import replace

from loadtest.figures import Count
from loadtest.outcome import Outcome, Quantiles, ServerFigures
from loadtest.reporting import Comparison, compare
from loadtest.reporting.thinned import thinned
from tests.loadtest import outcomes


def slower(run: Outcome, kind: str, *, by: float, count: int | None = None) -> Outcome:
    """The same run, in which a kind took ``by`` times as long."""

    def took(seen: Quantiles) -> Quantiles:
        times = (seen.p50, seen.p90, seen.p99, seen.p999, seen.longest)
        return Quantiles(count or seen.count, *(each * by for each in times))

    kinds = [replace(each, took=took(each.took)) if each.kind == kind else each for each in run.kinds]
    return replace(run, kinds=kinds)


def verdicts(comparison: Comparison) -> dict[str, str]:
    """Of what was found better or worse, or could not be judged."""
    return {f"{each.area} {each.what}": each.verdict for each in comparison.changes if each.verdict}


def test_a_run_is_not_worse_than_itself() -> None:
    run = outcomes.outcome()
    comparison = compare(run, run)

    assert not comparison.worse
    assert (verdicts(comparison), comparison.warnings, comparison.differences) == ({}, [], [])
    assert str(comparison).endswith("NOT WORSE: 0 better, the rest within noise (10%)")


def test_what_takes_longer_is_worse_and_what_takes_less_is_better() -> None:
    run = outcomes.outcome()
    comparison = compare(run, slower(slower(run, "wallet.give", by=1.5), "guild.join", by=0.5))

    assert comparison.worse
    assert verdicts(comparison) == {
        **{f"wallet.give {each}": "worse" for each in ("p50", "p99", "p99.9")},
        **{f"guild.join {each}": "better" for each in ("p50", "p99", "p99.9")},
    }
    assert "WORSE: wallet.give p50, p99, p99.9 (3 better)" in str(comparison)


@pytest.mark.parametrize(("kind", "by"), [("guild.join", 1.09), ("leaderboard.top", 1.2)])
def test_a_change_within_a_tenth_or_a_millisecond_is_noise(kind: str, by: float) -> None:
    run = outcomes.outcome()

    assert verdicts(compare(run, slower(run, kind, by=by))).get(f"{kind} p50") is None


def test_a_percentile_with_too_few_latencies_beyond_it_is_not_judged() -> None:
    run = outcomes.outcome()
    comparison = compare(run, slower(run, "wallet.give", by=3.0, count=900))

    assert verdicts(comparison) == {
        "wallet.give p50": "worse",
        "wallet.give p99": "few",
        "wallet.give p99.9": "few",
    }


@pytest.mark.parametrize("name", ["scenario", "players", "networks", "twice"])
def test_runs_that_are_not_alike_are_warned_about_loudly(name: str) -> None:
    run = outcomes.outcome()
    other = {"scenario": "raid", "players": 2000, "networks": {"wifi": 1.0}, "twice": True}[name]
    comparison = compare(run, replace(run, setting=replace(run.setting, **{name: other})))

    assert [each.split(" ")[0] for each in comparison.warnings] == [name]
    assert "!!! NOT ALIKE" in str(comparison)


def test_other_settings_that_differ_are_listed_without_a_warning() -> None:
    run = outcomes.outcome()
    comparison = compare(run, replace(run, setting=replace(run.setting, commit="abc", seed=2)))

    assert comparison.warnings == []
    assert [(each.what, each.after) for each in comparison.differences] == [("seed", "2"), ("commit", "abc")]


def test_a_run_that_was_stopped_or_never_played_is_doubted() -> None:
    stopped = replace(outcomes.outcome(), interrupted=True, played_s=31.0)
    comparison = compare(stopped, outcomes.never_played())

    assert comparison.warnings == ["A was stopped by hand after 31 s", "B never played"]


@pytest.mark.parametrize("bad", [outcomes.failed(), outcomes.never_played()])
def test_a_run_that_failed_is_worse_than_one_that_passed(bad: Outcome) -> None:
    comparison = compare(outcomes.outcome(), bad)

    assert comparison.worse
    assert "WORSE: the verdict" in str(comparison)


def test_more_errors_and_lost_connections_are_worse() -> None:
    run = outcomes.outcome()
    counts = {**run.counts, Count.LOST: run.counts[Count.LOST] + 2000, Count.UNANSWERED: 2000}
    comparison = compare(run, replace(run, counts=counts, errors={"unavailable": 20_000}))

    assert verdicts(comparison) == {
        "of all requests error replies": "worse",
        "of all requests without an answer": "worse",
        "by 100 players connections lost": "worse",
    }


def test_fewer_requests_and_deliveries_a_second_are_worse() -> None:
    run = outcomes.outcome()
    fewer = {**run.counts, Count.ASKED: run.counts[Count.ASKED] // 2, Count.HEARD: 0}
    found = verdicts(compare(run, replace(run, counts=fewer)))

    assert (found["a second requests"], found["a second deliveries"]) == ("worse", "worse")


def test_servers_that_take_more_are_worse_and_those_without_figures_are_gone() -> None:
    run = outcomes.outcome()
    heavier = [
        ServerFigures(node.url, [replace(each, cpu=2 * (each.cpu or 0), memory_bytes=9e8) for each in node.moments])
        for node in run.server
    ]

    assert verdicts(compare(run, replace(run, server=heavier))) == {
        "servers cores, mean": "worse",
        "servers memory, most": "worse",
    }
    assert set(verdicts(compare(run, replace(run, server=[]))).values()) == {"gone"}
    assert not compare(run, replace(run, server=[])).worse


def test_a_page_of_a_long_run_compares_as_its_json_does() -> None:
    run = outcomes.outcome(4000, players=50)

    assert verdicts(compare(run, thinned(run))) == {}


def test_columns_are_aligned() -> None:
    run = outcomes.outcome()
    lines = str(compare(run, slower(run, "wallet.give", by=1.5))).splitlines()
    changes = [change for line in lines if (change := re.search(r"[+-]\d+ %", line))]

    assert len({change.end() for change in changes}) == 1
    assert len(changes) > 30
