"""Several nodes of the runtime in one process: one store in memory, one bus, one clock that only the test moves.

Everything between them can fail: each node has its own way to the store (``store``), to the others (``bus``) and to the
clock (``clock``). ``pause`` is a stopped process, ``crash`` one that never comes back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from random import Random
from typing import Any, TypeVar

import msgspec

from actors.runtime import Answer, Blueprint, Caller, Feature, Node, NodeOptions, Outside, SessionRef, Ticket
from actors.runtime.context import Command, Follow
from actors.runtime.observer import RuntimeEvent
from actors.runtime.topics import Frame
from protocol import Message, Request, Wire, digest
from storage import NodeRow
from storage.bus import Receive
from storage.local_bus import LocalBus, LocalHub
from storage.local_ranks import LocalRanks
from tests.support.clock import ClockView, FakeClock, settle
from tests.support.memory_store import MemoryStore, StoreLink

E = TypeVar("E")
T = TypeVar("T")
LEASE_S = 10.0
OPTIONS = NodeOptions(lease_s=LEASE_S, verify=True)


class BusLink(LocalBus):
    """One node's way to the others: it can be ``cut``, and single messages lost, doubled or late."""

    def __init__(self, hub: LocalHub) -> None:
        super().__init__(hub)
        self.cut = False
        """Nothing goes out or comes in."""
        self.fate: Callable[[str, bytes], int] = lambda _channel, _payload: 1
        """How often a message that goes out arrives: 0 loses it, 2 doubles it."""
        self.kept: list[tuple[str, bytes]] | None = None
        """While it is a list, what goes out is kept here instead."""
        self.sent: list[str] = []
        """Channels of what went out, in order."""
        self._notices: list[Callable[[], None]] = []

    def publish(self, channel: str, payload: bytes) -> None:
        self.sent.append(channel)
        if self.cut:
            return
        if self.kept is not None:
            self.kept.append((channel, payload))
            return
        for _ in range(self.fate(channel, payload)):
            super().publish(channel, payload)

    async def subscribe_all(self, channels: Sequence[str], receive: Receive) -> None:
        def heard(payload: bytes) -> None:
            if not self.cut:
                receive(payload)

        await super().subscribe_all(channels, heard)

    def on_gap(self, notice: Callable[[], None]) -> None:
        self._notices.append(notice)

    def reconnect(self) -> None:
        """End a ``cut``, as after a lost connection."""
        self.cut = False
        for notice in self._notices:
            notice()

    def let_go(self, *, backwards: bool = False) -> None:
        """Send what was kept."""
        kept, self.kept = self.kept or [], None
        for channel, payload in reversed(kept) if backwards else kept:
            self.publish(channel, payload)


class Heard:
    """What becomes of a request."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    @property
    def answer(self) -> Answer | None:
        """The answer, once there is one."""
        assert len(self.answers) <= 1, "answered twice"
        return self.answers[0] if self.answers else None

    @property
    def reply(self) -> Any:
        """The reply; raises the refusal."""
        assert self.answer is not None, "not answered yet"
        if self.answer.error is not None:
            raise self.answer.error
        return self.answer.reply

    @property
    def code(self) -> str:
        """``ok``, the code of the refusal, or ``waiting``."""
        if self.answer is None:
            return "waiting"
        return "ok" if self.answer.error is None else self.answer.error.code


class Phone:
    """A session's connection: remembers the frames that the hub pushes (``Reader``)."""

    def __init__(self, player: str, wire: Wire = Wire.MSGPACK) -> None:
        self.player = player
        self.wire = wire
        self.locale = ""
        self.topics: set[str] = set()
        self.behind = False
        self.frames: list[dict[str, Any]] = []

    def push(self, piece: bytes, *, ephemeral: bool = False, replay: bool = False) -> None:
        while piece:
            size = int.from_bytes(piece[:4])
            decode = msgspec.msgpack.decode if self.wire.binary else msgspec.json.decode
            self.frames.append(decode(piece[4 : 4 + size]))
            piece = piece[4 + size :]

    def seqs(self, topic: str) -> list[int]:
        """Seqs of the topic's events, as they came."""
        return [frame["seq"] for frame in self.frames if frame["topic"] == topic and "seq" in frame]


class Member:
    """One node of the cluster and its links."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        self.name = name
        self.store = cluster.link_store(name)
        self.bus = cluster.link_bus(name)
        self.clock = cluster.view_clock(name)
        self.events: list[RuntimeEvent] = []
        """What the runtime has told its observer."""
        self.commands: list[Command] = []
        self.players: set[str] = set()
        """Who has a session here."""
        self.stopping = asyncio.Event()
        self.over = False
        """It was ended at once: how it takes that is of no interest."""
        self._armed: list[tuple[type[Any], asyncio.Future[Any]]] = []
        outside = Outside(
            store=self.store,
            bus=self.bus,
            ranks=cluster.ranks,
            clock=self.clock,
            random=cluster.random_of(name),
            observe=self._observe,
            frame=cluster.frame,
            digest=digest,
            shared_bus=True,
            epoch="e1",
        )
        self.node = Node(NodeRow(name, f"{name}:7350", draining=False), cluster.blueprint, outside, cluster.options)
        self.node.router.attach_sessions(self.commands.append, self.players.__contains__)

    # As a session would.
    def ask(self, request: Request[Any], caller: str = "ann", phone: Phone | None = None) -> Heard:
        """Have a request run; what it follows is followed by ``phone``."""
        heard = Heard()
        who = Caller(caller, "", SessionRef("s", self.name, "g"))

        def deliver(answer: Answer) -> None:
            if answer.ticket is not None:
                self._redeem(answer.ticket, answer, deliver, phone)
                return
            self._follow(answer, phone)
            heard.answers.append(answer)

        self.node.router.ask(request, who, deliver)
        return heard

    async def said(self, request: Request[Any], caller: str = "ann", phone: Phone | None = None) -> Any:
        """The reply to a request that needs no time to pass; raises its refusal."""
        heard = self.ask(request, caller, phone)
        await settle()
        return heard.reply

    def _redeem(self, ticket: Ticket, answer: Answer, deliver: Callable[[Answer], None], phone: Phone | None) -> None:
        follows = list(answer.follows)
        held = [follow for follow in follows if isinstance(follow, Follow)]
        for follow in held:
            self.node.hub.hold(follow)

        def redeemed(made: Answer) -> None:
            made.follows = follows if made.error is None else ()
            deliver(made)
            for follow in held:
                self.node.hub.let_go(follow)

        self.node.router.redeem(ticket, redeemed)

    def _follow(self, answer: Answer, phone: Phone | None) -> None:
        for follow in answer.follows:
            if phone is None:
                continue
            if isinstance(follow, Follow):
                self.node.hub.follow(phone, follow)
            else:
                self.node.hub.unfollow(phone, follow.topic)

    # As an observer would.
    def _observe(self, event: RuntimeEvent) -> None:
        self.events.append(event)
        for entry in [entry for entry in self._armed if isinstance(event, entry[0])]:
            self._armed.remove(entry)
            entry[1].set_result(event)

    def seen(self, kind: type[E]) -> list[E]:
        """Events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def expect(self, kind: type[E]) -> "asyncio.Future[E]":
        """The next event of a kind: to be armed before the action and awaited after it."""
        armed: asyncio.Future[E] = asyncio.get_running_loop().create_future()
        self._armed.append((kind, armed))
        return armed


class Cluster:
    """See the module. ``north = await cluster.start("north")`` brings a node up."""

    def __init__(
        self, features: Sequence[Feature[Any]], options: NodeOptions = OPTIONS, clock: FakeClock | None = None
    ) -> None:
        self.blueprint = Blueprint(features)
        self.options = options
        self.clock = clock or FakeClock()
        self.database_clock = ClockView(self.clock)
        """What leases are judged by."""
        self.store = self.make_store()
        self.hub = self.make_hub()
        self.ranks = LocalRanks()
        self.frame: Frame = _frame
        self.members: dict[str, Member] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._group: asyncio.TaskGroup | None = None

    # What nodes share and are given; another world has it made of other things (tests/simulation).
    def make_store(self) -> MemoryStore:
        """The store."""
        return MemoryStore(self.blueprint.migrations(), self.database_clock.now_ms)

    def make_hub(self) -> LocalHub:
        """The bus."""
        return LocalHub()

    def link_store(self, _name: str) -> StoreLink:
        """A node's way to the store."""
        return StoreLink(self.store)

    def link_bus(self, _name: str) -> BusLink:
        """A node's way to the others."""
        return BusLink(self.hub)

    def view_clock(self, _name: str) -> ClockView:
        """A node's clock."""
        return ClockView(self.clock)

    def random_of(self, name: str) -> Random:
        """A node's dice."""
        return Random(name)

    async def start(self, name: str) -> Member:
        """A node that serves, known to the others."""
        return await self.add(Member(self, name))

    async def add(self, member: Member) -> Member:
        """``start`` for one that was made, and whose clock or links may have been changed."""
        assert self._group is not None, "the cluster is not running"
        name = member.name
        self.members[name] = member
        self._tasks[name] = self._group.create_task(serve(member), name=name)
        await settle()
        assert member.node.membership.serving, f"{name} does not serve"
        if len(self.members) > 1:
            await self.clock.advance(LEASE_S / 2)  # the others renew, and see it
        return member

    async def stop(self, member: Member) -> None:
        """End a node in good order."""
        member.stopping.set()
        task = self._tasks[member.name]
        for _ in range(100):
            await settle()
            if task.done():
                del self._tasks[member.name]
                return
            await self.clock.advance(0.1)
        raise AssertionError(f"{member.name} does not end")

    def drain(self, member: Member) -> asyncio.Task[bool]:
        """Have a node hand over what it has; its gateway, where there is one, is not told."""
        return self.begin(member.node.drain(5.0))

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something beside the test; it is ended with the cluster."""
        assert self._group is not None, "the cluster is not running"
        task = self._group.create_task(work)
        self._tasks[f"work {len(self._tasks)}"] = task
        return task

    def pause(self, member: Member) -> None:
        """Stop a node as SIGSTOP does, at the next point at which it would wait; nothing reaches or leaves it."""
        member.clock.pause()
        member.bus.cut = True

    def resume(self, member: Member) -> None:
        """Let a paused node go on where it was."""
        member.bus.cut = False
        member.clock.resume()

    def crash(self, member: Member) -> None:
        """End a node at once: nothing that it was about to do happens."""
        member.store.down = True
        member.bus.cut = True
        member.clock.pause()
        member.over = True
        self._tasks[member.name].cancel()

    async def pass_lease(self) -> None:
        """Let a silent node's lease run out, and the others notice."""
        await self.clock.advance(LEASE_S + 1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Cluster"]:
        """Until the end of the block; nodes that still run then are ended at once."""
        with closing(self.store):
            async with asyncio.TaskGroup() as self._group:
                try:
                    yield self
                finally:
                    await self._end()

    async def _end(self) -> None:
        for member in self.members.values():
            member.over = member.store.down = True
            member.clock.resume()
        while left := [task for task in self._tasks.values() if not task.done()]:
            for task in left:
                task.cancel()  # again while a part of it still wants to end in good order
            await settle()


async def serve(member: Member) -> None:
    """Run the node until it is told to stop."""
    try:
        async with member.bus.running(), member.node.running():
            await member.stopping.wait()
    except BaseExceptionGroup:
        if not member.over:
            raise


def _frame(wire: Wire, message: Message | bytes) -> bytes:
    if isinstance(message, bytes):
        payload = message
    else:
        payload = msgspec.msgpack.encode(message) if wire.binary else msgspec.json.encode(message)
    return len(payload).to_bytes(4) + payload
