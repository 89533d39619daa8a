"""The table that a person reads."""

from collections.abc import Iterator, Mapping

from loadtest.bench.rows import ROWS, Row
from loadtest.bench.targets import Figures

WIDTH = max(len(row.title) for row in ROWS) + 2
COLUMNS = (
    ("a second", "per_second", 11, ",.0f"),
    ("of floor", "of_floor", 10, ".2f"),
    ("p50 ms", "p50_ms", 9, ".2f"),
    ("p99 ms", "p99_ms", 9, ".2f"),
    ("server µs", "server_us", 11, ".2f"),
    ("server", "server_share", 8, ".0%"),
    ("driver", "driver_share", 8, ".0%"),
)
BUSY = 0.9  # of its core; a driver that works more is itself what was measured


def lines(rows: list[Row], results: Mapping[str, Figures]) -> Iterator[str]:
    """The head, then for each row its figures, what the columns leave out, and its targets."""
    yield "".ljust(WIDTH) + "".join(name.rjust(width) for name, _, width, _ in COLUMNS)
    for row in rows:
        figures = results[row.name]
        yield row.title.ljust(WIDTH) + "".join(_columns(figures))
        if row.more:
            yield "    " + row.more.format_map(figures)
        if busy := [name for name, share in figures.items() if name.endswith("driver_share") and share > BUSY]:
            yield f"    the driver was the bottleneck ({', '.join(busy)} above {BUSY:.0%}): the server can do more"
        yield from (f"    target: {verdict}" for verdict in row.judge(figures))


def _columns(figures: Figures) -> Iterator[str]:
    for _, figure, width, form in COLUMNS:
        yield (format(figures[figure], form) if figure in figures else "-").rjust(width)
