"""The rows of the table: what is measured, and what it is held against."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from loadtest.bench import runs
from loadtest.bench.runs import DURABLE, IDLE_CLIENTS, MEMBERS, ROOMS, SESSIONS, STEADY, Conditions
from loadtest.bench.targets import Figures, Target, Verdict


class Row(Struct, frozen=True):
    """One load. ``more``, if the standard columns leave something out, is formatted with the figures."""

    name: str
    title: str
    run: Callable[[Conditions], Awaitable[Figures]]
    targets: tuple[Target, ...] = ()
    more: str = ""

    def judge(self, figures: Figures) -> list[Verdict]:
        """All targets, in order."""
        return [target.judge(figures) for target in self.targets]


def at_least(bound: float, label: str, figure: str = "per_second") -> Target:
    """A rate that has to be reached."""
    return Target(figure, bound, label)


def under(bound: float, label: str, figure: str = "p99_ms") -> Target:
    """A time or size that has to stay below."""
    return Target(figure, bound, label, below=True)


CHAT = f"{ROOMS} rooms of {MEMBERS}"
RETURNING = (
    "returning players: {returning_per_second:,.0f} a second, p99 {returning_p99_ms:.1f} ms,"
    " server {returning_server_us:.0f} µs, driver {returning_driver_share:.0%}"
)
SIGN_IN = (
    at_least(2_500, "new players a second"),
    at_least(2_500, "returning players a second", "returning_per_second"),
)
PACED = (
    "offered {offered_per_second:,.0f} a second; the driver was late by p99 {late_p99_ms:.1f} ms, within the latencies"
)
HALF = (
    "half of the target: {half_per_second:,.0f} of {half_offered_per_second:,.0f} deliveries a second,"
    " p50 {half_p50_ms:.1f} ms, p99 {half_p99_ms:.1f} ms, server {half_server_us:.1f} µs,"
    " driver {half_driver_share:.0%}, late by p99 {half_late_p99_ms:.1f} ms"
)
BOARD = (
    "{owners:,} owners; top 100: {top_100_per_second:,.0f} a second, p99 {top_100_p99_ms:.1f} ms;"
    " around: {around_per_second:,.0f}, p99 {around_p99_ms:.1f} ms; node {kib_per_owner:.2f} KiB an owner"
)

ROWS = (
    Row(
        "requests",
        "request and reply through a player's actor, 50 clients",
        runs.player_requests,
        (at_least(50_000, "requests a second"),),
    ),
    Row(
        "durable_request",
        "durable request, MariaDB, 200 clients",
        runs.durable_requests,
        (at_least(10_000, "requests a second"), under(50, "p99 ms")),
    ),
    Row(
        "inside",
        "actor messages inside a node, 1,000 at a time",
        runs.inside,
        (at_least(400_000, "messages a second"),),
    ),
    Row(
        "world",
        f"world: chat, {CHAT}, saturated",
        runs.world,
        (at_least(1_500_000, "deliveries a second"), under(100, "p99 ms")),
    ),
    Row(
        "steady",
        f"world: chat, {CHAT}, {STEADY:,} deliveries a second",
        runs.steady,
        (under(10, "server µs a delivery", "server_us"), under(5, "p99 ms")),
        PACED + "; floor: {floor_server_us:.1f} µs, p99 {floor_p99_ms:.1f} ms",
    ),
    Row(
        "room_sqlite",
        f"durable chat, SQLite, {CHAT}, saturated",
        runs.room_sqlite,
        (at_least(DURABLE, "deliveries a second"),),
    ),
    Row(
        "room_mysql",
        f"durable chat, MariaDB, {CHAT}, saturated",
        runs.room_mysql,
        (at_least(DURABLE, "deliveries a second"), under(10, "p50 ms at half of that", "half_p50_ms")),
        HALF + "\n    " + HALF.replace("half_", "busy_").replace("half of the target", "half of what was reached"),
    ),
    Row("sign_in_sqlite", "sign-in to welcome, new players, SQLite", runs.sign_in_sqlite, SIGN_IN, RETURNING),
    Row("sign_in_mysql", "sign-in to welcome, new players, MariaDB", runs.sign_in_mysql, SIGN_IN, RETURNING),
    Row(
        "idle",
        f"idle session with its actor, {IDLE_CLIENTS:,} of them",
        runs.idle_sessions,
        (under(12, "KiB each", "kib_per_connection"),),
        "{kib_per_connection:.2f} KiB a connection; server {server_share:.1%} of a core meanwhile",
    ),
    Row(
        "announcement",
        f"announcement to {SESSIONS:,} sessions of a node",
        runs.announcement,
        (under(250, "last one after ms", "last_ms"), under(50, "worst ping of another client, ms", "ping_worst_ms")),
        "last after {last_ms:.0f} ms, {spread_ms:.0f} ms after the first; pings p99 {ping_p99_ms:.1f} ms,"
        " worst {ping_worst_ms:.1f} ms (before: p99 {ping_p99_before_ms:.1f} ms)",
    ),
    Row("board_sqlite", "leaderboard: submissions that count, SQLite, 500 clients", runs.board_sqlite, more=BOARD),
    Row(
        "board_mysql",
        "leaderboard: submissions that count, MariaDB and Redis, 500 clients",
        runs.board_mysql,
        more=BOARD + ", Redis {redis_kib_per_owner:.2f} KiB",
    ),
)


def chosen(only: str) -> list[Row]:
    """The rows whose name contains ``only``.

    Raises:
        SystemExit: there is none.
    """
    rows = [row for row in ROWS if only in row.name]
    if not rows:
        raise SystemExit(f"no row is called like {only!r}; there are {', '.join(row.name for row in ROWS)}")
    return rows
