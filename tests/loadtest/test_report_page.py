"""The report in a real browser: what whoever opens the file sees, points at, types and prints."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from loadtest.figures import State
from loadtest.outcome import KindFigures, Mark, Outcome
from loadtest.reporting import render
from tests.e2e.browser import Browser, Window
from tests.loadtest import outcomes

pytestmark = pytest.mark.timeout(180)

Open = Callable[[Outcome], Window]
EVIL = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"

_INKED = """
const hues = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((nth) => colour(`c${nth}`))
  .map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const inked = (canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] > 200 && hues.some((hue) => hue.every((part, nth) => Math.abs(part - data[at + nth]) < 12)))
      found++;
  return found;
};
return [...document.querySelectorAll(".plot")].map((each) => [
  each.querySelector("h3").textContent, inked(each.querySelector("canvas"))]);
"""  # pixels in the colour of a series, which axes and words have not
_VALUES = """
const titled = (each) => each.querySelector("h3").textContent === arguments[0];
const plot = [...document.querySelectorAll(".plot")].find(titled);
return Object.fromEntries([...plot.querySelectorAll(".u-series")].map((each) => [
  each.querySelector(".u-label").textContent, each.querySelector(".u-value").textContent]));
"""
_TIMES = """
plots.filter(({ box }) => !box.textContent.startsWith("Server"))
  .map(({ u }) => u.root.querySelector(".u-value").textContent)
""".strip()  # servers are looked at every two seconds
_RANGE = "return plots.map(({ u }) => [u.scales.x.min, u.scales.x.max])"


@pytest.fixture(scope="module")
def screen(browser: Browser) -> Iterator[Window]:
    with browser.window((1366, 900)) as opened:
        yield opened


@pytest.fixture
def show(screen: Window, tmp_path: Path) -> Open:
    """Open the report of an outcome as a file."""

    def opened(outcome: Outcome) -> Window:
        path = tmp_path / "report.html"
        path.write_text(render(outcome), "utf-8")
        screen.open(path.as_uri())
        screen.until("return document.documentElement.dataset.drawn !== undefined")
        screen.until("return new Promise((done) => requestAnimationFrame(() => done(true)))")
        return screen

    return opened


def values(page: Window, title: str) -> dict[str, str]:
    """What stands below a plot, by name."""
    found: dict[str, str] = page.driver.execute_script(_VALUES, title)
    return found


def titles(page: Window) -> list[str]:
    found: list[str] = page.driver.execute_script(
        "return [...document.querySelectorAll('.plot h3')].map((each) => each.textContent)"
    )
    return found


def point_at(page: Window, share: float) -> Any:
    """Put the mouse into the first plot, at a share of its width; returns the element."""
    over = page.driver.find_element("css selector", ".u-over")
    page.driver.execute_script("arguments[0].scrollIntoView({ block: 'center' })", over)
    ActionChains(page.driver).move_to_element_with_offset(over, round((share - 0.5) * over.size["width"]), 0).perform()
    return over


def test_every_plot_is_drawn_and_the_page_asks_nobody_for_anything(show: Open) -> None:
    page = show(outcomes.outcome())

    inked = dict(page.driver.execute_script(_INKED))

    assert [title for title, pixels in inked.items() if pixels < 100] == []
    assert list(inked) == [
        "Players",
        "Connections a second",
        "Requests a second",
        "Deliveries a second",
        "Latency",
        "Latency by percentile",
        "Error replies a second",
        "Server: processor",
        "Server: memory",
        "Server: commit",
        "Server: lag of the event loop",
        "Server: sessions",
        "The tester: lag",
        "The tester: processor",
    ]
    assert page.driver.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert page.problems() == []


def test_pointing_at_one_plot_shows_the_values_of_that_second_in_all(show: Open) -> None:
    run = outcomes.outcome()
    page = show(run)

    point_at(page, 0.7)

    page.until(f"return {_TIMES}.every((each) => each === {_TIMES}[0] && each.includes(':'))")
    at = values(page, "Players")["at"]
    minutes, seconds = at.split(":")
    second = run.moments[int(minutes) * 60 + int(seconds)]
    assert 80 <= second.second <= 88
    assert values(page, "Players")["away"] == f"{second.players[State.AWAY]:,}"
    assert values(page, "Connections a second")["lost"] == f"{second.players[State.AWAY]:,}"
    looked = min(run.server[0].moments, key=lambda each: abs(each.at_ms - second.second * 1000 - 500))
    assert values(page, "Server: memory")["http://10.0.0.4:7351"] == f"{(looked.memory_bytes or 0) / 1e6:.0f} MB"
    page.until_shown("#at", f"At {at}, 0:0{second.second - 79} after “north is drained”")


def test_dragging_zooms_every_plot_and_the_button_shows_the_whole_run(show: Open) -> None:
    page = show(outcomes.outcome())
    over = point_at(page, 0.25)

    ActionChains(page.driver).click_and_hold().move_by_offset(over.size["width"] // 4, 0).release().perform()

    page.until_shown("#whole")
    ranges = page.driver.execute_script(_RANGE)
    assert all(low == pytest.approx(30, abs=1) and high == pytest.approx(60, abs=1) for low, high in ranges)
    page.click("#whole")
    page.until("return document.querySelector('#whole').hidden")
    assert page.driver.execute_script(_RANGE) == [[0, 120]] * len(ranges)


def test_the_keyboard_goes_through_time_zooms_and_hides_lines(show: Open) -> None:
    page = show(outcomes.outcome())
    canvas = page.driver.find_element("css selector", ".canvas")

    canvas.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.SHIFT, Keys.ARROW_RIGHT)
    page.until(f"return {_TIMES}.every((each) => each === '0:12')")
    canvas.send_keys("+")
    page.until_shown("#whole")
    canvas.send_keys(Keys.ESCAPE)
    page.until("return document.querySelector('#whole').hidden")
    name = page.driver.find_element("css selector", ".u-legend tr:nth-child(2) th")
    assert name.get_attribute("aria-pressed") == "true"
    name.send_keys(Keys.ENTER)
    page.until("return document.querySelector('.u-legend tr:nth-child(2) th').ariaPressed === 'false'")
    # Without those who wait, the stack is as high as those who are there.
    assert page.driver.execute_script("return Math.max(...plots[0].u.data[1].slice(0, 3)) < 200")


def test_kinds_and_percentiles_of_latencies_can_be_chosen(show: Open) -> None:
    page = show(outcomes.outcome())

    page.click(".choice input[value=p50]")
    page.click(".choice input[value='wallet.give']")

    assert {"wallet.give p50", "wallet.give p99", "delivery p50"} <= set(values(page, "Latency"))
    assert "wallet.give" in values(page, "Latency by percentile")
    for box in page.driver.find_elements("css selector", ".choice input:checked"):
        box.click()
    assert list(values(page, "Latency")) == ["at"]
    assert page.problems() == []


def test_what_the_director_did_is_marked_in_every_plot_over_time(show: Open) -> None:
    page = show(outcomes.outcome())

    flags = page.driver.execute_script("return [...document.querySelectorAll('.mark')].map((each) => each.textContent)")

    assert len(flags) == 3 * (len(titles(page)) - 1)
    assert flags[0].startswith("1 announcement")
    assert "1:20 north is drained" in page.text()


def test_a_run_that_failed_says_so_with_its_reasons_and_findings(show: Open) -> None:
    page = show(outcomes.failed())

    text = page.text()

    assert page.driver.title == "FAILED: evening, 1,000 players, 2:00 min"
    assert text.startswith("FAILED")
    for words in (
        "latency.delivery.p99 was 312 ms, the limit is at most 250 ms",
        "checker.findings is 62 (acknowledged, order), and may be <= 0",
        "✗ not met",
        "1 lost",
        "61 out of order",
        "✗ 61 broken",
        "a line that was acknowledged is in no history",
        "p17",
        "chat:room:raid-4",
        "chat.message with op p17-118 at seq 5018",
        "seq 5019 after seq 5017",
        "118201, 118377",
        "run-20260117/history.jsonl",
        "signed in elsewhere",
    ):
        assert words in text, words


def test_nothing_from_outside_becomes_part_of_the_page(show: Open) -> None:
    good = outcomes.failed(seen=EVIL)
    run = replace(
        good,
        reasons=[EVIL],
        setting=replace(good.setting, scenario=EVIL, urls=[EVIL], command=EVIL, notes=[EVIL], machine=EVIL),
        errors={EVIL: 3},
        closes={EVIL: 3},
        refused={EVIL: 3},
        moments=[replace(each, errors={EVIL: 1}, took={EVIL: each.took["delivery"]}) for each in good.moments],
        kinds=[KindFigures(kind=EVIL, took=good.kinds[0].took, curve=good.kinds[0].curve)],
        marks=[Mark(1000, EVIL)],
        slo=[replace(good.slo[0], what=EVIL, limit=EVIL, measured=EVIL)],
        tester=replace(good.tester, bottleneck=EVIL),
        history=EVIL,
    )
    page = show(run)

    assert page.driver.title == f"FAILED: {EVIL}, 1,000 players, 2:00 min"
    assert page.driver.execute_script("return document.querySelectorAll('img').length") == 0
    assert page.driver.execute_script("return document.scripts.length") == 4
    assert page.text().count("document.title = 'owned'") >= 15
    assert page.problems() == []


def test_a_script_that_got_in_all_the_same_does_not_run(screen: Window, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(outcomes.outcome(1)).replace("<main>", f"<main>{EVIL}"), "utf-8")

    screen.open(path.as_uri())

    screen.until("return document.documentElement.dataset.drawn !== undefined")
    assert screen.driver.title.startswith("PASSED")
    assert "Content Security Policy" in " ".join(screen.problems())


def test_a_run_that_never_happened_has_no_plots_and_says_why(show: Open) -> None:
    page = show(outcomes.never_played())

    assert page.text().startswith("FAILED")
    assert "connection refused" in page.text()
    assert "nothing to plot" in page.text()
    assert page.driver.find_elements("css selector", "canvas") == []
    assert not page.driver.find_element("id", "controls").is_displayed()
    assert page.problems() == []


def test_a_run_of_a_second_without_servers_and_checker_is_drawn(show: Open) -> None:
    page = show(replace(outcomes.outcome(1), server=[], verdict=None, slo=[], marks=[]))

    assert "the checker was turned off" in page.text()
    assert "judged by no limits" in page.text()
    assert not [title for title in titles(page) if title.startswith("Server")]
    assert [title for title, pixels in page.driver.execute_script(_INKED) if pixels < 10] == []
    assert page.problems() == []


def test_three_hours_are_drawn_in_fewer_points_and_the_page_says_so(show: Open, tmp_path: Path) -> None:
    page = show(outcomes.outcome(3 * 3600, players=100))

    assert (tmp_path / "report.html").stat().st_size < 5_000_000
    assert "each point of the plots stands for 6 s" in page.text()
    assert page.driver.execute_script("return plots[0].u.data[0].length") == 1800
    assert page.driver.execute_script(_RANGE)[0] == [0, 10_800]
    assert page.problems() == []


def test_a_dark_page_is_light_on_paper_and_its_plots_fit(show: Open) -> None:
    page = show(outcomes.outcome())
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    ground = "return getComputedStyle(document.documentElement).getPropertyValue('--ground').trim()"
    try:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
        assert page.driver.execute_script(ground) == "#121615"
        page.driver.execute_script(
            "addEventListener('beforeprint', () => (window.printed = ["
            "getComputedStyle(document.documentElement).getPropertyValue('--ground').trim(),"
            "Math.max(...plots.map(({ u }) => u.width))]))"
        )
        page.driver.execute_cdp_cmd("Page.printToPDF", {})
        assert page.driver.execute_script("return printed") == ["#f4f3ef", 670]
        assert page.driver.execute_script(ground) == "#121615"
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_narrow_window_scrolls_in_one_direction_only(show: Open) -> None:
    page = show(outcomes.failed())
    try:
        page.act_as_phone(390, 844)
        page.until("return document.querySelector('canvas').clientWidth < 390")
        assert page.driver.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
