"""The view of a run while it goes on: what matters is seen on a terminal of any size, and as lines elsewhere."""

import io
import os
import threading
from collections.abc import Iterable
from functools import cache
from queue import SimpleQueue
from typing import TextIO

import pytest
from rich.console import Console
from rich.text import Text

from loadtest.figures import Meters, State, Totals
from loadtest.outcome import Mark, ServerFigures
from loadtest.reporting.slo import Slo, parse_slo
from loadtest.running.frame import Frame, Frames
from loadtest.running.live import WAITING, LiveView
from loadtest.running.picture import Part, fitted, picture, sparkline
from tests.loadtest.seconds import KINDS, NODE, Second, seconds

SLO = parse_slo(
    '[latency."chat.send"]\np99 = 1\n[latency."mail.claim"]\np99 = 1\n[requests]\nleast_per_s = 100\n'
    "[errors]\nshare = 0.5\n[tester]\nlag_p99_ms = 5",
    "slo.toml",
)


@cache
def frame(**what: float) -> Frame:
    """The picture of the last of twelve seconds."""
    frames = Frames("evening on ws://127.0.0.1:7350/ws", 300.0, SLO)
    *_, last = (frames.frame(*second) for second in seconds(12, **what))  # type: ignore[arg-type]
    return last


def drawn(shown: Frame, width: int = 120, height: int = 60, *, ascii_only: bool = False) -> str:
    """As text."""
    return "\n".join(line.plain for line in picture(shown, width, height, ascii_only=ascii_only))


def row(text: str, start: str) -> list[str]:
    """The words of the first line that begins so."""
    return next(line.split() for line in text.splitlines() if line.strip().startswith(start))


# What is shown.
def test_a_second_shows_time_players_and_rates() -> None:
    text = drawn(frame())

    assert "evening on ws://127.0.0.1:7350/ws" in text
    assert "0:12 of 5:00 · 4:48 left" in text
    assert row(text, "players") == ["players", "980", "online", "8", "waiting", "10", "away", "2", "failed"]
    assert row(text, "answers/s")[1] == "1,200"
    assert row(text, "deliveries/s")[1] == "18,200"


def test_latencies_are_of_the_last_ten_seconds_and_of_the_whole_run() -> None:
    frames, meters, whole = Frames("", 60.0, Slo("")), Meters(0), Totals()
    shown = None
    for second in range(16):
        meters.took("chat.send", 0.5 if second < 5 else 0.01)
        now = Totals()
        tick = meters.take(second, {}, lag_ms=0, cpu=0)
        now.add(tick)
        whole.add(tick)
        shown = frames.frame(second, now, whole, [], [])
    assert shown is not None

    words = row(drawn(shown), "chat.send")

    at = words.index("│")
    assert words[1] == "1.0"
    assert [float(word) for word in words[2:at]] == pytest.approx([10.0] * 4, rel=0.01)
    assert [float(word) for word in words[at + 1 :]] == pytest.approx([10.0, 500.0, 500.0, 500.0], rel=0.01)


def test_of_the_requests_the_busiest_are_shown_and_what_is_no_request_always() -> None:
    kinds = [kind.name for kind in frame().kinds]

    assert kinds == ["sign-in", "resume", "delivery", "connect", *sorted(KINDS[:6])]


def test_errors_losses_and_resumes_are_told_by_their_codes() -> None:
    text = drawn(frame())

    assert row(text, "errors") == ["errors", "rate.limited", "48"]
    assert row(text, "lost") == ["lost", "24", "by", "close", "code", "1006", "24"]
    assert row(text, "resumed")[:4] == ["resumed", "24", "after", "ms:"]
    assert row(text, "requests") == ["requests", "24", "sent", "again", "24", "unanswered"]


def test_nodes_are_told_by_their_metrics_and_one_that_does_not_answer_is_away() -> None:
    text = drawn(frame())

    assert row(text, NODE)[:7] == [NODE, "50%", "210", "MiB", "3.25", "1.50", "500"]
    assert row(text, "http://127.0.0.1:7361")[1] == "away"


def test_limits_that_are_missed_come_first_and_what_needs_the_whole_run_is_not_told_early() -> None:
    text = drawn(frame())

    told = [line.split()[:2] for line in text.partition("limits")[2].partition("nodes")[0].splitlines()[1:]]
    assert row(text, "limits") == ["limits", "2", "met", "so", "far,", "1", "missed"]
    assert told[:4] == [
        ["MISSED", "latency.chat.send.p99"],
        ["met", "requests.least_per_s"],
        ["met", "errors.share"],
        ["-", "latency.mail.claim.p99"],
    ]
    assert "tester.lag_p99_ms" not in text


def test_what_the_director_did_is_told_the_newest_first() -> None:
    lines = [line.split(maxsplit=1) for line in drawn(frame()).splitlines()[-2:]]

    assert lines == [["0:08", "draining node-2"], ["0:02", "announcement to everybody"]]


@pytest.mark.parametrize(
    ("what", "says"),
    [({"busy": 0.97}, "process 1 takes 97% of a core"), ({"late_ms": 120.0}, "a timer of the tester was 120 ms late")],
)
def test_a_tester_that_is_the_bottleneck_says_so_in_red_on_any_terminal(what: dict[str, float], says: str) -> None:
    shown = frame(**what)

    assert f"THE TESTER IS THE BOTTLENECK: {says}" in drawn(shown)
    for width, height in ((40, 10), (80, 24), (200, 60)):
        (line,) = (line for line in picture(shown, width, height) if "THE TESTER IS THE BOTT" in line.plain)
        assert any("on red" in str(span.style) for span in line.spans)
    assert "BOTTLENECK" not in drawn(frame())


# Terminals.
@pytest.mark.parametrize("height", [1, 3, 10, 24, 60])
@pytest.mark.parametrize("width", [1, 10, 40, 80, 120, 149, 150, 300])
def test_no_line_is_longer_and_no_picture_higher_than_the_terminal(width: int, height: int) -> None:
    lines = picture(frame(late_ms=120.0), width, height)

    assert 0 < len(lines) <= height
    assert max(line.cell_len for line in lines) <= width


def test_a_tiny_terminal_shows_who_is_online_the_latencies_and_what_is_missed() -> None:
    text = drawn(frame(), 40, 10)

    assert "980 online" in text
    assert row(text, "sign-in")
    assert "MISSED  latency.chat.send.p99" in text


def test_a_small_terminal_shows_something_of_everything() -> None:
    text = drawn(frame(), 80, 24)

    for start in ("players", "answers/s", "latency", "errors", "lost", "limits", NODE, "tester", "0:08"):
        assert row(text, start)


def test_a_wide_terminal_has_two_halves_with_all_of_it() -> None:
    wide, narrow = drawn(frame(), 190, 30), drawn(frame(), 120, 60)

    for start in ("players", "sign-in"):
        assert row(wide, start)[0] == start
    missing = [word for word in narrow.split() if word not in wide and not set(word) & set("━─▁▂▃▄▅▆▇█")]
    assert missing == []


def test_a_terminal_without_unicode_gets_ascii() -> None:
    text = drawn(frame(), 100, 60, ascii_only=True)

    assert text.isascii()
    assert row(text, "answers/s")


def test_what_a_server_sends_moves_no_cursor() -> None:
    frames = Frames("a\x1b[2Jb", 60.0, Slo(""))
    *_, shown = (frames.frame(*second) for second in seconds(1, errors={"x\x1b[31m\r\n": 9}, closes={"[bold]4001": 1}))

    text = drawn(shown)

    assert "a?[2Jb" in text
    assert "x?[31m??" in text
    assert "[bold]4001" in text
    assert not any(char in text for char in "\x1b\r")


def test_parts_are_made_short_before_one_is_left_out_and_the_last_rank_goes_first() -> None:
    def part(rank: int, lines: int, least: int) -> Part:
        return Part(rank, [Text(f"{rank}.{line}") for line in range(lines)], least, more=True)

    def shown(height: int) -> list[str]:
        return [line.plain.strip() for line in fitted([part(1, 3, 2), part(2, 4, 2)], height)]

    assert shown(9) == ["", "1.0", "1.1", "1.2", "", "2.0", "2.1", "2.2", "2.3"]
    assert shown(8) == ["1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "2.3"]
    assert shown(5) == ["1.0", "1.1", "1.2", "2.0", "… 3 more"]
    assert shown(4) == ["1.0", "… 2 more", "2.0", "… 3 more"]
    assert shown(3) == ["1.0", "1.1", "1.2"], "what is left has the room of what is not"
    assert shown(1) == []


def test_bars_grow_with_their_values() -> None:
    assert sparkline([0, 50, 100], 10, most=100).plain == "▁▄█"
    assert sparkline([1, 2, 3, 4], 2, most=4).plain == "▆█"
    assert sparkline([0, 0], 5).plain == "▁▁"
    assert sparkline([1], 0).plain == ""


# The view.
def console(file: TextIO, *, terminal: bool, size: tuple[int, int] = (100, 50)) -> Console:
    """One that writes there."""
    return Console(
        file=file, force_terminal=terminal, width=size[0], height=size[1], _environ={"TERM": "xterm"}, color_system=None
    )


async def shown(told: Iterable[Second], slo: Slo = SLO, *, terminal: bool, duration_s: float = 300.0) -> str:
    """All that a view writes; it has each second when the one before was taken."""
    file, written = io.StringIO(), SimpleQueue[int]()
    async with LiveView(
        "evening", duration_s, slo, console=console(file, terminal=terminal), written=written.put
    ) as view:
        for second in told:
            view.update(*second)
            assert written.get(timeout=20) == second[0]
    assert view.trouble == ""
    return file.getvalue()


async def test_a_terminal_gets_a_picture_each_second_and_its_own_screen_back() -> None:
    text = await shown(seconds(3), terminal=True)

    assert text.startswith("\x1b[?1049h")
    assert text.endswith("\x1b[?1049l\x1b[?25h")
    pictures = text.split("\x1b[H")[2:]
    assert [f"0:0{second} of 5:00" in each for second, each in enumerate(pictures, 1)] == [True] * 3
    assert [len(each.splitlines()) for each in pictures] == [50] * 3, (
        "each from the first line of the screen to the last"
    )


async def test_the_picture_follows_the_size_of_the_terminal() -> None:
    file, written = io.StringIO(), SimpleQueue[int]()
    resized = console(file, terminal=True, size=(40, 10))
    async with LiveView("evening", 300.0, SLO, console=resized, written=written.put) as view:
        first, second = seconds(2)
        view.update(*first)
        written.get(timeout=20)
        small = file.getvalue()
        resized.size = (200, 60)
        view.update(*second)
        written.get(timeout=20)
        wide = file.getvalue().removeprefix(small)

    assert (len(small.splitlines()), len(wide.splitlines())) == (10, 60)
    assert max(len(line.rstrip()) for line in wide.splitlines()) > 150


async def test_without_a_terminal_there_is_a_line_every_five_seconds_and_one_for_each_deed() -> None:
    text = await shown(seconds(12), terminal=False)

    lines = text.splitlines()
    assert [line.partition("]")[0] for line in lines] == ["[0:02", "[0:05 of 5:00", "[0:08", "[0:10 of 5:00"]
    assert lines[0] == "[0:02] announcement to everybody"
    assert lines[1].startswith("[0:05 of 5:00] 8 waiting, 980 online, 10 away, 2 failed | 1,200 answers/s | ")
    assert "p99 ms: delivery " in lines[1]
    assert "20 errors, 10 lost, 10 resumed, 10 unanswered" in lines[1]
    assert "MISSED latency.chat.send.p99: " in lines[1]
    assert "mail.claim" not in lines[1]
    assert "\x1b" not in text


async def test_a_line_says_when_the_tester_is_the_bottleneck() -> None:
    text = await shown(seconds(5, busy=0.95), Slo(""), terminal=False)

    assert text.splitlines()[-1].endswith("THE TESTER IS THE BOTTLENECK: process 1 takes 95% of a core")


async def test_a_second_in_which_nobody_said_anything_is_shown_too() -> None:
    nothing: Second = (0, Totals(), Totals(), [ServerFigures(NODE, [])], [])

    text = await shown([nothing], terminal=True, duration_s=0.0)

    assert "0 online" in text


async def test_a_terminal_that_takes_nothing_holds_nobody_up() -> None:
    """A pipe that nobody reads, as a terminal is after Ctrl-S: the view's thread waits for it, the run does not."""
    reading, writing = os.pipe()
    written: list[int] = []
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w", encoding="utf-8") as file:
        held = console(file, terminal=True, size=(200, 60))
        async with LiveView("evening", 300.0, SLO, console=held, written=written.append) as view:
            for second in seconds(40):
                view.update(*second)
            waiting = view._waiting.qsize()
            read = threading.Thread(target=reader.read)
            read.start()
        taken = len(written)
        file.close()
        read.join()

    assert waiting <= WAITING
    assert 0 < taken < 30, "what the terminal did not take is left out"
    assert view.trouble == ""


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_terminal_that_is_gone_ends_the_view_and_not_the_run(terminal: bool) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(5, "Input/output error")

    view = LiveView("evening", 300.0, SLO, console=console(Gone(), terminal=terminal))
    async with view:
        for second in seconds(12):
            view.update(*second)

    assert "Input/output error" in view.trouble


async def test_figures_that_cannot_be_shown_end_the_view_and_not_the_run() -> None:
    view = LiveView("evening", 300.0, console=console(io.StringIO(), terminal=True))
    async with view:
        view.update(0, Totals(), Totals(), [], [Mark("soon", "strange")])  # type: ignore[arg-type]
        view.update(1, None, Totals())  # type: ignore[arg-type]

    assert "AttributeError" in view.trouble


def test_counts_of_the_whole_run_are_told_though_a_process_was_silent_this_second() -> None:
    whole, meters = Totals(), Meters(0)
    meters.counts.lost = 7
    whole.add(meters.take(0, {State.ONLINE: 5}, lag_ms=0, cpu=0))

    shown_now = Frames("", 60.0, Slo("")).frame(1, Totals(), whole, [], [])

    assert row(drawn(shown_now), "lost")[1] == "7"
    assert row(drawn(shown_now), "players")[1:3] == ["5", "online"]
