"""``serve --workers N``: a supervisor and its workers as processes of their own."""

import json
import os
import re
import select
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loadtest.ports import free_ports
from tests.support.nodes import START_S, NodeProcess

WORKERS = 2


class Workers(NodeProcess):
    """Two workers behind one port; ``process`` is their supervisor. Log lines are JSON."""

    def __init__(self, folder: Path, mysql_url: str, redis_url: str, *options: str, more: str = "") -> None:
        settings = folder / "workers.toml"
        settings.write_text('[log]\nformat = "json"\n' + more)
        shared = ("--store", mysql_url, "--bus", redis_url, "--config", str(settings))
        super().__init__(folder, "workers", *shared, "--workers", str(WORKERS), *options)
        self.forked = False
        self.http_port = free_ports(1 + WORKERS)
        self.http = f"http://127.0.0.1:{self.http_port}"

    def wait_ready(self) -> None:
        """Until every worker is ready."""
        deadline = time.monotonic() + 2 * START_S
        while self.readyz() != (200, '{"ready":true,"reasons":[],"notes":[]}'):
            assert self.process.poll() is None, f"the supervisor ended: {self.tail()}"
            assert time.monotonic() < deadline, f"the workers are not ready: {self.readyz()} {self.tail()}"
            time.sleep(0.05)

    def worker_pids(self) -> list[int]:
        """The process of each worker that runs, by its number."""
        latest = {line["worker"]: line["pid"] for line in self.events("worker.started")}
        return [latest[number] for number in sorted(latest)]

    def connections(self) -> list[int]:
        """Of each worker."""
        with urllib.request.urlopen(f"{self.http}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        return [
            int(float(n)) for n in re.findall(r"^guildhall_connections\{worker=\"\d\"\} (\S+)$", page, re.MULTILINE)
        ]

    def lines(self) -> list[dict[str, Any]]:
        """Everything that was logged, by whomever; not what the terminal is told, and stacks of those that hang."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines() if line.startswith("{")]

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one kind."""
        return [line for line in self.lines() if line["event"] == event]

    def wait_event(self, event: str, times: int = 1) -> None:
        """Until it was logged so often."""
        deadline = time.monotonic() + START_S
        while len(self.events(event)) < times:
            assert time.monotonic() < deadline, f"no {event}: {self.tail()}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End all of them if they still run."""
        super().stop()
        for pid in self.worker_pids() if self.log.exists() else []:
            assert gone(pid, 20.0), f"worker {pid} has outlived its supervisor: {self.tail()}"


def gone(pid: int, within_s: float) -> bool:
    """Whether a process, maybe not our child, ends within that time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], within_s)[0])
    finally:
        os.close(handle)


@contextmanager
def workers(folder: Path, mysql_url: str, redis_url: str, *options: str, more: str = "") -> Iterator[Workers]:
    """Started workers, ended with the block; ``more``: settings as TOML."""
    made = Workers(folder, mysql_url, redis_url, *options, more=more)
    try:
        made.start()
        yield made
    finally:
        made.stop()
