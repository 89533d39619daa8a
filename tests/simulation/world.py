"""The simulated world: nodes with their gateways, the database and the bus between them, and the tokens they make up.

One ``Cluster`` (tests/support/cluster.py) whose store, bus and clocks are simulated, and whose members are processes of
the simulated loop: a pause or a crash takes hold between any two of their callbacks.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from random import Random
from typing import Any
from unittest import mock

from actors.runtime import NodeOptions
from actors.runtime.host import HostOptions
from actors.runtime.meters import Meters
from actors.runtime.router import RouterOptions
from loadtest.history import AnyRecord, Committed
from protocol import Codec, Limits, Request
from server.auth import Tokens
from server.config import Auth
from server.config import Gateway as GatewayConfig
from server.config import Limits as LimitsConfig
from server.features import FEATURES
from server.framing import frame
from server.gateway import Gateway, GatewayParts
from server.lifetime import drain
from server.node_limits import NodeLimits
from server.welcome import WelcomeOptions, Welcomer
from storage import ActorWrite
from tests.runtime.rooms import counter, purse
from tests.simulation.bus import SimulatedBusLink, SimulatedHub
from tests.simulation.clocks import NodeClock, WorldClock
from tests.simulation.line import Line
from tests.simulation.locks import RowLocks
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.store import SimulatedStore, SimulatedStoreLink
from tests.support.cluster import Cluster, Member, serve

LEASE_S = 3.0
HEARTBEAT_S = 4.0  # so that what is half-open is noticed within the minute
OPTIONS = NodeOptions(
    lease_s=LEASE_S,
    lanes=2,
    host=HostOptions(idle_s=8.0),
    router=RouterOptions(deadline_s=LEASE_S + 5.0),
)
SERVICES = sum(feature.service is not None for feature in FEATURES)
NO_LIMITS = LimitsConfig(enabled="off")
GATEWAY = GatewayConfig(heartbeat_s=HEARTBEAT_S, reconnect_spread_s=2.0)
TOKEN_MAKERS = (
    "server.welcome.token_urlsafe",
    "server.gateway.token_urlsafe",
    "actors.leaderboards.keeper.token_hex",
    "actors.broadcasts.crier.token_hex",
)
"""Where the product makes ids that nobody may guess; here they are the seed's."""


class SimulatedMember(Member):
    """A node with its gateway, in a process of its own."""

    store: SimulatedStoreLink
    bus: SimulatedBusLink
    clock: NodeClock

    def __init__(self, world: "World", name: str) -> None:
        self.process = Process(name)
        self.lines: list[Line] = []
        self.gateway: Gateway | None = None
        """None while the node is coming up."""
        self._drained: asyncio.Task[None] | None = None
        world.coming = self
        self._world = world
        super().__init__(world, name)

    async def live(self) -> None:
        """Be a node until it is told to stop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(self), name="node")
            while not self.node.membership.serving or len(self.node.reach.services) < SERVICES:
                await self.clock.sleep(0.02)
            self.gateway = _gateway(self)
        self.leave()

    def leave(self) -> None:
        """The process has ended: its connections end with it."""
        self.over = True
        for line in self.lines:
            if not line.over:
                line.cut(client_told=True, gateway_told=False)
        self._world.retire(self)

    @property
    def leaving(self) -> bool:
        """Whether it takes nobody in any more."""
        return self._drained is not None

    def drain(self) -> None:
        """Leave in good order, as after SIGTERM."""
        self._drained = self.process.context.run(asyncio.get_running_loop().create_task, self._drain())

    async def _drain(self) -> None:
        assert self.gateway is not None
        await drain(self.node, self.gateway, 2.0)
        self.stopping.set()


class World(Cluster):
    """See the module."""

    store: SimulatedStore
    hub: SimulatedHub
    clock: WorldClock

    def __init__(self, seed: str, loop: SimulatedLoop) -> None:
        self.seed = seed
        self.loop = loop
        self.database = Process("database")
        self.clients = Process("clients")
        self.records: list[AnyRecord] = []
        self.coming: SimulatedMember | None = None
        self.nodes: list[SimulatedMember] = []
        """All that there ever were."""
        super().__init__((*FEATURES, counter, purse), OPTIONS, WorldClock(loop))
        self.frame = frame
        self._ending = False
        self.wanted = 0
        """Nodes that there should be."""

    def random(self, what: str) -> Random:
        """Dice of their own for every part, so that none disturbs another's."""
        return Random(f"{self.seed}/{what}")

    @property
    def now_ms(self) -> int:
        """The right time since the beginning, in milliseconds."""
        return int(self.loop.time() * 1000)

    def note_blocked(self, player: str, code: int, reason: str) -> None:
        """A player was sent away for good, which nothing here asks for."""
        self.loop.on_defect(f"{self.now_ms} {player} is blocked: {code} {reason}")

    def note(self, record: AnyRecord) -> None:
        """Add to the history."""
        self.records.append(record)

    # What nodes share and are given.
    def make_store(self) -> SimulatedStore:
        locks = RowLocks(lambda circle: self.loop.on_defect(f"{self.now_ms} deadlock: {circle}"))
        return SimulatedStore(self.blueprint.migrations(), self.database_clock.now_ms, self._applied, locks)

    def make_hub(self) -> SimulatedHub:
        return SimulatedHub(self.loop, self.random("hub"))

    def link_store(self, name: str) -> SimulatedStoreLink:
        return SimulatedStoreLink(self.store, self.database, self.loop, self._process(), self.random(f"{name}/store"))

    def link_bus(self, name: str) -> SimulatedBusLink:
        return SimulatedBusLink(self.hub, self._process(), self.random(f"{name}/bus"))

    def view_clock(self, name: str) -> NodeClock:
        return NodeClock(self.clock, self.random(f"{name}/clock").random() * 1000)

    def random_of(self, name: str) -> Random:
        return self.random(f"{name}/dice")

    def _process(self) -> Process:
        assert self.coming is not None
        return self.coming.process

    def _applied(self, node: str, write: ActorWrite) -> None:
        events = [(event.topic, event.seq) for event in write.events]
        self.note(Committed(self.now_ms, node, write.actor, write.fence, write.version + 1, events))

    # Nodes.
    def bring_up(self) -> SimulatedMember:
        """Start a node; it serves when its gateway is there."""
        name = f"n{len(self.nodes)}"
        member = SimulatedMember(self, name)
        self.members[name] = member
        self.nodes.append(member)
        task = member.process.context.run(self.loop.create_task, member.live())
        self._tasks[name] = task
        return member

    @property
    def living(self) -> list[SimulatedMember]:
        """Nodes whose process exists, paused or not."""
        return [member for member in self.nodes if not member.process.dead]

    @property
    def staying(self) -> list[SimulatedMember]:
        """Those of them that have not been told to leave."""
        return [member for member in self.living if not member.leaving]

    def halt(self, member: SimulatedMember) -> None:
        """Stop a node as SIGSTOP does, where it is."""
        member.process.paused = True

    def go_on(self, member: SimulatedMember) -> None:
        """Let a stopped node go on where it was."""
        self.loop.resume(member.process)

    def kill(self, member: SimulatedMember, *, silently: bool) -> None:
        """End a node as SIGKILL does; ``silently`` as a machine does that has lost its power."""
        if member.process.dead or self._ending:
            return
        member.over = True
        self.loop.kill(member.process)
        for line in member.lines:
            if not line.over:
                line.cut(client_told=not silently, gateway_told=False)

    def retire(self, member: SimulatedMember) -> None:
        """A node's process has ended by itself."""
        if not self._ending:
            self.loop.kill(member.process)

    def dial(self, random: Random) -> SimulatedMember:
        """The node that a load balancer sends a new connection to."""
        staying = self.staying or self.nodes
        return staying[int(random.random() * len(staying))]

    async def end(self) -> None:
        """End everything, dead or alive, so that nothing is left that Python would complain of."""
        self.loop.on_defect = lambda _what: None
        self._ending = True
        for member in self.nodes:
            member.over = member.store.down = True
            self.loop.raise_up(member.process)
        while left := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            for task in left:
                task.cancel()
            await asyncio.sleep(1.0)
        self.store.close()


def _gateway(member: SimulatedMember) -> Gateway:
    node, clock = member.node, member.clock
    meters = Meters()
    limits = NodeLimits(NO_LIMITS, meters, Random(node.name))
    welcomer = Welcomer(
        node=node.name,
        router=node.router,
        hub=node.hub,
        replica=node.reach.replica,
        tokens=Tokens(Auth(dev=True), clock),
        clock=clock,
        limits=limits,
        options=WelcomeOptions(
            heartbeat_ms=int(HEARTBEAT_S * 1000),
            limits=Limits(message_bytes=GATEWAY.message_bytes, text_chars=2000, requests_per_s=30),
            replay=GATEWAY.resume_events,
        ),
    )
    parts = GatewayParts(
        node=node,
        codec=_codec(tuple(node.blueprint.requests)),
        welcomer=welcomer,
        limits=limits,
        meters=meters,
        clock=clock,
        random=Random(node.name),
        dev=True,
        log_requests=False,
    )
    return Gateway(GATEWAY, parts)


@cache
def _codec(requests: tuple[type[Request[Any]], ...]) -> Codec:
    """One for all nodes of all worlds: it has no state, and takes 20 ms to make."""
    return Codec(requests)


@contextmanager
def seeded_tokens(random: Random) -> Iterator[None]:
    """Have the ids that the product makes up come from the seed."""

    def token(size: int = 16) -> str:
        return f"{random.getrandbits(8 * size):0{2 * size}x}"

    with ExitStack() as patched:
        for name in TOKEN_MAKERS:
            patched.enter_context(mock.patch(name, token))
        yield
