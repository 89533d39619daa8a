"""A crowd whose every message is written down, for ``loadtest.check`` to judge: players and the game's backend.

Unlike ``crowd`` nothing is asserted on the way: a topic that is missing an event is the judge's to find.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
from msgspec import Struct

from loadtest.history import Answered, AnyRecord, Asked, Heard, Lost, Welcomed
from tests.support.crowd import Player
from tests.support.nodes import NodeProcess
from tests.support.wire import Frame, Outside, Witness

NOT_ASKED = frozenset({"hello", "ping", "pong", "welcome"})
STAFF = "dev"  # the key that development mode knows
_REPLIES = {"wallet.grant": "wallet.granted", "inbox.deliver": "inbox.delivered"}
STAFF_HEADERS = {"authorization": f"Bearer {STAFF}"}


class Recorder:
    """The history so far."""

    def __init__(self) -> None:
        self.records: list[AnyRecord] = []
        self.began = time.monotonic()
        """When ``at`` was 0, in the seconds of this machine's monotonic clock."""

    @property
    def at(self) -> int:
        """Milliseconds since the beginning."""
        return round((time.monotonic() - self.began) * 1000)

    def add(self, record: AnyRecord) -> None:
        """What has happened last."""
        self.records.append(record)

    def count(self) -> tuple[int, int]:
        """(requests, times that one was sent again)."""
        asked = [(record.player, record.op) for record in self.records if isinstance(record, Asked)]
        return len(set(asked)), len(asked) - len(set(asked))


class Wait(Struct, frozen=True):
    """A request from its first try to its answer, in the loop's seconds. ``node`` is where the player was at first."""

    kind: str
    target: str
    node: NodeProcess | None
    began: float
    ended: float

    @property
    def lasted(self) -> float:
        """Seconds."""
        return self.ended - self.began


class RecordedPlayer(Player):
    """One who writes down what is sent and what comes."""

    def __init__(self, recorder: Recorder, name: str, nodes: Sequence[NodeProcess], seed: int, ping_s: float) -> None:
        super().__init__(name, nodes, seed, ping_s)
        self.places: dict[str, int] = {}
        """The newest seq of each topic that is followed, as far as was heard."""
        self.waits: list[Wait] = []
        self.node: NodeProcess | None = None
        """Where it is connected now, or was last."""
        self._recorder = recorder

    async def ask(self, t: str, **fields: Any) -> Frame:
        loop = asyncio.get_running_loop()
        began, node = loop.time(), self.node
        reply = await super().ask(t, **fields)
        target = str(fields.get("channel") or fields.get("guild") or "")
        self.waits.append(Wait(t, target, node, began, loop.time()))
        return reply

    def _witness(self, node: NodeProcess, resume: Frame | None) -> Witness:
        hellos: set[str] = set()  # one may be refused, and is sent again with the next connection
        sent_resume = None if resume is None else {**resume, "cursors": {t: list(c) for t, c in self._cursors.items()}}
        hello = ""

        def see(direction: str, frame: Frame) -> None:
            nonlocal hello
            if frame["t"] == "hello":
                hello = frame["id"]
            elif frame["t"] == "error" and frame.get("re") == hello:
                pass  # not now: a node that has lost its lease welcomes nobody
            elif frame["t"] == "welcome":
                self.node = node
                self._stand(frame["topics"], (sent_resume or {}).get("cursors", {}))
                self._recorder.add(Welcomed(self._recorder.at, self.name, self.name, frame, sent_resume))
            elif frame["t"] == "hello":
                hellos.add(frame["id"])
            elif frame["t"] not in NOT_ASKED and frame.get("re") not in hellos:
                self._note(direction, frame)

        return see

    def _note(self, direction: str, frame: Frame) -> None:
        at, name = self._recorder.at, self.name
        if direction == "sent":
            self._recorder.add(Asked(at, name, name, frame["id"], frame))
        elif "re" in frame:
            self._recorder.add(Answered(at, name, name, frame["re"], frame))
            self._follow(frame)
        elif frame.get("seq") is not None:
            self._recorder.add(Heard(at, name, name, frame))
            self.places[frame["topic"]] = frame["seq"]
            self._cursors.setdefault(frame["topic"], ["", 0])[1] = frame["seq"]
            if frame["t"] == "chat.member_left" and frame["player"] == name:
                self._forget(frame["topic"])

    def _stand(self, topics: dict[str, Frame], cursors: dict[str, Any]) -> None:
        """Where the topics stand after a welcome."""
        for topic, place in topics.items():
            if place["status"] == "gone":
                self._forget(topic)
            elif place["status"] != "resumed" or topic not in cursors:
                self.places[topic] = place["seq"]
                self._cursors[topic] = [place["epoch"], place["seq"]]

    def _follow(self, reply: Frame) -> None:
        """Where a topic stands by the answer to a request."""
        topic = reply.get("topic") or f"chat:{reply.get('channel')}"
        if reply["t"] == "chat.left":
            self._forget(topic)
        elif reply.get("epoch") and isinstance(reply.get("seq"), int):
            self.places[topic] = reply["seq"]
            self._cursors[topic] = [reply["epoch"], reply["seq"]]

    def _forget(self, topic: str) -> None:
        self.places.pop(topic, None)
        self._cursors.pop(topic, None)

    # What ``crowd`` asserts is the judge's business here, and cursors follow what comes.
    def _welcomed(self, link: Outside) -> None:
        self._session = link.welcome["session"]
        self._link = link
        self._linked.set()

    def _keep(self, link: Outside) -> None:
        self._recorder.add(Lost(self._recorder.at, self.name, self.name))


@asynccontextmanager
async def recorded_crowd(
    recorder: Recorder, nodes: Sequence[NodeProcess], names: Sequence[str], *, ping_s: float = 1.0
) -> AsyncIterator[list[RecordedPlayer]]:
    """Players who live until the end of the block; each begins at another node."""
    turned = [[*nodes[n % len(nodes) :], *nodes[: n % len(nodes)]] for n in range(len(names))]
    players = [
        RecordedPlayer(recorder, name, mine, n, ping_s)
        for n, (name, mine) in enumerate(zip(names, turned, strict=True))
    ]
    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(player.live(), name=player.name) for player in players]
        yield players
        for life in lives:
            life.cancel()


class Backend:
    """The game's own backend, at whichever node answers, with the same key until it is answered."""

    def __init__(self, recorder: Recorder, http: httpx.AsyncClient, nodes: Sequence[NodeProcess]) -> None:
        self._recorder = recorder
        self._http = http
        self._nodes = nodes
        self._keys = count(1)

    async def change(self, kind: str, method: str, path: str, body: Frame, **asked: Any) -> Frame:
        """Make a change, once. ``kind`` and ``asked``: the internal request, as loadtest/history.py has it."""
        op = f"backend-{next(self._keys)}"
        message = {"t": kind, "id": op, **body, **asked}
        for tries in count():
            self._recorder.add(Asked(self._recorder.at, STAFF, STAFF, op, message))
            node = self._nodes[tries % len(self._nodes)]
            headers = {**STAFF_HEADERS, "idempotency-key": op}
            try:
                answer = await self._http.request(method, node.http + path, json=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            reply = answer.json()
            if answer.status_code == 200:
                done: Frame = {"t": _REPLIES.get(kind, "done"), "re": op, **reply}
                self._recorder.add(Answered(self._recorder.at, STAFF, STAFF, op, done))
                return done
            assert reply["retry"] != "never", answer.text
            await asyncio.sleep(0.1)
        raise AssertionError

    async def grant(self, player: str, amount: int) -> None:
        """Give a player some gold."""
        body = {"currency": "gold", "amount": amount, "reason": "faults"}
        await self.change("wallet.grant", "POST", f"/v1/players/{player}/wallet/grants", body, player=player)

    async def notify(self, player: str, number: int) -> None:
        """Write to a player."""
        body = {"kind": "faults.n", "title": f"Notice {number}", "data": {"n": number}}
        await self.change(
            "inbox.deliver", "POST", f"/v1/players/{player}/notices", body, player=player, notice=f"n{number}"
        )

    async def announce(self, text: str) -> None:
        """Tell everybody."""
        await self.change("announcement.make", "POST", "/v1/announcements", {"text": {"en": text}})

    async def define_board(self, board: str) -> None:
        """A board for the best score."""
        await self.change("leaderboard.define", "PUT", f"/v1/leaderboards/{board}", {}, board=board)
