"""``make bench``: how fast one node is on one core, next to a bare floor measured in the same run.

Prints a table and writes JSON into ``bench-results/``. One core for the server, another for the driver.
"""

import argparse
import asyncio
import json
import os
import platform
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

from loadtest.bench.loads import Measured, chat, idle, requests

ROOT = Path(__file__).parent.parent.parent
HOST = "127.0.0.1"
ROOMS, MEMBERS = 20, 50
IDLE_CLIENTS = 5_000
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
def product(store: str, *options: str) -> Iterator[tuple[int, int]]:
    """A node of ours; (gateway port, process id)."""
    gateway, http = free_port(), free_port()
    command = [sys.executable, "-m", "server", "serve", "--dev", "--limits", "off", "--store", store]
    command += ["--gateway-port", str(gateway), "--http-port", str(http), "--log-level", "warning", *options]
    with pinned(*command, ready=http, path="/readyz") as pid:
        yield gateway, pid


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


async def measure(seconds: float, mysql: str | None, redis: str | None, only: str) -> dict[str, Any]:
    """All that ``only`` (a part of a name) lets through, in order."""
    results: dict[str, Any] = {}

    def wanted(name: str) -> bool:
        return only in name

    with tempfile.TemporaryDirectory(prefix="guildhall-bench-") as folder:
        if wanted("requests"):
            ask = {"clients": 50, "seconds": seconds, "tag": "player.get", "mark": b"player.", "fields": {}}
            with bare() as port:
                floor = await requests(HOST, port, floor=True, **ask)  # type: ignore[arg-type]
            with product(f"sqlite:///{folder}/requests.db") as (port, _):
                ours = await requests(HOST, port, floor=False, **ask)  # type: ignore[arg-type]
            results["requests"] = row(ours, floor)
        rooms: dict[str, Any] = {"rooms": ROOMS, "members": MEMBERS, "seconds": seconds}
        floor_chat: Measured | None = None
        if any(wanted(name) for name in ("world", "room-sqlite", "room-mysql")):
            with bare() as port:
                floor_chat = await chat(HOST, port, kind="world", floor=True, **rooms)
        if wanted("world"):
            with product(f"sqlite:///{folder}/world.db") as (port, _):
                results["world"] = row(await chat(HOST, port, kind="world", floor=False, **rooms), floor_chat)
        if wanted("room-sqlite"):
            with product(f"sqlite:///{folder}/rooms.db") as (port, _):
                results["room-sqlite"] = row(await chat(HOST, port, kind="room", floor=False, **rooms), floor_chat)
        if wanted("room-mysql") and mysql:
            with product(mysql, *(["--bus", redis] if redis else [])) as (port, _):
                results["room-mysql"] = row(await chat(HOST, port, kind="room", floor=False, **rooms), floor_chat)
        if wanted("idle"):
            with product(f"sqlite:///{folder}/idle.db") as (port, pid):
                before = memory_kib(pid)
                players = await idle(HOST, port, clients=IDLE_CLIENTS)
                await asyncio.sleep(1.0)
                each = (memory_kib(pid) - before) / len(players)
                results["idle"] = {"kib_per_connection": round(each, 2), "connections": len(players)}
                for player in players:
                    player.transport.abort()
    return results


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
    "room-sqlite": f"room: chat, durable, SQLite, {ROOMS} rooms of {MEMBERS}, deliveries",
    "room-mysql": f"room: chat, durable, MariaDB and Redis, {ROOMS} rooms of {MEMBERS}, deliveries",
    "idle": f"idle signed-in connection with its actor, {IDLE_CLIENTS} of them",
}


def show(results: dict[str, Any]) -> None:
    """The table."""
    print(f"{'':<78}{'per second':>12}{'of floor':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for name, figures in results.items():
        if "kib_per_connection" in figures:
            print(f"{NAMES[name]:<78}{figures['kib_per_connection']:>8} KiB")
            continue
        print(
            f"{NAMES[name]:<78}{figures['per_second']:>12,}{figures.get('of_floor', 0):>10.2f}"
            f"{figures['p50_ms']:>9.1f}{figures['p99_ms']:>9.1f}"
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
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results" / "bench.json")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {DRIVER_CORE})
    mysql, redis = os.environ.get("TEST_MYSQL_URL"), os.environ.get("TEST_REDIS_URL")
    results = uvloop.run(measure(options.seconds, mysql, redis, options.only))
    show(results)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"about": about(), "results": results}, indent=2) + "\n")
    print(f"\n{about()}\nwritten to {options.out}")


if __name__ == "__main__":
    main()
