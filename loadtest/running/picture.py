"""Draws a frame as lines of text, for a terminal of any size. What matters least is left out where there is no room."""

from collections.abc import Iterable, Sequence

from msgspec import Struct, structs
from rich.cells import cell_len
from rich.text import Text

from loadtest.figures import BUSY, LATE_MS, Count, State
from loadtest.outcome import Judged
from loadtest.reporting.slo import UNMEASURED
from loadtest.running.frame import RECENT_S, Four, Frame, Kind, Node

DIM, GOOD, BAD, HEAD = "dim", "green", "bold red", "bold"
BARS = "▁▂▃▄▅▆▇█"
ASCII = str.maketrans({**dict(zip(BARS, "__..--=#", strict=True)), "━": "=", "─": "-", "…": "~", "·": "-"})
WIDE = 150  # columns from which on there are two halves
GAP = 4
TROUBLED = (State.AWAY, State.REFUSED, State.FAILED)

Cell = Text | str


class Part(Struct, frozen=True):
    """Lines that stand together."""

    rank: int
    """What matters most has the lowest."""
    lines: list[Text]
    least: int = 1
    """So many lines are enough to say something."""
    more: bool = False
    """Whether it is said how many lines are left out."""
    joined: bool = False
    """Whether it goes on with the part before it."""


def picture(frame: Frame, width: int, height: int, *, ascii_only: bool = False) -> list[Text]:
    """At most ``height`` lines of at most ``width`` columns."""
    head = _head(frame, width)
    if width >= WIDE:
        half = (width - GAP) // 2
        left = fitted([_players(frame, half), _latency(frame, half), _marks(frame)], height - len(head))
        right = fitted(
            [_trouble(frame), *_limits(frame, half), _nodes(frame, half), _tester(frame)], height - len(head)
        )
        body = _beside(left, right, half)
    else:
        parts = [_players(frame, width), _latency(frame, width), _trouble(frame), *_limits(frame, width)]
        body = fitted([*parts, _nodes(frame, width), _tester(frame), _marks(frame)], height - len(head))
    lines = [*head, *body][:height]
    for line in lines:
        line.no_wrap = True
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
        if ascii_only:
            line.plain = "".join(char if char.isascii() else "?" for char in line.plain.translate(ASCII))
    return lines


def fitted(parts: Sequence[Part], height: int) -> list[Text]:
    """The lines of as many parts as fit, with an empty one before each if they still do.

    Where there is no room for all, what matters least is first made short, then left out.
    """
    wanted = [part for part in parts if part.lines]
    while _height(kept := _made_short(wanted, height)) > max(0, height):
        wanted.remove(max(wanted, key=lambda part: part.rank))
    spaced = sum(len(part.lines) + (not part.joined) for part in kept) <= height
    return [line for part in kept for line in ([Text()] * (spaced and not part.joined) + part.lines)]


def _made_short(parts: Sequence[Part], height: int) -> list[Part]:
    kept = list(parts)
    for part in sorted(parts, key=lambda part: -part.rank):
        over = _height(kept) - height
        if over > 0:
            kept[kept.index(part)] = _shortened(part, max(part.least, len(part.lines) - over))
    return [part for part in kept if part.lines]


def _height(parts: Iterable[Part]) -> int:
    return sum(len(part.lines) for part in parts)


def _shortened(part: Part, room: int) -> Part:
    if room >= len(part.lines):
        return part
    more = [styled(f"   … {len(part.lines) - room + 1} more", DIM)] if part.more and room else []
    return structs.replace(part, lines=[*part.lines[: room - len(more)], *more])


# Parts, from top to bottom.
def _head(frame: Frame, width: int) -> list[Text]:
    gone, whole = frame.second + 1, max(frame.duration_s, 1.0)
    left = f"{clock(max(0.0, whole - gone))} left" if gone < whole else "ending"
    times = f"{clock(gone)} of {clock(whole)} · {left}"
    title = styled(f" {frame.title}", HEAD)
    title.truncate(max(8, width - len(times) - 3), overflow="ellipsis", pad=True)
    done = round(min(1.0, gone / whole) * (width - 2))
    lines = [
        title + styled(f" {times}"),
        styled(" ") + styled("━" * done, GOOD) + styled("─" * (width - 2 - done), DIM),
    ]
    if frame.bottleneck:
        lines.append(styled(f" THE TESTER IS THE BOTTLENECK: {frame.bottleneck}", "bold white on red"))
    return lines


def _players(frame: Frame, width: int) -> Part:
    states = Text()
    for state in (State.ONLINE, *(each for each in State if each is not State.ONLINE)):
        count = frame.players.get(state, 0)
        if count or state is State.ONLINE:
            style = BAD if state in TROUBLED and state is not State.AWAY else ""
            states += styled(f"{count:,} ", style) + styled(f"{state}  ", DIM)
    lines = [_titled("players", states)]
    for name, rates in frame.rates.items():
        line = _titled(name, styled(f"{rates[-1] if rates else 0:>9,.0f}  "))
        lines.append(line + sparkline(rates, max(0, min(60, width - cell_len(line.plain) - 1))))
    return Part(1, lines)


def _latency(frame: Frame, width: int) -> Part:
    names = ("p50", "p90", "p99", "p99.9")
    chosen = (0, 1, 2, 3) if width >= 56 else (0, 2)
    both = width >= 84
    spans = f"of the last {RECENT_S} s" + (", then of the whole run" if both else "")
    heads: list[Cell] = ["", "per s", *(names[at] for at in chosen)]
    heads += ["│", *(names[at] for at in chosen)] if both else []

    def row(kind: Kind) -> list[Cell]:
        whole = ["│", *_quantiles(kind.whole, chosen)] if both else []
        return [kind.name, rate(kind.per_s), *_quantiles(kind.recent, chosen), *whole]

    table = columns(
        [[styled(str(head), DIM) for head in heads], *map(row, frame.kinds)],
        gap=3 if width >= 72 and not 84 <= width < 92 else 2,
    )
    title = styled(" latency ", HEAD) + styled(f"in ms, {spans}", DIM)
    return Part(3, [title, *table] if frame.kinds else [], least=4, more=True)


def _trouble(frame: Frame) -> Part:
    count = frame.counts.get
    lines = [
        _titled("errors", _listed(frame.errors)),
        _titled("lost", styled(f"{count(Count.LOST, 0):,} ") + styled("by close code  ", DIM) + _listed(frame.closes)),
    ]
    back = styled(f"{count(Count.RESUMED, 0):,}")
    if frame.resume:
        back += styled("  after ms: ", DIM) + styled(f"p50 {ms(frame.resume[0])}  p99 {ms(frame.resume[2])}")
    if count(Count.UNREACHED):
        back += styled(f"  {count(Count.UNREACHED):,} dials led to nothing", BAD)
    lines.append(_titled("resumed", back))
    again, unanswered = count(Count.SENT_AGAIN, 0), count(Count.UNANSWERED, 0)
    sent = styled(f"{again:,} ") + styled("sent again  ", DIM)
    lines.append(_titled("requests", sent + styled(f"{unanswered:,} unanswered", BAD if unanswered else DIM)))
    return Part(4, lines, least=2)


def _limits(frame: Frame, width: int) -> list[Part]:
    """Those that are missed stand apart: the others are the first to be left out."""
    if not frame.judged:
        return []
    missed = [each for each in frame.judged if not each.met and not _waits(each)]
    others = sorted((each for each in frame.judged if each.met or _waits(each)), key=_waits)
    met = len([each for each in others if each.met])
    words = styled(f"{met} met so far", "" if missed else GOOD)
    words += styled(f", {len(missed)} missed", BAD if missed else DIM)
    lines = columns([_limit(each) if width >= 60 else _limit(each)[:2] for each in (*missed, *others)], left=range(4))
    first = [_titled("limits", words), *lines[: len(missed)]]
    return [Part(2, first, least=1 + bool(missed)), Part(8, lines[len(missed) :], least=0, more=True, joined=True)]


def _limit(judged: Judged) -> list[Cell]:
    mark = styled("met", GOOD) if judged.met else styled("-", DIM) if _waits(judged) else styled("MISSED", BAD)
    return [mark, judged.what, styled(judged.limit, DIM), judged.measured]


def _waits(judged: Judged) -> bool:
    return judged.measured.startswith(UNMEASURED)


def _nodes(frame: Frame, width: int) -> Part:
    if not frame.nodes:
        return Part(6, [])
    wide = width >= 72
    heads = ["", "cpu", "memory", "commit", "lag", "sessions"]
    table = columns(
        [[styled(head, DIM) for head in heads], *(_node(node, width // 3) for node in frame.nodes)],
        gap=3 if wide else 2,
    )
    if wide:
        room = min(30, width - max(cell_len(line.plain) for line in table) - 3)
        for line, node in zip(table[1:], frame.nodes, strict=True):
            line.append("   ").append_text(sparkline(node.cpu, room, most=max(1.0, *node.cpu)))
    title = styled(" nodes ", HEAD) + styled("times in ms" + (", cpu of the last seconds" if wide else ""), DIM)
    return Part(6, [title, *table], least=4, more=True)


def _node(node: Node, room: int) -> list[Cell]:
    last = node.last
    name = styled(node.url)
    name.truncate(max(12, room), overflow="ellipsis")
    if last.memory_bytes is None and last.sessions is None:
        return [name, styled("away", BAD), "", "", "", ""]
    return [
        name,
        "-" if last.cpu is None else styled(f"{last.cpu:.0%}", BAD if last.cpu >= BUSY else ""),
        "-" if last.memory_bytes is None else f"{last.memory_bytes / (1 << 20):,.0f} MiB",
        "-" if last.commit_ms is None else ms(last.commit_ms),
        "-" if last.loop_lag_ms is None else styled(ms(last.loop_lag_ms), BAD if last.loop_lag_ms >= LATE_MS else ""),
        "-" if last.sessions is None else f"{last.sessions:,.0f}",
    ]


def _tester(frame: Frame) -> Part:
    lag = styled(f"{ms(frame.lag_ms)} ms late", BAD if frame.lag_ms >= LATE_MS else "")
    cpu = Text()
    for share in frame.cpu:
        cpu += styled(f" {share:.0%}", BAD if share >= BUSY else "")
    return Part(5, [_titled("tester", lag + styled("  cpu of its processes", DIM) + cpu)])


def _marks(frame: Frame) -> Part:
    newest = sorted(frame.marks, key=lambda mark: mark.at_ms, reverse=True)[:4]
    return Part(7, [styled(f" {clock(mark.at_ms / 1000):>8}  ", DIM) + styled(mark.says) for mark in newest])


# Pieces.
def styled(text: str, style: str = "") -> Text:
    """``Text`` with a style would hand it on to what is added."""
    return Text.assemble((text, style))


def _titled(title: str, text: Text) -> Text:
    return styled(f" {title:<13}", HEAD) + text


def _listed(counted: dict[str, int]) -> Text:
    if not counted:
        return styled("none", DIM)
    text = Text()
    for name, times in counted.items():
        text += styled(f"{name} ") + styled(f"{times:,}  ", "yellow")
    return text


def _quantiles(four: Four, chosen: Iterable[int]) -> list[Cell]:
    return [ms(four[at]) if four else styled("-", DIM) for at in chosen]


def columns(rows: Sequence[Sequence[Cell]], *, left: Sequence[int] = (0,), gap: int = 2) -> list[Text]:
    """Each column as wide as its widest cell; those of ``left`` begin, the others end below each other."""
    cells = [[styled(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    widths = [max(cell_len(row[at].plain) for row in cells) for at in range(len(cells[0]))] if cells else []
    lines = []
    for row in cells:
        line = styled("   ")
        for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell.plain))
            line += (cell + styled(space) if at in left else styled(space) + cell) + styled(" " * gap)
        lines.append(line)
    return lines


def _beside(left: Sequence[Text], right: Sequence[Text], half: int) -> list[Text]:
    lines = []
    for at in range(max(len(left), len(right))):
        line = left[at].copy() if at < len(left) else Text()
        line.truncate(half, overflow="ellipsis", pad=True)
        lines.append(line + styled(" " * GAP) + right[at] if at < len(right) else line)
    return lines


def sparkline(values: Sequence[float], width: int, *, most: float = 0.0) -> Text:
    """The newest values as bars, the highest of them (or ``most``) nearly as high as a line."""
    shown = values[-width:] if width > 0 else []
    top = most or max(shown, default=0.0) * 1.15  # lines of full bars would run into each other
    return styled("".join(BARS[min(7, int(value / top * 7.999))] if top else BARS[0] for value in shown), "cyan")


def clock(seconds: float) -> str:
    """``4:05``, ``1:00:00``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ms(value: float) -> str:
    """With three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def rate(value: float) -> str:
    """Per second."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
