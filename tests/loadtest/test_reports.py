"""What is told of a run in the terminal and kept for machines, and what is read back."""

import tomllib
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from loadtest.checking import Rule
from loadtest.figures import Count, State
from loadtest.outcome import Moment, Outcome, Quantiles
from loadtest.reporting import BadReport, encode, read_outcome, render, summary, words
from loadtest.reporting.thinned import thinned
from tests.loadtest import outcomes

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "loadtest" / "reporting" / "assets"


def test_the_outcome_is_read_back_from_either_report(tmp_path: Path) -> None:
    run = outcomes.failed(seen="</script> <!-- \u2028 & 'quoted' \"too\"")
    (tmp_path / "report.json").write_bytes(encode(run))
    (tmp_path / "report.html").write_text(render(run), "utf-8")

    assert read_outcome(tmp_path / "report.json") == run
    assert read_outcome(tmp_path / "report.html") == run


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (b"", "neither a report.json nor a report.html"),
        (b"<html><body>hello</body></html>", "neither a report.json nor a report.html"),
        (b"[1, 2]", "neither a report.json nor a report.html"),
        (b"\xff\xfe\x00", "it is no text"),
        (b'{"format": 1}', "no report of the load tester: Object missing required field"),
        (b'{"rps": 12}', "no report of the load tester"),
        (b'{"format": 2, "new": true}', "a report of format 2; this tester reads formats up to 1"),
        (encode(outcomes.outcome(1))[:900], "broken off or damaged"),
    ],
)
def test_anything_else_is_refused_in_one_line_that_names_it(held: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(held)

    with pytest.raises(BadReport) as refused:
        read_outcome(path)

    assert str(refused.value).startswith(f"{path}: ")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_report_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadReport, match=r"nowhere.json: No such file"):
        read_outcome(tmp_path / "nowhere.json")


def test_the_terminal_says_the_verdict_first_and_last(tmp_path: Path) -> None:
    text = summary(outcomes.failed(), [tmp_path / "report.html"])
    lines = text.splitlines()

    assert lines[0] == lines[-1] == "FAILED: evening, 1,000 players, 2:00 min"
    assert "  - latency.delivery.p99 was 312 ms, the limit is at most 250 ms" in lines
    assert "  NOT MET  latency.delivery.p99   at most 250 ms    312 ms" in lines
    assert "Checked: 62 promises broken in 812,331 records: 1 lost, 61 out of order." in lines
    assert "  ... and 60 more" in lines
    assert f"Report   {tmp_path}/report.html" in lines
    assert max(map(len, lines[:-3])) <= 120


def test_the_terminal_says_of_a_good_run_what_there_is_to_know() -> None:
    text = summary(outcomes.outcome())

    assert text.startswith("PASSED")
    assert "Why:" not in text
    assert "Checked: Nothing was lost, doubled or out of order in 812,331 records." in text
    assert "4000 (the node is being drained) 240; 1006" in text
    assert len(text.splitlines()) < 45


def test_the_terminal_says_of_a_run_that_never_happened_why() -> None:
    text = summary(outcomes.never_played())

    assert "connection refused" in text
    assert "at the end: none" in text
    assert "Not checked" in text


def test_a_tester_that_was_too_slow_is_told_before_the_figures() -> None:
    good = outcomes.outcome()
    text = summary(replace(good, tester=replace(good.tester, bottleneck="process 1 took 98 % of a core")))

    assert text.index("The tester itself was too slow") < text.index("What happened")


def test_nothing_from_outside_reaches_the_terminal_as_an_order() -> None:
    evil = "\x1b[2J\x07owned\r\n\u202e"
    run = outcomes.failed(seen=evil)
    run = replace(
        run,
        reasons=[evil],
        errors={evil: 1},
        refused={evil: 1},
        closes={evil: 1},
        kinds=[replace(run.kinds[0], kind=evil)],
        slo=[replace(run.slo[0], what=evil, limit=evil, measured=evil)],
        setting=replace(run.setting, scenario=evil),
        history=evil,
    )

    text = summary(run, [Path(evil)])

    assert text.count("owned") >= 10
    assert all(each.isprintable() for line in text.split("\n") for each in line)


def test_a_checker_that_saw_nothing_does_not_say_that_all_is_well() -> None:
    verdict = replace(outcomes.good_verdict(), records=0, judged={})

    assert words.judged(verdict).startswith("Nothing could be checked")


def test_every_promise_stands_in_one_group() -> None:
    grouped = [rule for rules in words.BROKEN.values() for rule in rules]

    assert sorted(grouped) == sorted(Rule)


def test_every_state_and_count_has_words() -> None:
    assert set(words.STATES) == set(State)
    assert set(words.COUNTS) == set(Count)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0 ms"), (0.836, "0.84 ms"), (9.999, "10.00 ms"), (83.44, "83.4 ms"), (999.4, "999 ms"), (1204.0, "1.20 s")],
)
def test_milliseconds_have_the_digits_that_say_something(value: float, written: str) -> None:
    assert words.milliseconds(value) == written


@pytest.mark.parametrize(
    ("seconds", "written"), [(0.4, "0 s"), (59.7, "1:00 min"), (300, "5:00 min"), (10_803, "3:00:03 h")]
)
def test_durations_read_as_on_a_clock(seconds: float, written: str) -> None:
    assert words.duration(seconds) == written


def _second(second: int, p99: float) -> Moment:
    took = {"chat.send": Quantiles(10, 1.0, 2.0, p99, p99, p99)}
    return Moment(
        second=second,
        players={State.ONLINE: second},
        counts={Count.ASKED: 10},
        errors={"unavailable": 1},
        took=took,
        lag_ms=p99 / 10,
        cpu=[0.5],
    )


def test_a_long_run_is_thinned_out_without_losing_a_count_or_a_bad_second() -> None:
    moments = [_second(at, p99=500.0 if at == 7 else 5.0) for at in range(10) if at != 4]
    run: Outcome = replace(outcomes.outcome(10), moments=moments)

    kept = thinned(run, most=3)

    assert kept.moment_s == 4
    assert [each.second for each in kept.moments] == [0, 4, 8]
    assert [each.counts[Count.ASKED] for each in kept.moments] == [40, 30, 20]
    assert [each.errors["unavailable"] for each in kept.moments] == [4, 3, 2]
    assert [each.players[State.ONLINE] for each in kept.moments] == [3, 7, 9]
    assert [each.took["chat.send"].p99 for each in kept.moments] == [5.0, 500.0, 5.0]
    assert [each.lag_ms for each in kept.moments] == [0.5, 50.0, 0.5]
    assert kept.counts == run.counts


def test_a_short_run_is_kept_as_it_is() -> None:
    run = outcomes.outcome()

    assert msgspec.json.encode(thinned(run)) == msgspec.json.encode(run)


def test_the_plotting_library_is_as_it_was_published_with_its_licence_beside_it() -> None:
    folder = ASSETS / "uplot"
    version = (folder / "VERSION").read_text("utf-8")
    sums = dict(line.split()[::-1] for line in version.splitlines() if len(line.split()[0]) == 64)

    assert set(sums) == {path.name for path in folder.iterdir()} - {"VERSION", "LICENSE"}
    for name, digest in sums.items():
        assert sha256((folder / name).read_bytes()).hexdigest() == digest
    assert "MIT" in (folder / "LICENSE").read_text("utf-8")


def test_an_installed_package_has_every_file_that_a_page_is_made_of() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    packed = {path for pattern in declared["loadtest"] for path in (ROOT / "loadtest").glob(pattern) if path.is_file()}

    assert {path for path in ASSETS.rglob("*") if path.is_file()} <= packed
