"""``make bench``: how fast one node is on one core, next to a bare floor measured in the same run.

Prints a table and writes JSON into ``bench-results/``. One core for the server, another for the driver.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from msgspec.structs import asdict

from loadtest.bench.announcement import announce
from loadtest.bench.boards import AROUND, SUBMIT, TOP, define, prefill, redis_memory
from loadtest.bench.loads import Ask, Measured, Place, chat, idle, requests

ROOT = Path(__file__).parent.parent.parent
HOST = "127.0.0.1"
ROOMS, MEMBERS = 20, 50
IDLE_CLIENTS = 5_000
SESSIONS = 10_000
SERVER_CORE, DRIVER_CORE = 0, 1


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def pinned(*command: str, ready: int, path: str = "") -> Iterator[int]:
    """A process on the server's core, once port ``ready`` answers; its id."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GUILDHALL_")}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=ROOT, stdout=log, stderr=log, env=environment
        )
        try:
            os.sched_setaffinity(process.pid, {SERVER_CORE})
            _wait(process, ready, path)
            yield process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(process: "subprocess.Popen[bytes]", port: int, path: str) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode} before it was ready")
        try:
            if path:
                urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=1).close()
            else:
                socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing answers on port {port}")


@contextmanager
def product(store: str, *options: str) -> Iterator[tuple[int, int, int]]:
    """A node of ours; (gateway port, process id, HTTP port)."""
    gateway, http = free_port(), free_port()
    command = [sys.executable, "-m", "server", "serve", "--dev", "--limits", "off", "--store", store]
    command += ["--gateway-port", str(gateway), "--http-port", str(http), "--log-level", "warning", *options]
    with pinned(*command, ready=http, path="/readyz") as pid:
        yield gateway, pid, http


@contextmanager
def bare() -> Iterator[int]:
    """The floor."""
    port = free_port()
    with pinned(sys.executable, "-m", "loadtest.bench.floor", str(port), ready=port):
        yield port


def memory_kib(pid: int) -> int:
    """Resident memory of a process (proc(5), VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise SystemExit("no VmRSS in /proc")


class Bench:
    """The loads by name, each measured next to the floor that it is compared with."""

    def __init__(self, seconds: float, folder: str, owners: int) -> None:
        self._seconds = seconds
        self._owners = owners
        self._folder = folder
        self._floor_of_chat: Measured | None = None

    async def requests(self) -> dict[str, Any]:
        ask = Ask(tag="player.get", mark=b"player.", clients=50)
        with bare() as port:
            floor = await requests(Place(HOST, port, floor=True), ask, self._seconds)
        with product(self._file("requests")) as (port, _, _):
            return row(await requests(Place(HOST, port, floor=False), ask, self._seconds), floor)

    async def world(self) -> dict[str, Any]:
        return await self._chat("world", self._file("world"))

    async def room_sqlite(self) -> dict[str, Any]:
        return await self._chat("room", self._file("rooms"))

    async def room_mysql(self) -> dict[str, Any]:
        mysql, redis = servers()
        return await self._chat("room", f"{mysql}/guildhall_bench", "--bus", redis)

    async def board_sqlite(self) -> dict[str, Any]:
        return await self._board(self._file("board"))

    async def board_mysql(self) -> dict[str, Any]:
        mysql, redis = servers()
        before = redis_memory(redis)
        figures = await self._board(f"{mysql}/guildhall_board", "--bus", redis)
        figures["redis_kib_per_owner"] = round((redis_memory(redis) - before) / self._owners, 3)
        return figures

    async def announcement(self) -> dict[str, Any]:
        with product(self._file("announcement")) as (port, _, http):
            told = await announce(Place(HOST, port, floor=False), http, SESSIONS)
            return {name: round(figure, 1) for name, figure in asdict(told).items()}

    async def _board(self, store: str, *options: str) -> dict[str, Any]:
        prefill(store, self._owners)
        with product(store, *options) as (port, pid, http):
            place, empty = Place(HOST, port, floor=False), memory_kib(pid)
            define(http)
            filled = memory_kib(pid)
            submitted = await requests(place, SUBMIT, self._seconds)
            top = await requests(place, TOP, self._seconds)
            around = await requests(place, AROUND, self._seconds)
        return {
            **row(submitted, None),
            "owners": self._owners,
            "top_100_p99_ms": round(top.p99_ms, 2),
            "top_100_per_second": round(top.per_second),
            "around_p99_ms": round(around.p99_ms, 2),
            "around_per_second": round(around.per_second),
            "kib_per_owner": round((filled - empty) / self._owners, 3),
        }

    async def idle(self) -> dict[str, Any]:
        with product(self._file("idle")) as (port, pid, _):
            before = memory_kib(pid)
            players = await idle(Place(HOST, port, floor=False), IDLE_CLIENTS)
            await asyncio.sleep(1.0)
            each = (memory_kib(pid) - before) / len(players)
            for player in players:
                player.transport.abort()
            return {"kib_per_connection": round(each, 2), "connections": len(players)}

    async def _chat(self, kind: str, store: str, *options: str) -> dict[str, Any]:
        rooms: dict[str, Any] = {"rooms": ROOMS, "members": MEMBERS, "seconds": self._seconds}
        if self._floor_of_chat is None:
            with bare() as port:
                self._floor_of_chat = await chat(Place(HOST, port, floor=True), kind="world", **rooms)
        with product(store, *options) as (port, _, _):
            return row(await chat(Place(HOST, port, floor=False), kind=kind, **rooms), self._floor_of_chat)

    def _file(self, name: str) -> str:
        return f"sqlite:///{self._folder}/{name}.db"


def servers() -> tuple[str, str]:
    """URLs of the database server and the Redis that ``make bench`` starts."""
    mysql, redis = os.environ.get("TEST_MYSQL_URL"), os.environ.get("TEST_REDIS_URL")
    if not (mysql and redis):
        raise SystemExit("TEST_MYSQL_URL and TEST_REDIS_URL are not set; `make bench` starts both")
    return mysql.rstrip("/"), redis


async def measure(seconds: float, only: str, owners: int) -> dict[str, Any]:
    """All loads whose name contains ``only``, in order."""
    with tempfile.TemporaryDirectory(prefix="guildhall-bench-") as folder:
        bench = Bench(seconds, folder, owners)
        return {name: await getattr(bench, name)() for name in NAMES if only in name}


def row(ours: Measured, floor: Measured | None) -> dict[str, float]:
    """Figures of one load, rounded, with the ratio to the floor."""
    figures = {
        "per_second": round(ours.per_second),
        "p50_ms": round(ours.p50_ms, 2),
        "p99_ms": round(ours.p99_ms, 2),
    }
    if ours.sends_per_second:
        figures["sends_per_second"] = round(ours.sends_per_second)
    if floor is not None:
        figures["floor_per_second"] = round(floor.per_second)
        figures["of_floor"] = round(ours.per_second / floor.per_second, 3) if floor.per_second else 0.0
    return figures


NAMES = {
    "requests": "request and reply through an actor, no commit, 50 clients",
    "world": f"world: chat, {ROOMS} rooms of {MEMBERS}, deliveries",
    "room_sqlite": f"room: chat, durable, SQLite, {ROOMS} rooms of {MEMBERS}, deliveries",
    "room_mysql": f"room: chat, durable, MariaDB and Redis, {ROOMS} rooms of {MEMBERS}, deliveries",
    "idle": f"idle signed-in connection with its actor, {IDLE_CLIENTS} of them",
    "board_sqlite": "leaderboard: submissions that count, SQLite, 500 clients",
    "board_mysql": "leaderboard: submissions that count, MariaDB and Redis, 500 clients",
    "announcement": f"announcement to {SESSIONS} sessions of a node",
}


def show(results: dict[str, Any]) -> None:
    """The table."""
    print(f"{'':<78}{'per second':>12}{'of floor':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for name, figures in results.items():
        if "last_ms" in figures:
            print(
                f"{NAMES[name]:<78}last after {figures['last_ms']} ms; pings p99 {figures['ping_p99_ms']} ms,"
                f" worst {figures['ping_worst_ms']} ms (before: p99 {figures['ping_p99_before_ms']} ms)"
            )
            continue
        if "kib_per_connection" in figures:
            print(f"{NAMES[name]:<78}{figures['kib_per_connection']:>8} KiB")
            continue
        ratio = f"{figures['of_floor']:.2f}" if "of_floor" in figures else "-"
        print(
            f"{NAMES[name]:<78}{figures['per_second']:>12,}{ratio:>10}"
            f"{figures['p50_ms']:>9.1f}{figures['p99_ms']:>9.1f}"
        )
        if "owners" in figures:
            redis = f", Redis {figures['redis_kib_per_owner']} KiB" if "redis_kib_per_owner" in figures else ""
            print(
                f"    {figures['owners']:,} owners; top 100: {figures['top_100_per_second']:,} a second,"
                f" p99 {figures['top_100_p99_ms']} ms; around: {figures['around_per_second']:,},"
                f" p99 {figures['around_p99_ms']} ms; node {figures['kib_per_owner']} KiB an owner{redis}"
            )


def about() -> dict[str, str]:
    """On what this was measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {"python": platform.python_version(), "cpu": cpu, "cores": str(os.cpu_count()), "commit": commit}


def main() -> None:
    """Parse the command line, measure, show, write."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each load is measured")
    parser.add_argument("--only", default="", help="part of the name of the loads to run")
    parser.add_argument("--owners", type=int, default=1_000_000, help="owners of the leaderboards")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results" / "bench.json")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {DRIVER_CORE})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results = uvloop.run(measure(options.seconds, options.only, options.owners))
    show(results)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"about": about(), "results": results}, indent=2) + "\n")
    print(f"\n{about()}\nwritten to {options.out}")


if __name__ == "__main__":
    main()
