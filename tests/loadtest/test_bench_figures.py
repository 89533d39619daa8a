"""What the bench makes of what it has measured: quantiles, targets, the table, the picture, the report."""

import json
from collections.abc import Mapping
from xml.etree import ElementTree as ET

import pytest

from loadtest.bench.__main__ import report
from loadtest.bench.driver import Latencies, Marks, Trouble
from loadtest.bench.loads import Measured
from loadtest.bench.plot import MET, MOST, NOT_MET, SCALE, Bar, svg
from loadtest.bench.rows import ROWS, Row, at_least, chosen, under
from loadtest.bench.runs import Conditions, compared
from loadtest.bench.spent import Spent, ticks_of
from loadtest.bench.table import lines
from loadtest.bench.targets import Figures, Target, number

SVG = "{http://www.w3.org/2000/svg}"
GOOD = {"per_second": 2_000.0, "p50_ms": 1.0, "p99_ms": 4.0, "server_us": 8.0, "driver_share": 0.5}


async def nothing(_on: Conditions) -> Figures:
    """A load that is not run."""
    raise AssertionError


def row(*targets: Target, more: str = "") -> Row:
    """A row of a table."""
    return Row("some", "some load", nothing, targets, more)


def shown(figures: Mapping[str, float], *targets: Target, more: str = "") -> list[str]:
    """The lines of one row."""
    return list(lines([row(*targets, more=more)], {"some": figures}))[1:]


# Quantiles and counts.
def test_a_quantile_is_the_time_below_which_that_share_of_all_lies() -> None:
    latencies = Latencies()
    latencies.seconds = [n / 1000 for n in range(100, 0, -1)]

    assert latencies.quantile(0.5) == pytest.approx(51)
    assert latencies.quantile(0.99) == pytest.approx(100)
    assert latencies.quantile(1.0) == pytest.approx(100)


def test_without_latencies_every_quantile_is_nothing() -> None:
    assert Latencies().quantile(0.99) == 0.0


def test_latencies_of_many_are_taken_together_and_not_averaged() -> None:
    quick, slow = Latencies(), Latencies()
    quick.seconds, slow.seconds = [0.001] * 98, [0.5] * 2

    assert Latencies.of([quick, slow]).quantile(0.99) == pytest.approx(500)


@pytest.mark.parametrize("size", range(1, 30))
def test_a_mark_is_counted_once_wherever_the_reads_are_cut(size: int) -> None:
    stream = b"..chat.message..chat.messagechat.message...chat.me.chat.message"
    marks = Marks(b"chat.message")

    counted = sum(marks.count(stream[at : at + size]) for at in range(0, len(stream), size))

    assert counted == 4


def test_a_load_with_a_refused_request_gives_no_figures() -> None:
    trouble = Trouble()
    trouble.look(b"\x81\xa1t\xa9chat.sent")
    trouble.check([])
    trouble.look(b"\x82\xa1t\xa5error\xa4code\xaachat.muted")

    with pytest.raises(SystemExit, match="muted"):
        trouble.check([])


# Processor time.
def test_processor_time_is_read_past_a_name_with_spaces_and_brackets() -> None:
    stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 250 130 7 9 20 0 3 0 100 1000 50"

    assert ticks_of(stat) == 380


def test_processor_time_is_given_for_each_operation_and_as_a_share_of_a_core() -> None:
    spent = Spent()
    spent.seconds, spent.server_s, spent.driver_s = 4.0, 2.0, 1.0

    assert spent.server_us(100_000) == pytest.approx(20)
    assert (spent.server_share, spent.driver_share) == (0.5, 0.25)
    assert spent.server_us(0) == 0


def test_the_ratio_to_the_floor_is_of_rates_of_the_same_run() -> None:
    ours, floor = Measured(500, 1, 2, 20, 1, 0.2), Measured(2_000, 1, 2, 5, 1, 0.9)

    figures = compared(ours, floor)

    assert figures["of_floor"] == 0.25
    assert (figures["floor_per_second"], figures["floor_server_us"]) == (2_000, 5)


# Targets.
@pytest.mark.parametrize(
    ("target", "met", "reached"),
    [
        (at_least(2_000, "a second"), True, 1.0),
        (at_least(4_000, "a second"), False, 0.5),
        (under(8, "p99"), True, 2.0),
        (under(4, "p99"), False, 1.0),
        (under(1, "p99"), False, 0.25),
    ],
)
def test_a_target_is_met_at_its_bound_from_the_right_side(target: Target, met: bool, reached: float) -> None:
    verdict = target.judge(GOOD)

    assert (verdict.met, verdict.reached) == (met, reached)


def test_a_target_whose_figure_is_missing_is_an_error_and_not_met_in_silence() -> None:
    with pytest.raises(KeyError):
        under(5, "p99", "half_p99_ms").judge(GOOD)


@pytest.mark.parametrize(
    ("value", "text"), [(1_500_000.4, "1,500,000"), (12.0, "12"), (12.34, "12.3"), (4.567, "4.57"), (0.0, "0")]
)
def test_numbers_are_written_with_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


# The table.
def test_each_target_stands_below_its_figures_with_its_verdict() -> None:
    told = shown(GOOD, at_least(1_500, "lines a second"), under(2, "p99 ms"))

    assert "2,000" in told[0]
    assert told[1:] == [
        "    target: lines a second >= 1,500: met (2,000)",
        "    target: p99 ms < 2: not met (4)",
    ]


def test_what_was_not_measured_is_a_dash_under_its_head() -> None:
    head, figures = lines([row()], {"some": {"per_second": 5.0}})

    assert figures.split()[-7:] == ["5", "-", "-", "-", "-", "-", "-"]
    assert len(figures) == len(head)


def test_a_driver_that_is_the_bottleneck_is_named() -> None:
    assert not any("bottleneck" in line for line in shown(GOOD))
    assert any("bottleneck" in line for line in shown({**GOOD, "driver_share": 0.91}))
    assert any("half_driver_share" in line for line in shown({**GOOD, "half_driver_share": 0.95}))


def test_what_has_no_column_is_said_below() -> None:
    assert "    offered 7 a second" in shown({**GOOD, "offered": 7}, more="offered {offered:.0f} a second")


# The rows.
def test_rows_are_chosen_by_part_of_their_name_in_order() -> None:
    assert [row.name for row in chosen("room")] == ["room_sqlite", "room_mysql"]
    assert chosen("") == list(ROWS)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_row_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(SystemExit, match="durable_request"):
        chosen("no such row")


def test_the_report_has_verdicts_beside_figures_and_is_json() -> None:
    told = json.loads(json.dumps(report([row(under(2, "p99 ms"))], {"some": GOOD}, {"cpu": "a good one"})))

    assert told["about"] == {"cpu": "a good one"}
    assert told["results"]["some"]["per_second"] == 2_000
    (verdict,) = told["targets"]["some"]
    assert (verdict["label"], verdict["bound"], verdict["found"], verdict["met"]) == ("p99 ms", 2, 4, False)


# The picture.
def test_the_picture_is_an_svg_whatever_the_titles_hold() -> None:
    bars = [Bar('a "load" <&> more', at_least(1_000, "a second").judge(GOOD))]

    root = ET.fromstring(svg(bars, "on <this> & that"))

    assert root.tag == f"{SVG}svg"
    told = [text.text for text in root.iter(f"{SVG}text")]
    assert 'a "load" <&> more: a second' in told
    assert "on <this> & that" in told
    assert "2,000  (≥ 1,000)" in told


def test_a_bar_is_as_long_as_what_was_reached_of_its_target_and_has_its_color() -> None:
    targets = (at_least(4_000, "half"), under(8, "twice"), at_least(10, "far beyond"))

    root = ET.fromstring(svg([Bar("x", target.judge(GOOD)) for target in targets], ""))

    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("fill") in {MET, NOT_MET}]
    assert [float(bar.get("width", "")) for bar in bars] == [0.5 * SCALE, 2 * SCALE, MOST * SCALE]
    assert [bar.get("fill") for bar in bars] == [NOT_MET, MET, MET]


def test_everything_in_the_picture_lies_within_its_borders() -> None:
    bars = [Bar(row.title, target.judge({target.figure: 1.0})) for row in ROWS for target in row.targets]

    root = ET.fromstring(svg(bars, ""))

    height, width = float(root.get("height", "")), float(root.get("width", ""))
    assert all(0 <= float(text.get("y", "")) <= height for text in root.iter(f"{SVG}text"))
    assert all(0 <= float(text.get("x", "")) <= width for text in root.iter(f"{SVG}text"))
