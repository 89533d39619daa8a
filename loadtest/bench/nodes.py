"""The processes that are measured: a node of ours and the bare floor, each on the server's core."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql
from msgspec import Struct

from loadtest.bench.loads import Place
from loadtest.ports import HOST, free_port

ROOT = Path(__file__).parent.parent.parent
SERVER_CORE, DRIVER_CORE = 0, 1


class Running(Struct, frozen=True):
    """A node that serves."""

    place: Place
    http_port: int


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there is more than one."""
    if len(os.sched_getaffinity(0)) > 1 or (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


@contextmanager
def pinned(*command: str, ready: int, path: str = "", settings: Mapping[str, str] | None = None) -> Iterator[int]:
    """A process on the server's core, once port ``ready`` answers; its id. ``settings``: more of its environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GUILDHALL_")} | dict(settings or {})
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=ROOT, stdout=log, stderr=log, env=environment
        )
        try:
            pin(process.pid, SERVER_CORE)
            _wait(process, ready, path)
            yield process.pid
        finally:
            process.terminate()
            process.wait(timeout=60)


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
def product(store: str, *options: str, settings: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A node of ours."""
    gateway, http = free_port(), free_port()
    command = [sys.executable, "-m", "server", "serve", "--dev", "--limits", "off", "--store", store]
    command += ["--gateway-port", str(gateway), "--http-port", str(http), "--log-level", "warning", *options]
    with pinned(*command, ready=http, path="/readyz", settings=settings) as pid:
        yield Running(Place(HOST, gateway, pid, floor=False), http)


@contextmanager
def bare() -> Iterator[Place]:
    """The floor."""
    port = free_port()
    with pinned(sys.executable, "-m", "loadtest.bench.floor", str(port), ready=port) as pid:
        yield Place(HOST, port, pid, floor=True)


def memory_kib(pid: int) -> int:
    """Resident memory of a process (proc(5), VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise SystemExit("no VmRSS in /proc")


def servers() -> tuple[str, str]:
    """URLs of the database server and the Redis that ``make bench`` starts."""
    mysql, redis = os.environ.get("TEST_MYSQL_URL"), os.environ.get("TEST_REDIS_URL")
    if not (mysql and redis):
        raise SystemExit("TEST_MYSQL_URL and TEST_REDIS_URL are not set; `make bench` starts both")
    return mysql.rstrip("/"), redis


def database(mysql: str, name: str) -> str:
    """URL of an empty database ``guildhall_bench_NAME``; one of an earlier run is dropped."""
    name = f"guildhall_bench_{name}"
    asked(mysql, f"DROP DATABASE IF EXISTS {name}")
    return f"{mysql}/{name}"


def linked(mysql: str) -> "pymysql.Connection[Any]":
    """A connection to the database of a store's URL."""
    place = urlsplit(mysql)
    return pymysql.connect(
        host=place.hostname or "",
        port=place.port or 3306,
        user=unquote(place.username or ""),
        password=unquote(place.password or ""),
        database=place.path.strip("/") or None,
    )


def asked(mysql: str, statement: str) -> int:
    """Run a statement; the whole number that it gives, or 0."""
    link = linked(mysql)
    with link, link.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchone()
        return int(found[0]) if found else 0
