"""A leaderboard with a million owners: submissions, the top, the neighbours of a player, and what it takes in memory.

The owners are written into the database's table before the node starts; the node fills its index from there.
"""

import json
import random
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest.bench.loads import Ask
from loadtest.bench.nodes import linked
from loadtest.bench.staff import change

ROOT = Path(__file__).parent.parent.parent
BOARD = "bench"
BEST = 1_000_000_000  # no owner of before has more
COLUMNS = "board, period, owner, name, score, subscore, at_us, changes, removed, place, subplace"
READY_S = 300.0
ENTRIES = b"leaderboard.entries"


def prefill(store: str, owners: int) -> None:
    """Bring the schema up and write ``owners`` scores into the table of the board's one period."""
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "server", "migrate", "--store", store], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    if store.startswith("sqlite:///"):
        file = sqlite3.connect(store.removeprefix("sqlite:///"))
        with file:
            for chunk in _rows(owners, 20_000):
                file.executemany(f"INSERT INTO leaderboard_entries ({COLUMNS}) VALUES ({', '.join('?' * 11)})", chunk)  # noqa: S608
        file.close()
        return
    link = linked(store)
    with link, link.cursor() as cursor:
        for chunk in _rows(owners, 5_000):
            cursor.executemany(f"INSERT INTO leaderboard_entries ({COLUMNS}) VALUES ({', '.join(['%s'] * 11)})", chunk)  # noqa: S608
            link.commit()


def _rows(owners: int, chunk: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    dice = random.Random(7)
    for start in range(0, owners, chunk):
        rows = []
        for n in range(start, min(start + chunk, owners)):
            score = dice.randrange(BEST)
            rows.append((BOARD, "all", f"o{n}", f"Owner {n}", score, 0, 1_700_000_000_000_000 + n, 1, 0, ~score, ~0))
        yield rows


def define(http_port: int) -> None:
    """Define the board and wait until its index answers."""
    change(http_port, "PUT", f"/v1/leaderboards/{BOARD}", b"{}")
    quick, until = 0, time.monotonic() + READY_S
    while quick < 5:
        if time.monotonic() > until:
            raise SystemExit("the index of the board was not filled in time")
        before = time.monotonic()
        _entries(http_port)
        quick = quick + 1 if time.monotonic() - before < 0.02 else 0
        time.sleep(0.2)


def _entries(http_port: int) -> dict[str, Any]:
    call = urllib.request.Request(
        f"http://127.0.0.1:{http_port}/v1/leaderboards/{BOARD}/entries?limit=1", headers={"authorization": "Bearer dev"}
    )
    with urllib.request.urlopen(call, timeout=60) as answer:  # noqa: S310 - a node of this machine
        found: dict[str, Any] = json.loads(answer.read())
    return found


def _better(client: int, turn: int) -> dict[str, Any]:
    """A score that is better than the client's last."""
    return {"board": BOARD, "score": turn * 1000 + client}


def _somebody(client: int, turn: int) -> dict[str, Any]:
    return {"board": BOARD, "player": f"o{(client * 7_919 + turn * 104_729) % 10_000}", "limit": 11}


SUBMIT = Ask(tag="leaderboard.submit", mark=b"leaderboard.submitted", clients=500, fields=_better)
TOP = Ask(tag="leaderboard.top", mark=ENTRIES, clients=4, fields=lambda _client, _turn: {"board": BOARD, "limit": 100})
AROUND = Ask(tag="leaderboard.around", mark=ENTRIES, clients=4, fields=_somebody)


def redis_memory(url: str) -> int:
    """KiB that the Redis at ``url`` uses (its INFO, used_memory)."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 6379), timeout=5) as link:
        link.sendall(b"INFO memory\r\n")
        told = b""
        while b"used_memory:" not in told or b"\r\n" not in told.partition(b"used_memory:")[2]:
            told += link.recv(65_536)
    return int(told.partition(b"used_memory:")[2].partition(b"\r\n")[0]) // 1024
