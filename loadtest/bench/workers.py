"""One worker and two behind one port: what a delivery costs the server in processor time.

Every worker has as many rooms to serve in each case, whose members all talk as fast as they are answered. What counts
is the processor time of the workers: on a machine whose cores are shared with the driver and the databases, how many
lines get through says nothing.

    python -m tests.support.with_servers .venv/bin/python -m loadtest.bench.workers
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
from msgspec import Struct, structs

from loadtest.bench.driver import Client, connect, masked, now
from loadtest.bench.nodes import linked
from loadtest.ports import free_ports

ROOT = Path(__file__).parent.parent.parent
HOST = "127.0.0.1"
ROOMS, MEMBERS = 4, 50  # rooms for each worker
WARM_UP_S = 2.0
START_S = 60.0
METERS = ("commit_seconds_count", "writes_total", "bus_published_total")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
Choose = Callable[[int], int | None]
"""Which worker the members of room NUMBER are on; None: whichever the kernel gives them."""


class Cost(Struct, frozen=True):
    """Of one case."""

    deliveries_per_s: float
    sends_per_s: float
    cpu_us_per_delivery: float
    """Processor time (user and system) of all workers, microseconds."""
    cpu_share: tuple[float, ...]
    """Of a core, that each worker took."""
    lines_per_commit: float
    deliveries_per_write: float
    bus_per_line: float
    """Messages between the workers for each line that was said."""


class Site(Struct, frozen=True):
    """A running server."""

    port: int
    own_ports: tuple[int, ...]
    """Where each worker tells its metrics."""
    pids: tuple[int, ...]
    mysql: str

    def cpu_s(self) -> list[float]:
        """Processor time of each worker so far (proc(5), utime and stime)."""
        seconds = []
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds.append((int(fields[11]) + int(fields[12])) / TICKS_PER_S)
        return seconds

    def opened(self, worker: int | None) -> int:
        """Connections that a worker has taken so far."""
        return 0 if worker is None else self._told(worker)["connections_opened_total"]

    def counted(self, *names: str) -> list[int]:
        """Some metrics of all workers, each summed up."""
        told = [self._told(worker) for worker in range(len(self.own_ports))]
        return [sum(one[name] for one in told) for name in names]

    def _told(self, worker: int) -> dict[str, int]:
        page = urllib.request.urlopen(f"http://{HOST}:{self.own_ports[worker]}/metrics", timeout=10).read().decode()
        return {name: int(float(n)) for name, n in re.findall(r"^guildhall_(\w+) (\S+)$", page, re.MULTILINE)}

    def owner(self, actor: str) -> int | None:
        """The worker that owns an actor."""
        with linked(self.mysql) as link, link.cursor() as cursor:
            cursor.execute("SELECT owner FROM actors WHERE actor = %s", (actor,))
            row = cursor.fetchone()
        if row is None or row[0] is None:
            return None
        return int(row[0].split(".")[1]) if len(self.pids) > 1 else 0


@contextmanager
def site(mysql: str, redis: str, workers: int) -> Iterator[Site]:
    """A server with so many workers, for the time of the block."""
    gateway = free_ports(2 + workers)
    http = gateway + 1
    command = [sys.executable, "-m", "server", "serve", "--dev", "--limits", "off", "--log-level", "error"]
    command += ["--store", mysql, "--bus", redis, "--workers", str(workers), "--node", f"bench-{now():.0f}"]
    command += ["--gateway-port", str(gateway), "--http-port", str(http)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GUILDHALL_")}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
    try:
        own = tuple(range(http + 1, http + 1 + workers)) if workers > 1 else (http,)
        for port in own:
            _wait_ready(process, port)
        pids = _children(process.pid) if workers > 1 else (process.pid,)
        yield Site(gateway, own, pids, mysql)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = now() + START_S
    while now() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode} before it was ready")
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"nothing is ready at port {port}")


def _children(pid: int) -> tuple[int, ...]:
    """By start, which is by number as long as none has died; the command line tells it for certain."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        place = Path(f"/proc/{child}/cmdline").read_bytes().rstrip(b"\0").rpartition(b"\0")[2]
        found[json.loads(place)["number"]] = int(child)
    return tuple(found[number] for number in sorted(found))


class Talkers:
    """A room whose members all talk as fast as they are answered, and count what they hear."""

    def __init__(self, channel: str, members: Sequence[Client]) -> None:
        self.delivered = 0
        self.sent = 0
        self.refused = b""
        self._channel = channel
        self._members = members
        self._said = 0

    def start(self) -> None:
        """Have everybody say the first line."""
        for member in self._members:
            member.on_data = partial(self._heard, member)
            self._say(member)

    def stop(self) -> None:
        """Cut all connections."""
        for member in self._members:
            member.transport.abort()

    def _heard(self, member: Client, data: bytes) -> None:
        self.delivered += data.count(b"chat.message")
        for _ in range(data.count(b"chat.sent")):
            self.sent += 1
            self._say(member)
        if b"\xa5error" in data:
            self.refused = data[:200]

    def _say(self, member: Client) -> None:
        self._said += 1
        text = "let us meet at the gate, then go in together"
        frame = {"t": "chat.send", "id": f"{self._channel[-12:]}-{self._said}", "channel": self._channel, "text": text}
        member.transport.write(masked(msgpack.packb(frame)))


async def _member(place: Site, name: str, worker: int | None) -> Client:
    """A signed-in player; with ``worker``, one whose connection the kernel has given to that one."""
    while True:
        before = place.opened(worker)
        client = await connect(HOST, place.port)
        if worker is None or place.opened(worker) > before:
            break
        client.transport.abort()
    reply = await client.ask("hello", f"{name}-hello", token=f"dev:{name}")
    if b"welcome" not in reply:
        raise ConnectionError(f"{name} was not let in: {reply!r}")
    return client


async def _join(client: Client, channel: str) -> None:
    reply = await client.ask("chat.join", f"j-{channel[-12:]}", channel=channel)
    if b"chat.joined" not in reply:
        raise ConnectionError(f"{channel} could not be joined: {reply!r}")


async def _room(place: Site, number: int, members: int, on: int | None, owned_by: int | None) -> Talkers:
    """A room on one worker or on all; with ``owned_by``, one whose actor lives there (a name is looked for)."""
    run = f"{int(now() * 1000) % 10**8}"
    clients = [await _member(place, f"w{run}r{number}x{n}", on) for n in range(members)]
    channel = ""
    for attempt in range(64):
        channel = f"room:{run}x{number}x{attempt}"
        await _join(clients[0], channel)
        if owned_by is None or place.owner(channel) == owned_by:
            break
        await clients[0].ask("chat.leave", f"l-{channel[-12:]}", channel=channel)
    for client in clients[1:]:
        await _join(client, channel)
    return Talkers(channel, clients)


async def cost(place: Site, seconds: float, on: Choose, owned_by: Choose) -> Cost:
    """Of ``ROOMS`` rooms of ``MEMBERS`` for each worker."""
    numbers = range(ROOMS * len(place.pids))
    rooms = [await _room(place, number, MEMBERS, on(number), owned_by(number)) for number in numbers]
    for room in rooms:
        room.start()
    await asyncio.sleep(WARM_UP_S)
    began, cpu, counts = now(), place.cpu_s(), [*_counted(rooms), *place.counted(*METERS)]
    await asyncio.sleep(seconds)
    took, spent = now() - began, [after - before for after, before in zip(place.cpu_s(), cpu, strict=True)]
    ends = [*_counted(rooms), *place.counted(*METERS)]
    delivered, sent, commits, writes, bus = (end - begin for end, begin in zip(ends, counts, strict=True))
    for room in rooms:
        room.stop()
        if room.refused:
            raise SystemExit(f"a line was refused: {room.refused!r}")
    shares = tuple(round(share / took, 3) for share in spent)
    return Cost(
        deliveries_per_s=round(delivered / took),
        sends_per_s=round(sent / took),
        cpu_us_per_delivery=round(sum(spent) / delivered * 1e6, 2),
        cpu_share=shares,
        lines_per_commit=round(sent / commits, 1),
        deliveries_per_write=round(delivered / writes, 2),
        bus_per_line=round(bus / sent, 2),
    )


def _counted(rooms: Sequence[Talkers]) -> tuple[int, int]:
    return sum(room.delivered for room in rooms), sum(room.sent for room in rooms)


def nowhere(_room: int) -> None:
    """Wherever it comes."""


def turns(room: int) -> int:
    """One after the other."""
    return room % 2


CASES: dict[str, tuple[int, Choose, Choose]] = {
    "one": (1, nowhere, nowhere),
    "two, each room and its members on one": (2, turns, turns),
    "two, members of a room on one, its actor anywhere": (2, turns, nowhere),
    "two, members of a room on both": (2, nowhere, nowhere),
}
"""Workers, where the members are, where the actor is."""


async def measure_workers(mysql: str, redis: str, seconds: float, rounds: int) -> dict[str, dict[str, Any]]:
    """The cases by name, each the cheapest of some rounds: what disturbs only makes dearer. ``of_one`` is by how much
    two workers, each on a core of its own, would do more than one."""
    found: dict[str, Cost] = {}
    for number in range(rounds):
        for case, (name, (workers, on, owned_by)) in enumerate(CASES.items()):
            with site(f"{mysql}/guildhall_workers_{number}_{case}", redis, workers) as place:
                measured = await cost(place, seconds, on, owned_by)
            found[name] = min(measured, found.get(name, measured), key=lambda one: one.cpu_us_per_delivery)
    base = found["one"].cpu_us_per_delivery
    return {
        name: {**structs.asdict(best), "of_one": round(CASES[name][0] * base / best.cpu_us_per_delivery, 2)}
        for name, best in found.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.workers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each case is measured in each round")
    parser.add_argument("--rounds", type=int, default=3, help="of which the cheapest counts")
    options = parser.parse_args()
    mysql, redis = os.environ.get("TEST_MYSQL_URL"), os.environ.get("TEST_REDIS_URL")
    if not (mysql and redis):
        raise SystemExit("TEST_MYSQL_URL and TEST_REDIS_URL are not set")
    found = asyncio.run(measure_workers(mysql.rstrip("/"), redis, options.seconds, options.rounds))
    for name, row in found.items():
        print(f"{name:<52}{row['cpu_us_per_delivery']:>8.2f} us a delivery, {row['of_one']:.2f} of one; {row}")


if __name__ == "__main__":
    main()
