"""The view of a run while it goes on: a picture each second on a terminal, a line every five seconds elsewhere.

A thread of its own writes, so that a terminal that takes nothing (Ctrl-S, a slow line) does not hold up the run; what
cannot be written meanwhile is left out. Whatever fails here ends the view, and not the run.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.control import Control
from rich.screen import Screen
from rich.text import Text

from loadtest.figures import DELIVERY, Count, State, Totals
from loadtest.outcome import Mark, ServerFigures
from loadtest.reporting.slo import UNMEASURED, Slo
from loadtest.running.frame import ANSWERS, DELIVERIES, Frame, Frames
from loadtest.running.picture import clock, ms, picture

LINE_EVERY_S = 5
WAITING = 2  # frames for a terminal that is slow; more would be old when it gets to them
LEAVE_S = 2.0  # for the terminal to take the last of it
KINDS_IN_LINE = 3


class LiveView:
    """Shows a run: ``async with LiveView(...) as view``, then ``view.update`` once a second.

    ``written`` is called in the view's thread with each second that the terminal has taken.
    """

    def __init__(
        self,
        title: str,
        duration_s: float,
        slo: Slo | None = None,
        *,
        console: Console | None = None,
        written: Callable[[int], None] = lambda _second: None,
    ) -> None:
        self._console = console or Console()
        self._frames = Frames(title, duration_s, slo or Slo(""))
        self._waiting: SimpleQueue[Frame | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="live-view", daemon=True)
        self._lines = Lines()
        self._written = written
        self.trouble = ""
        """Why there is no view any more, in words."""

    @property
    def pictures(self) -> bool:
        """Whether this is a terminal that can be drawn on."""
        console = self._console
        return console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join, LEAVE_S)

    def update(
        self,
        second: int,
        now: Totals,
        whole: Totals,
        servers: Sequence[ServerFigures] = (),
        marks: Sequence[Mark] = (),
    ) -> None:
        """Show ``second``: what all processes said of it, and the run so far. ``now`` must not change afterwards."""
        if self.trouble:
            return
        try:
            frame = self._frames.frame(second, now, whole, servers, marks)
        except Exception as error:  # noqa: BLE001 - a view that fails must not end an hour's run
            self.trouble = f"{type(error).__name__}: {error}"
            return
        if self._waiting.qsize() < WAITING:
            self._waiting.put(frame)

    def _write(self) -> None:
        try:
            with ExitStack() as shown:
                screen = shown.enter_context(self._console.screen(hide_cursor=True)) if self.pictures else None
                while (frame := self._newest()) is not None:
                    if screen is None:
                        self._write_lines(frame)
                    else:
                        self._draw(frame)
                    self._written(frame.second)
        except Exception as error:  # noqa: BLE001 - as above
            self.trouble = f"{type(error).__name__}: {error}"

    def _newest(self) -> Frame | None:
        frame = self._waiting.get()
        while frame is not None and self.pictures:
            try:
                frame = self._waiting.get_nowait()
            except Empty:
                break
        return frame

    def _draw(self, frame: Frame) -> None:
        options = self._console.options
        lines = picture(frame, options.max_width, self._console.height, ascii_only=options.ascii_only)
        with self._console:  # one write, or the terminal flickers
            self._console.control(Control.home())
            self._console.print(Screen(Text("\n").join(lines)), end="")

    def _write_lines(self, frame: Frame) -> None:
        for line in self._lines.of(frame):
            self._console.print(Text(line), soft_wrap=True, end="\n")


class Lines:
    """A run as lines of a log: what the director did when it did it, how it goes every five seconds."""

    def __init__(self) -> None:
        self._next = LINE_EVERY_S - 1
        self._said = -1

    def of(self, frame: Frame) -> list[str]:
        """Those that are due."""
        new = [mark for mark in frame.marks if mark.at_ms > self._said]
        self._said = max((mark.at_ms for mark in new), default=self._said)
        lines = [f"[{clock(mark.at_ms / 1000)}] {mark.says}" for mark in new]
        if frame.second >= self._next:
            self._next = frame.second + LINE_EVERY_S
            lines.append(f"[{clock(frame.second + 1)} of {clock(frame.duration_s)}] {line(frame)}")
        return lines


def line(frame: Frame) -> str:
    """How it goes."""
    parts = [", ".join(f"{count:,} {state}" for state in State if (count := frame.players.get(state, 0)))]
    parts += [f"{frame.rates[name][-1]:,.0f} {name}" for name in (ANSWERS, DELIVERIES)]
    parts += [_latencies(frame), _losses(frame), *_limits(frame)]
    if frame.bottleneck:
        parts.append(f"THE TESTER IS THE BOTTLENECK: {frame.bottleneck}")
    return " | ".join(part for part in parts if part)


def _latencies(frame: Frame) -> str:
    """p99 of deliveries and of the busiest requests."""
    shown = sorted(frame.kinds, key=lambda kind: (kind.name != DELIVERY, -kind.per_s))[:KINDS_IN_LINE]
    told = [f"{kind.name} {ms(kind.recent[2])}" for kind in shown if kind.recent]
    return f"p99 ms: {', '.join(told)}" if told else ""


def _losses(frame: Frame) -> str:
    lost, back, never = (frame.counts.get(what, 0) for what in (Count.LOST, Count.RESUMED, Count.UNANSWERED))
    errors = sum(frame.errors.values())
    return f"{errors:,} errors, {lost:,} lost, {back:,} resumed, {never:,} unanswered"


def _limits(frame: Frame) -> list[str]:
    missed = [each for each in frame.judged if not each.met and not each.measured.startswith(UNMEASURED)]
    return [f"MISSED {each.what}: {each.measured} ({each.limit})" for each in missed]
