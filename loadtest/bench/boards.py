"""A leaderboard with a million owners: submissions, the top, the neighbours of a player, and what it takes in memory.

The owners are written into the database's table before the node starts; the node fills its index from there.
"""

import asyncio
import json
import random
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql

from loadtest.bench.driver import Client, Latencies, in_groups, now, request, sign_in
from loadtest.bench.loads import WARM_UP_S, Measured, Place

ROOT = Path(__file__).parent.parent.parent
BOARD = "bench"
BEST = 1_000_000_000  # no owner of before has more
COLUMNS = "board, period, owner, name, score, subscore, at_us, changes, removed, place, subplace"
READY_S = 300.0


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
    place = urlsplit(store)
    link = pymysql.connect(
        host=place.hostname or "",
        port=place.port or 3306,
        user=unquote(place.username or ""),
        password=unquote(place.password or ""),
        database=place.path.strip("/"),
    )
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
    call = urllib.request.Request(
        f"http://127.0.0.1:{http_port}/v1/leaderboards/{BOARD}",
        method="PUT",
        data=b"{}",
        headers={"authorization": "Bearer dev", "idempotency-key": "bench", "content-type": "application/json"},
    )
    urllib.request.urlopen(call, timeout=30).close()  # noqa: S310 - as above
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
    with urllib.request.urlopen(call, timeout=60) as answer:  # noqa: S310 - as above
        found: dict[str, Any] = json.loads(answer.read())
    return found


class Player:
    """Asks again as soon as it is answered; each submission is better than the last."""

    def __init__(self, number: int, client: Client, tag: str) -> None:
        self.counted = 0
        self.measuring = False
        self.latencies = Latencies()
        self.refused = b""
        self._number = number
        self._client = client
        self._tag = tag
        self._turn = 0
        self._sent = 0.0
        self._dice = random.Random(number)
        client.on_data = self._arrived

    def ask(self) -> None:
        self._turn += 1
        fields: dict[str, Any] = {"board": BOARD}
        if self._tag == "leaderboard.submit":
            fields["score"] = self._turn * 1000 + self._dice.randrange(1000)
        elif self._tag == "leaderboard.top":
            fields["limit"] = 100
        else:
            fields |= {"player": f"o{self._dice.randrange(100_000)}", "limit": 11}
        self._sent = now()
        self._client.transport.write(request(self._tag, f"{self._tag[-3:]}{self._number}-{self._turn}", **fields))

    def _arrived(self, data: bytes) -> None:
        if b"leaderboard.submitted" not in data and b"leaderboard.entries" not in data:
            if b"error" in data:
                self.refused = data
            return
        if self.measuring:
            self.counted += 1
            self.latencies.seconds.append(now() - self._sent)
        self.ask()


async def play(place: Place, tag: str, clients: int, seconds: float) -> Measured:
    """``clients`` players who each ask ``tag`` again as soon as they are answered."""
    jobs = [partial(sign_in, place.host, place.port, f"b{n}") for n in range(clients)]
    sockets: list[Client] = await in_groups(jobs)
    players = [Player(number, client, tag) for number, client in enumerate(sockets)]
    for player in players:
        player.ask()
    await asyncio.sleep(WARM_UP_S)
    started = now()
    for player in players:
        player.measuring = True
    await asyncio.sleep(seconds)
    took = now() - started
    latencies = Latencies()
    for player in players:
        player.measuring = False
        if player.refused:
            raise SystemExit(f"a request was refused: {player.refused[:200]!r}")
        latencies.seconds.extend(player.latencies.seconds)
    for client in sockets:
        client.transport.abort()
    count = sum(player.counted for player in players)
    return Measured(count / took, latencies.quantile(0.5), latencies.quantile(0.99))


def redis_memory(url: str) -> int:
    """KiB that the Redis at ``url`` uses (its INFO, used_memory)."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 6379), timeout=5) as link:
        link.sendall(b"INFO memory\r\n")
        told = b""
        while b"used_memory:" not in told or b"\r\n" not in told.partition(b"used_memory:")[2]:
            told += link.recv(65_536)
    return int(told.partition(b"used_memory:")[2].partition(b"\r\n")[0]) // 1024
