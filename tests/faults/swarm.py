"""A swarm: thousands of players in a process of their own, so that what they cost is not taken for the server's.

They use the real client (``clients.python.Shell``), sit in rooms of ``ROOM_OF``, say a line now and then, and write
down whatever goes over their connections. ``Swarm`` is the experiment's handle of the process.

    python -m tests.faults.swarm URL,URL PLAYERS FIRST_MOMENT HISTORY [--gather]

Lines on standard input: ``talk``, ``stop``, ``rest {"topic": seq}``; each is answered by a line when it is done.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import uvloop
from msgspec import Struct

from clients.python import Dial, Ear, Link, Shell, WebSocketDial
from loadtest.history import Answered, AnyRecord, Asked, Heard, Lost, Welcomed, read_history, write_history
from protocol import ClientSession, ClientStatus, Disconnected, Output, Replied, Wire
from protocol.outputs import Welcomed as Online
from tests.support.nodes import ROOT, NodeProcess
from tests.support.recorded import NOT_ASKED

ROOM_OF = 25
PAUSE_S = 10.0  # between two lines of a player, on average
BEGIN_PER_S = 300  # players who come in the beginning
PATIENCE_S = 60.0  # for everybody to come
REST_S = 20.0  # for everybody to come to rest; what is missing then the judge will find
QUIET_S = 0.1  # between two looks


class Summary(Struct):
    """What a swarm says of itself in the end."""

    away_s: list[float] = []
    """Of each lost connection, how long it took until the next one was welcomed."""


class Member:
    """One player of the swarm."""

    def __init__(self, swarm: "Crowd", number: int) -> None:
        self.name = f"s{number}"
        self.room = f"room:swarm{number // ROOM_OF}"
        self.random = Random(number)
        self.session = ClientSession(
            Wire.MSGPACK if number % 2 else Wire.JSON,
            self.random,
            f"dev:{self.name}",
            client={"app": "1.0.0", "platform": "swarm"},
            prefix=f"{self.name}-{self.random.getrandbits(32):08x}",
        )
        self.joined = asyncio.Event()
        self.shell = Shell(self.session, partial(_dial, swarm, self), swarm.tasks, self._told)
        self._swarm = swarm
        self._decode = msgspec.msgpack.decode if self.session.wire.binary else msgspec.json.decode
        self._resume: dict[str, Any] | None = None
        self._lost_at: float | None = None

    async def talk(self) -> None:
        """Say lines until the swarm is told to stop."""
        while True:
            await asyncio.sleep(self.random.uniform(0, 2 * PAUSE_S))
            if self._swarm.stopped:
                return
            if self.session.status is ClientStatus.ONLINE:
                text = f"{self.name} {self.random.getrandbits(24)}"
                self.shell.request("chat.send", {"channel": self.room, "text": text})

    def behind(self, stand: dict[str, int]) -> bool:
        """Whether it waits for an answer or has not heard everything."""
        online = self.session.status is ClientStatus.ONLINE
        return not online or bool(self.session.pending) or bool(self._lacks(stand))

    def describe(self, stand: dict[str, int]) -> str:
        """What it waits for."""
        unanswered = list(self.session.pending)
        return f"{self.session.status.value}, unanswered {unanswered}, has and lacks {self._lacks(stand)}"

    def _lacks(self, stand: dict[str, int]) -> dict[str, tuple[int, int]]:
        """(where it is, where the topic is) by topic, of those that it has not heard to the end."""
        places = self.session.cursors.for_hello()
        return {topic: (seq, stand[topic]) for topic, (_, seq) in places.items() if seq < stand.get(topic, 0)}

    def _told(self, output: Output) -> None:
        summary, now = self._swarm.summary, time.monotonic()
        match output:
            case Replied():
                self.joined.set()
            case Online() if self._lost_at is not None:
                summary.away_s.append(now - self._lost_at)
                self._lost_at = None
            case Disconnected() if self.joined.is_set() and self._lost_at is None:
                self._lost_at = now
                self._swarm.note(Lost(self._swarm.at, self.name, self.name))
            case _:
                pass

    # What goes over its connections.
    def sent(self, payload: bytes) -> None:
        message = self._decode(payload)
        if message["t"] == "hello":
            self._resume = message.get("resume")
        elif message["t"] not in NOT_ASKED:
            self._swarm.note(Asked(self._swarm.at, self.name, self.name, message["id"], message))

    def came(self, payload: bytes) -> None:
        message, at, name = self._decode(payload), self._swarm.at, self.name
        if message["t"] == "welcome":
            self._swarm.note(Welcomed(at, name, name, message, self._resume))
        elif "re" in message and message["t"] not in NOT_ASKED:
            self._swarm.note(Answered(at, name, name, message["re"], message))
        elif message.get("seq") is not None:
            self._swarm.note(Heard(at, name, name, message))


class _Ear:
    """Listens for the shell, and lets the member see what came first."""

    def __init__(self, ear: Ear, member: Member) -> None:
        self._member = member
        self._ear = ear
        self.lost = ear.lost

    def heard(self, payload: bytes) -> None:
        self._member.came(payload)
        self._ear.heard(payload)


class _Link:
    """The link, and the member sees what leaves."""

    def __init__(self, link: Link, member: Member) -> None:
        self._member = member
        self._link = link
        self.close = link.close
        self.abort = link.abort
        self.wait_gone = link.wait_gone

    def send(self, payload: bytes) -> None:
        self._member.sent(payload)
        self._link.send(payload)


async def _dial(swarm: "Crowd", member: Member, wire: Wire, ear: Ear) -> Link:
    """As a load balancer does: to one of the nodes, and to the next where that one does not take it."""
    first = 0 if swarm.gathers else member.random.randrange(len(swarm.dials))
    refused = OSError("there are no nodes")
    for dial in [*swarm.dials[first:], *swarm.dials[:first]]:
        try:
            return _Link(await dial(wire, _Ear(ear, member)), member)
        except OSError as error:
            refused = error
    raise refused


class Crowd:
    """The players of this process."""

    def __init__(
        self, urls: Sequence[str], players: int, first_moment: float, tasks: asyncio.TaskGroup, *, gathers: bool
    ) -> None:
        self.dials: list[Dial] = [WebSocketDial(url) for url in urls]
        self.gathers = gathers
        """Whether everybody is at the first node, as long as it is there."""
        self.tasks = tasks
        self.stopped = False
        self.summary = Summary()
        self.records: list[AnyRecord] = []
        self.note = self.records.append
        self._first_moment = first_moment
        self._members = [Member(self, n) for n in range(players)]

    @property
    def at(self) -> int:
        """Milliseconds since the experiment began."""
        return round((time.monotonic() - self._first_moment) * 1000)

    async def come(self) -> None:
        """Everybody signs in and joins a room."""
        for n, member in enumerate(self._members):
            member.shell.connect()
            member.shell.request("chat.join", {"channel": member.room})
            if n % 10 == 0:
                await asyncio.sleep(10 / BEGIN_PER_S)
        for member in self._members:
            await asyncio.wait_for(member.joined.wait(), PATIENCE_S)

    def talk(self) -> None:
        """Begin to say lines."""
        for member in self._members:
            self.tasks.create_task(member.talk())

    async def rest(self, stand: dict[str, int]) -> None:
        """Wait until everything is answered and everybody has heard everything; after a while the judge will say."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_S):
                while any(member.behind(stand) for member in self._members):  # noqa: ASYNC110 - places of many
                    await asyncio.sleep(QUIET_S)
        for member in [member for member in self._members if member.behind(stand)][:5]:
            sys.stderr.write(f"{member.name} does not come to rest: {member.describe(stand)}\n")

    def leave(self) -> None:
        """Everybody goes offline."""
        for member in self._members:
            member.shell.stop()


async def main(urls: str, players: str, first_moment: str, history: str, *how: str) -> None:
    """Do as standard input says; write the history and the summary when it ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(urls.split(","), int(players), float(first_moment), tasks, gathers=bool(how))
        await crowd.come()
        _say("here")
        while line := (await reader.readline()).decode().strip():
            if line == "talk":
                crowd.talk()
            elif line == "stop":
                crowd.stopped = True
                await crowd.rest({})
            else:
                await crowd.rest(msgspec.json.decode(line.removeprefix("rest ")))
            _say(line.partition(" ")[0])
        crowd.stopped = True
        crowd.leave()
        write_history(Path(history), crowd.records)
        _say(msgspec.json.encode(crowd.summary).decode())
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Swarm:
    """The process, as the experiment has it."""

    def __init__(self, process: asyncio.subprocess.Process, history: Path) -> None:
        self.summary = Summary()
        self.records: list[AnyRecord] = []
        self._process = process
        self._history = history

    async def do(self, what: str) -> str:
        """Have it do something, and wait until that is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n".encode())
        return await self.heard()

    async def heard(self) -> str:
        """What it says next."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 2 * PATIENCE_S)
        assert line, "the swarm has ended"
        return line.decode().strip()

    async def end(self) -> None:
        """Have it leave; ``summary`` and ``records`` are there then."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self.summary = msgspec.json.decode(await self.heard(), type=Summary)
        await self._process.wait()
        self.records = list(await asyncio.to_thread(lambda: list(read_history(self._history))))


@asynccontextmanager
async def swarming(
    nodes: Sequence[NodeProcess], players: int, first_moment: float, history: Path, *, gathers: bool = False
) -> AsyncIterator[Swarm]:
    """A swarm that has come, until the end of the block. ``gathers``: to the first node."""
    urls = ",".join(node.url for node in nodes)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.swarm", urls, str(players), str(first_moment), str(history)),
        *(["--gather"] if gathers else []),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        swarm = Swarm(process, history)
        assert await swarm.heard() == "here"
        yield swarm
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
