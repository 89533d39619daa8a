"""The limits of a run: read strictly, judged by what was measured, never met by a run that did not happen."""

import re
from pathlib import Path

import pytest

from loadtest.checking import Verdict
from loadtest.cli import judged as with_verdict
from loadtest.figures import Count, Counts, Meters, State, Totals
from loadtest.outcome import Judged, Outcome, ServerFigures
from loadtest.reporting.slo import KEYS, QUANTILES, UNMEASURED, SloError, judge, live, parse_slo
from tests.loadtest.good_run import GOOD, NODE, NOTHING, OTHER, kind, moment, node_moments, spoilt

DOCS = Path(__file__).parents[2] / "docs" / "loadtest.md"
EVERYTHING = """
[latency."chat.send"]
p50 = 1
[latency."*"]
p99 = 8
[latency.sign-in]
longest = 160
[errors]
share = 0.001
codes."rate.limited" = 0.002
[requests]
unanswered = 0
least_per_s = 160
[players]
online = 0.9
online_at_end = 0.95
refused = 0
failed = 0
[connections]
lost_per_player_hour = 7
unreached = 0
[server]
memory_bytes = 104857600
cpu_p99 = 0.5
commit_p99_ms = 4
loop_lag_p99_ms = 6
[tester]
lag_p99_ms = 5
[checker]
findings = 0
"""


def judged(text: str, outcome: Outcome = GOOD) -> list[Judged]:
    """The lines of a file."""
    return judge(parse_slo(text, "slo.toml"), outcome)


def only(text: str, outcome: Outcome = GOOD) -> Judged:
    """The one line of a file, the checker's aside."""
    (line,) = (line for line in judged(text, outcome) if line.what != "checker.findings")
    return line


# Limits, each at its bound and just past it.
@pytest.mark.parametrize(
    ("table", "met", "missed", "measured"),
    [
        ('latency."chat.send"', "p50 = 1", "p50 = 0.99", "1 ms"),
        ('latency."chat.send"', "p90 = 2", "p90 = 1.99", "2 ms"),
        ('latency."chat.send"', "p99 = 4", "p99 = 3.99", "4 ms"),
        ('latency."chat.send"', "p999 = 8", "p999 = 7.99", "8 ms"),
        ('latency."chat.send"', "longest = 16", "longest = 15.99", "16 ms"),
        ("latency.sign-in", "p99 = 40", "p99 = 39", "40 ms"),
        ("latency.delivery", "p99 = 12", "p99 = 11", "12 ms"),
        ('latency."*"', "p99 = 8", "p99 = 7.9", "8 ms (guild.get)"),
        ("errors", "share = 0.0025", "share = 0.0024", "0.25 %"),
        ("errors.codes", '"rate.limited" = 0.002', '"rate.limited" = 0.0019', "0.2 %"),
        ("requests", "least_per_s = 166.6", "least_per_s = 168", "167"),
        ("players", "online = 0.9", "online = 0.91", "90 %"),
        ("players", "online_at_end = 0.95", "online_at_end = 0.96", "95 %"),
        ("connections", "lost_per_player_hour = 6.7", "lost_per_player_hour = 6.6", "6.67"),
        ("server", "memory_bytes = 104857600", "memory_bytes = 104857599", f"100 MiB ({NODE})"),
        ("server", "cpu_p99 = 0.5", "cpu_p99 = 0.49", f"50 % of a core ({OTHER})"),
        ("server", "commit_p99_ms = 4", "commit_p99_ms = 3.9", f"4 ms ({NODE})"),
        ("server", "loop_lag_p99_ms = 6", "loop_lag_p99_ms = 5.9", f"6 ms ({NODE})"),
        ("tester", "lag_p99_ms = 5", "lag_p99_ms = 4.9", "5 ms"),
    ],
)
def test_a_limit_is_met_at_its_bound_and_missed_past_it(table: str, met: str, missed: str, measured: str) -> None:
    good, bad = only(f"[{table}]\n{met}"), only(f"[{table}]\n{missed}")

    assert (good.met, bad.met) == (True, False)
    assert good.measured == bad.measured == measured
    assert good.limit != bad.limit


@pytest.mark.parametrize(
    ("line", "outcome", "measured"),
    [
        ("[requests]\nunanswered = 2", spoilt(counts={Count.ASKED: 9, Count.UNANSWERED: 3}), "3"),
        ("[players]\nrefused = 2", spoilt(refused={"a wrong token": 2, "too old": 1}), "3"),
        ("[players]\nrefused = 2", spoilt(players={State.ONLINE: 1, State.REFUSED: 3}), "3"),
        ("[players]\nfailed = 0", spoilt(players={State.ONLINE: 1, State.FAILED: 1}), "1"),
        (
            "[connections]\nunreached = 0.02",
            spoilt(counts={Count.SIGN_INS: 90, Count.RESUMED: 6, Count.UNREACHED: 4}),
            "4 %",
        ),
        (
            "[checker]\nfindings = 0",
            spoilt(verdict=Verdict(9, [], {"once": 2, "order": 1}, {"once": 9}, {})),
            "3 (once, order)",
        ),
    ],
)
def test_what_must_not_happen_is_counted(line: str, outcome: Outcome, measured: str) -> None:
    good = judged(line)[-1]
    bad = judged(line, outcome)[0]

    assert (good.met, bad.met, bad.measured) == (True, False, measured)


def test_all_limits_of_a_file_are_judged_in_its_order() -> None:
    lines = judged(EVERYTHING)

    assert [line.met for line in lines if line.what != "errors.share"] == [True] * (len(lines) - 1)
    assert [line.what for line in lines[:4]] == [
        "latency.chat.send.p50",
        "latency.*.p99",
        "latency.sign-in.longest",
        "errors.share",
    ]
    assert {line.what for line in lines} >= KEYS.keys()
    assert [line.what for line in lines].count("checker.findings") == 1


# What a limit says.
def test_every_request_has_the_limit_of_all_but_those_with_one_of_their_own() -> None:
    own = '[latency."guild.get"]\np99 = 8\n[latency."*"]\np99 = 4'

    assert [(line.met, line.measured) for line in judged(own)[:2]] == [(True, "8 ms"), (True, "4 ms (chat.send)")]
    assert not only('[latency."*"]\np99 = 4').met
    both = judged('[latency."guild.get"]\np50 = 2\n[latency."*"]\np99 = 4')
    assert [line.met for line in both[:2]] == [True, False], "it has a limit of its own for p50 only"


def test_sign_ins_and_deliveries_are_no_requests() -> None:
    outcome = spoilt(kinds=[kind("sign-in", 900.0), kind("delivery", 900.0), kind("chat.send", 1.0)])

    assert only('[latency."*"]\np99 = 4', outcome).measured == "4 ms (chat.send)"


def test_an_error_with_a_limit_of_its_own_is_left_out_of_the_share_of_all() -> None:
    share, code = judged('[errors]\nshare = 0.0006\ncodes."rate.limited" = 0.002')[:2]

    assert (share.met, share.measured) == (True, "0.0499 %")
    assert (code.what, code.met) == ("errors.codes.rate.limited", True)


def test_an_error_of_a_games_own_room_may_have_a_limit_where_the_file_names_it() -> None:
    own = '[errors]\nown_codes = ["quest.closed"]\ncodes."quest.closed" = 0.01'

    line = only(own, spoilt(errors={"quest.closed": 400}))

    assert (line.what, line.met, line.measured) == ("errors.codes.quest.closed", False, "3.85 %")


def test_errors_that_were_repeated_until_they_were_answered_count_as_answers_of_their_own() -> None:
    outcome = spoilt(counts={Count.ANSWERED: 60}, errors={"unavailable": 40})

    assert only("[errors]\nshare = 0.4", outcome).measured == "40 %"


def test_a_player_between_two_sessions_is_not_missed_online() -> None:
    outcome = spoilt(
        moments=[moment(0, online=1, away=0), moment(1, online=1, away=1)], players={State.ONLINE: 1, State.DONE: 99}
    )

    assert only("[players]\nonline = 0.6", outcome).measured == "66.7 %"
    assert only("[players]\nonline_at_end = 1.0", outcome).met


def test_players_who_failed_or_were_refused_are_missed_online() -> None:
    outcome = spoilt(players={State.ONLINE: 8, State.FAILED: 1, State.REFUSED: 1})

    assert only("[players]\nonline_at_end = 1.0", outcome).measured == "80 %"


def test_a_measure_just_past_its_limit_does_not_look_like_the_limit() -> None:
    outcome = spoilt(kinds=[kind("chat.send", 50.0004)])

    line = only('[latency."chat.send"]\np50 = 50', outcome)

    assert (line.met, line.limit, line.measured) == (False, "<= 50 ms", "50.0004 ms")


def test_the_processor_time_of_a_node_is_judged_by_its_busiest_seconds() -> None:
    outcome = spoilt(server=[ServerFigures(NODE, node_moments(*[0.1] * 98, 0.7, 0.9))])

    assert only("[server]\ncpu_p99 = 0.7", outcome).met
    assert not only("[server]\ncpu_p99 = 0.69", outcome).met


# A run that did not happen.
@pytest.mark.parametrize("what", [line.what for line in judged(EVERYTHING)])
def test_no_limit_is_met_by_a_run_that_did_not_happen(what: str) -> None:
    (line,) = (line for line in judged(EVERYTHING, NOTHING) if line.what == what)

    assert (line.met, line.measured) == (False, UNMEASURED)


def test_a_kind_that_never_occurred_does_not_meet_its_limit() -> None:
    line = only('[latency."wallet.give"]\np99 = 1000')

    assert (line.met, line.measured) == (False, UNMEASURED)


def test_all_requests_are_within_the_limit_of_the_others_when_there_are_no_others() -> None:
    outcome = spoilt(kinds=[kind("chat.send", 1.0)])

    assert all(line.met for line in judged('[latency."chat.send"]\np99 = 4\n[latency."*"]\np99 = 1', outcome))


def test_a_node_that_told_nothing_is_named_and_meets_no_limit() -> None:
    outcome = spoilt(server=[*GOOD.server, ServerFigures("http://127.0.0.1:9", [])])

    line = only("[server]\ncpu_p99 = 4", outcome)

    assert (line.met, line.measured) == (False, f"{UNMEASURED} (http://127.0.0.1:9)")


# The checker.
def test_what_the_checker_finds_is_judged_without_being_asked_for() -> None:
    found = spoilt(verdict=Verdict(9, [], {"once": 2}, {"once": 9}, {}))

    assert judged("") == [Judged("checker.findings", "<= 0", "0", met=True)]
    assert judged("", found) == [Judged("checker.findings", "<= 0", "2 (once)", met=False)]


def test_what_the_checker_finds_is_one_reason_that_names_the_promises() -> None:
    found = spoilt(verdict=Verdict(9, [], {"once": 2, "order": 1}, {"once": 9}, {}))

    outcome = with_verdict(found, parse_slo("", "slo.toml"))

    assert (outcome.passed, outcome.reasons) == (False, ["checker.findings is 3 (once, order), and may be <= 0"])


def test_a_checker_that_has_looked_at_nothing_gives_no_good_report() -> None:
    assert judged("", spoilt(verdict=Verdict(0, [], {}, {}, {}))) == [
        Judged("checker.findings", "<= 0", UNMEASURED, met=False)
    ]


def test_a_checker_that_was_turned_off_is_not_judged_unless_it_is_asked_for() -> None:
    assert judged("", spoilt(verdict=None)) == []
    assert [line.met for line in judged("[checker]\nfindings = 0", spoilt(verdict=None))] == [False]


# While the run goes on.
def test_a_run_so_far_is_judged_by_what_can_be_told_of_it() -> None:
    meters, totals = Meters(0), Totals()
    for _ in range(99):
        meters.took("chat.send", 0.010)
    meters.took("chat.send", 0.100)
    meters.counts = Counts(asked=100, answered=100)
    meters.errors["unavailable"] += 1
    totals.add(meters.take(0, {State.ONLINE: 9, State.AWAY: 1}, lag_ms=1.0, cpu=0.1))
    slo = parse_slo(
        '[latency."chat.send"]\np99 = 20\nlongest = 50\n[latency.delivery]\np50 = 1\n[requests]\nleast_per_s = 60\n'
        "[errors]\nshare = 0.001\n[players]\nonline = 0.5\nonline_at_end = 0.9\n[server]\ncpu_p99 = 0.8",
        "slo.toml",
    )

    lines = {line.what: line for line in live(slo, totals, 2.0, [ServerFigures(NODE, node_moments(0.9))])}

    assert {what: line.met for what, line in lines.items()} == {
        "latency.chat.send.p99": True,
        "latency.chat.send.longest": False,
        "latency.delivery.p50": False,
        "requests.least_per_s": False,
        "errors.share": False,
        "players.online_at_end": True,
        "server.cpu_p99": False,
    }
    assert lines["latency.delivery.p50"].measured == UNMEASURED
    assert lines["requests.least_per_s"].measured == "50"


# Files that are refused.
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[latency", "is no TOML: "),
        ("[latencies]", "latencies is not known; allowed: latency, errors, requests, players, connections, server, "),
        ("latency = 5", "latency is 5; allowed: a table"),
        (
            '[latency."chat.send"]\np98 = 1',
            'latency."chat.send".p98 is not known; allowed: p50, p90, p99, p999, longest',
        ),
        ('[latency."chat.send"]\np99.9 = 1', 'latency."chat.send".p99 is a table; allowed: milliseconds, 0 or more'),
        (
            "[latency]\nchat.send.p99 = 1",
            'latency.chat is not known; allowed: "*", sign-in, resume, delivery, connect, ',
        ),
        ("[latency.signin]\np99 = 1", 'latency.signin is not known; allowed: "*", sign-in, '),
        ('[latency]\n"chat.send" = 5', 'latency."chat.send" is 5; allowed: a table'),
        ("[latency.sign-in]\np99 = '20 ms'", "latency.sign-in.p99 is '20 ms'; allowed: milliseconds, 0 or more"),
        ("[latency.sign-in]\np99 = -1", "latency.sign-in.p99 is -1; allowed: milliseconds, 0 or more"),
        ("[latency.sign-in]\np99 = nan", "latency.sign-in.p99 is nan; allowed: milliseconds, 0 or more"),
        ("[latency.sign-in]\np99 = inf", "latency.sign-in.p99 is inf; allowed: milliseconds, 0 or more"),
        ("[errors]\nshare = 5", "errors.share is 5; allowed: a share from 0 to 1 (0.01 is 1 %)"),
        ("[errors]\nshare = true", "errors.share is true; allowed: a share from 0 to 1 (0.01 is 1 %)"),
        ("[errors]\nrate = 0.1", "errors.rate is not known; allowed: share, codes, own_codes"),
        ("[errors]\ncodes = 0.1", "errors.codes is 0.1; allowed: a table"),
        ('[errors]\ncodes."rate.limited" = 1.1', 'errors.codes."rate.limited" is 1.1; allowed: a share from 0 to 1'),
        (
            '[errors]\ncodes."rate.limitd" = 0.1',
            'errors.codes."rate.limitd": no error has this code; the nearest is "rate.limited" (docs/wire.md has all)',
        ),
        (
            "[errors.codes]\nguild_full = 0.1",
            'errors.codes.guild_full: no error has this code; the nearest is "guild.full"',
        ),
        (
            '[errors]\nown_codes = ["quest.closed"]\ncodes."quest.closd" = 0.1',
            'errors.codes."quest.closd": no error has this code; the nearest is "quest.closed" ',
        ),
        (
            "[errors]\nown_codes = 'quest.closed'",
            "errors.own_codes is 'quest.closed'; allowed: a list ",
        ),
        ("[errors]\nown_codes = [1]", "errors.own_codes is [1]; allowed: a list of codes such as "),
        ("[requests]\nunanswered = 0.5", "requests.unanswered is 0.5; allowed: a whole number, 0 or more"),
        ("[requests]\nleast = 1", "requests.least is not known; allowed: unanswered, least_per_s"),
        ("[players]\nonline = 99", "players.online is 99; allowed: a share from 0 to 1 (0.01 is 1 %)"),
        ("[server]\nmemory_bytes = 1" + "0" * 400, "server.memory_bytes is 1000"),
        (
            "[server]\ncpu = 1",
            "server.cpu is not known; allowed: memory_bytes, cpu_p99, commit_p99_ms, loop_lag_p99_ms",
        ),
        ("[[checker]]\nfindings = 0", "checker is [{'findings': 0}]; allowed: a table"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(SloError) as refused:
        parse_slo(text, "evening.toml")

    assert str(refused.value).startswith(f"evening.toml: {says}")
    assert "\n" not in str(refused.value)


# The page.
def test_the_page_lists_every_key_and_its_example_is_read() -> None:
    page = DOCS.read_text("utf-8").partition("## Limits of a run")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([a-z_.0-9]+)` \|", page, re.MULTILINE))
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)

    assert listed == {*KEYS, "errors.share", "errors.codes", "errors.own_codes", *QUANTILES}
    assert parse_slo(example, "the page's").limits
