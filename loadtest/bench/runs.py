"""How each row is measured: which processes, which load, which figures come out."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from loadtest.bench.announcement import announce
from loadtest.bench.boards import AROUND, SUBMIT, TOP, define, prefill, redis_memory
from loadtest.bench.idle import idle
from loadtest.bench.loads import Ask, Measured, Place, chat, requests
from loadtest.bench.nodes import ROOT, SERVER_CORE, asked, bare, database, memory_kib, pin, product, servers
from loadtest.bench.paced import Paced, paced_chat
from loadtest.bench.signing_in import Tokens, sign_ins
from loadtest.bench.targets import Figures

ROOMS, MEMBERS = 20, 50
STEADY = 20_000  # deliveries a second
DURABLE = 300_000  # deliveries a second that rooms have to reach
IDLE_CLIENTS = 10_000
SESSIONS = 10_000
SILENT = {"GUILDHALL_GATEWAY_HEARTBEAT_S": "300"}  # sessions that say nothing are not closed while others come in
ARRIVALS, WARM_UP = 10_000, 1_000  # sign-ins that are counted, and those before them
CROWD: dict[str, Any] = {"rooms": ROOMS, "members": MEMBERS}
READ = Ask(tag="player.get", mark=b"player.", clients=50)
WRITE = Ask(
    tag="chat.read",  # raises a mark in the player's own state: nothing but the commit and the kept op
    mark=b"chat.marked",
    clients=200,
    fields=lambda _client, turn: {"channel": "room:bench", "seq": turn},
)


class Conditions(Struct):
    """Under which a run measures; floors are measured once and kept."""

    seconds: float
    owners: int
    folder: str
    floor_of_chat: Measured | None = None

    def file(self, name: str) -> str:
        """URL of a new SQLite store."""
        return f"sqlite:///{self.folder}/{name}.db"


# Requests.
async def player_requests(on: Conditions) -> Figures:
    with bare() as place:
        floor = await requests(place, READ, on.seconds)
    with product(on.file("requests")) as node:
        return compared(await requests(node.place, READ, on.seconds), floor)


async def durable_requests(on: Conditions) -> Figures:
    mysql, redis = servers()
    store = database(mysql, "requests")
    with product(store, "--bus", redis) as node:
        figures = figures_of(await requests(node.place, WRITE, on.seconds))
    kept = asked(store, "SELECT COUNT(*) FROM ops")
    if kept < WRITE.clients:
        raise SystemExit(f"{kept} ops were kept: {WRITE.tag} is no durable request")
    return figures


async def inside(on: Conditions) -> Figures:
    command = [sys.executable, "-m", "loadtest.bench.inside", "--seconds", str(on.seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603, ASYNC220
        pin(process.pid, SERVER_CORE)
        told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    found: dict[str, float] = json.loads(told)
    return found


# Chat.
async def world(on: Conditions) -> Figures:
    return compared(await _chat("world", on, on.file("world")), await _floor_of_chat(on))


async def steady(on: Conditions) -> Figures:
    load: dict[str, Any] = {**CROWD, "kind": "world", "seconds": on.seconds, "deliveries_per_second": STEADY}
    with bare() as place:
        floor = await paced_chat(place, **load)
    with product(on.file("steady")) as node:
        ours = await paced_chat(node.place, **load)
    figures = {**figures_of(ours.measured), **paced(ours), "floor_server_us": floor.measured.server_us}
    figures["of_floor"] = floor.measured.server_us / ours.measured.server_us
    figures["floor_p99_ms"] = floor.measured.p99_ms
    return figures


async def room_sqlite(on: Conditions) -> Figures:
    return compared(await _chat("room", on, on.file("rooms")), await _floor_of_chat(on))


async def room_mysql(on: Conditions) -> Figures:
    floor = await _floor_of_chat(on)
    mysql, redis = servers()
    with product(database(mysql, "rooms"), "--bus", redis) as node:
        full = await chat(node.place, kind="room", seconds=on.seconds, **CROWD)
        half = await _paced_room(node.place, DURABLE / 2, on.seconds)
        busy = await _paced_room(node.place, full.per_second / 2, on.seconds)
    return compared(full, floor) | prefixed("half_", half) | prefixed("busy_", busy)


async def _paced_room(place: Place, pace: float, seconds: float) -> Figures:
    run = await paced_chat(place, kind="room", seconds=seconds, deliveries_per_second=pace, **CROWD)
    return {**figures_of(run.measured), **paced(run)}


async def _chat(kind: str, on: Conditions, store: str) -> Measured:
    with product(store) as node:
        return await chat(node.place, kind=kind, seconds=on.seconds, **CROWD)


async def _floor_of_chat(on: Conditions) -> Measured:
    if on.floor_of_chat is None:
        with bare() as place:
            on.floor_of_chat = await chat(place, kind="world", seconds=on.seconds, **CROWD)
    return on.floor_of_chat


# Sessions.
async def sign_in_sqlite(on: Conditions) -> Figures:
    return await _sign_in(on.file("sign_in"))


async def sign_in_mysql(on: Conditions) -> Figures:
    mysql, redis = servers()
    del on
    return await _sign_in(database(mysql, "sign_in"), "--bus", redis)


async def _sign_in(store: str, *options: str) -> Figures:
    """New players first; then the node is started again, so that nobody's actor is in memory when they return."""
    tokens = Tokens()
    hellos = tokens.hellos([f"s{n}" for n in range(WARM_UP + ARRIVALS)])
    with bare() as place:
        floor = await sign_ins(place, hellos, WARM_UP)
    with product(store, *options, settings=tokens.settings) as node:
        fresh = await sign_ins(node.place, hellos, WARM_UP)
    with product(store, *options, settings=tokens.settings) as node:
        back = await sign_ins(node.place, hellos, WARM_UP)
    return compared(fresh, floor) | prefixed("returning_", figures_of(back))


async def idle_sessions(on: Conditions) -> Figures:
    with product(on.file("idle"), settings=SILENT) as node:
        return await idle(node.place, IDLE_CLIENTS, memory_kib)


async def announcement(on: Conditions) -> Figures:
    with product(on.file("announcement"), settings=SILENT) as node:
        return asdict(await announce(node.place, node.http_port, SESSIONS))


# Leaderboards.
async def board_sqlite(on: Conditions) -> Figures:
    return await _board(on, on.file("board"))


async def board_mysql(on: Conditions) -> Figures:
    mysql, redis = servers()
    before = redis_memory(redis)
    figures = await _board(on, database(mysql, "board"), "--bus", redis)
    return {**figures, "redis_kib_per_owner": (redis_memory(redis) - before) / on.owners}


async def _board(on: Conditions, store: str, *options: str) -> Figures:
    prefill(store, on.owners)
    with product(store, *options) as node:
        empty = memory_kib(node.place.pid)
        define(node.http_port)
        filled = memory_kib(node.place.pid)
        submitted = await requests(node.place, SUBMIT, on.seconds)
        top = await requests(node.place, TOP, on.seconds)
        around = await requests(node.place, AROUND, on.seconds)
    return {
        **figures_of(submitted),
        **prefixed("top_100_", figures_of(top)),
        **prefixed("around_", figures_of(around)),
        "owners": on.owners,
        "kib_per_owner": (filled - empty) / on.owners,
    }


# Figures.
def figures_of(measured: Measured) -> dict[str, float]:
    """All of them, by name; what was not counted is left out."""
    return {name: figure for name, figure in asdict(measured).items() if name != "sends_per_second" or figure}


def compared(ours: Measured, floor: Measured) -> dict[str, float]:
    """With the floor's rate and the ratio to it."""
    return {
        **figures_of(ours),
        "floor_per_second": floor.per_second,
        "floor_server_us": floor.server_us,
        "of_floor": ours.per_second / floor.per_second,
    }


def paced(run: Paced) -> dict[str, float]:
    """What only an open loop has."""
    return {"offered_per_second": run.offered_per_second, "late_p99_ms": run.late_p99_ms}


def prefixed(prefix: str, figures: Mapping[str, float]) -> dict[str, float]:
    """Figures of a second load of the same row."""
    return {prefix + name: figure for name, figure in figures.items()}
