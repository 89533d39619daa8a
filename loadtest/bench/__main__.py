"""``make bench``: how fast one node is on one core, next to a bare floor measured in the same run, and to its targets.

Prints a table, and writes JSON and a picture (SVG) into ``bench-results/``. One core for the server, another for the
driver; MariaDB and Redis, where they are needed, take what is left of both.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop
from msgspec.structs import asdict

from loadtest.bench.nodes import DRIVER_CORE, ROOT, asked, pin
from loadtest.bench.plot import Bar, svg
from loadtest.bench.rows import Row, chosen
from loadtest.bench.runs import Conditions
from loadtest.bench.table import lines
from loadtest.bench.targets import Figures


def measure(rows: list[Row], seconds: float, owners: int) -> dict[str, Figures]:
    """All ``rows``, in order, each in a loop of its own."""
    results: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="guildhall-bench-") as folder:
        on = Conditions(seconds, owners, folder)
        for row in rows:
            print(f"measuring {row.name} ...", flush=True)
            results[row.name] = uvloop.run(_run(row, on))
    return results


async def _run(row: Row, on: Conditions) -> Figures:
    return await row.run(on)


def about(seconds: float) -> dict[str, str]:
    """On what this was measured."""
    return {
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "commit": _git("rev-parse", "--short", "HEAD") + (" and changes" if _git("status", "--porcelain") else ""),
        "seconds": f"{seconds:g}",
        "load_before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "mariadb": _mariadb(),
    }


def _git(*command: str) -> str:
    told = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return told.stdout.strip()


def _cpu() -> str:
    named = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line)
    return next((line.split(":")[1].strip() for line in named), platform.processor())


def _mariadb() -> str:
    """How durable a commit of the database is: 1 reaches the disk, 2 outlives the process and not the machine."""
    url = os.environ.get("TEST_MYSQL_URL")
    if not url:
        return "none"
    return f"innodb_flush_log_at_trx_commit={asked(url, 'SELECT @@innodb_flush_log_at_trx_commit')}"


def report(rows: list[Row], results: Mapping[str, Figures], where: Mapping[str, str]) -> dict[str, Any]:
    """What is written as JSON."""
    verdicts = {
        row.name: [asdict(verdict.target) | {"found": verdict.found, "met": verdict.met} for verdict in judged]
        for row in rows
        if (judged := row.judge(results[row.name]))
    }
    rounded = {name: {key: round(value, 4) for key, value in figures.items()} for name, figures in results.items()}
    return {"about": where, "results": rounded, "targets": verdicts}


def main() -> None:
    """Parse the command line, measure, show, write."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each load is measured")
    parser.add_argument("--only", default="", help="part of the name of the loads to run")
    parser.add_argument("--owners", type=int, default=1_000_000, help="owners of the leaderboards")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench-results" / "bench.json", help="the JSON; the picture is put beside it"
    )
    options = parser.parse_args()
    rows = chosen(options.only)
    pin(0, DRIVER_CORE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    where = about(options.seconds)
    results = measure(rows, options.seconds, options.owners)
    print("\n".join(["", *lines(rows, results)]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report(rows, results, where), indent=2) + "\n")
    picture = options.out.with_suffix(".svg")
    bars = [Bar(row.title, verdict) for row in rows for verdict in row.judge(results[row.name])]
    picture.write_bytes(svg(bars, ", ".join(f"{name} {value}" for name, value in where.items())))
    print(f"\n{where}\nwritten to {options.out} and {picture}")


if __name__ == "__main__":
    main()
