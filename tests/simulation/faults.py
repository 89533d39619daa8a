"""What goes wrong: drawn from the seed before anything happens, and done at its time.

A plan is data, so that a failing one can be read, and cut down by leaving faults out.
"""

from collections.abc import Callable, Sequence
from random import Random

from msgspec import Struct

from tests.simulation.bus import BusTrouble
from tests.simulation.echo import Echo
from tests.simulation.player import Player
from tests.simulation.store import StoreTrouble
from tests.simulation.world import LEASE_S, SimulatedMember, World

QUIET_S = 6.0  # from the beginning, in which everybody comes and nothing fails
FUSE = 300  # callbacks of a process within which a crash or a pause takes hold


class Fault(Struct, frozen=True):
    """At ``at`` seconds something happens to node or player ``whom`` (counted through), for ``seconds``."""

    at: float
    kind: str
    whom: int = 0
    seconds: float = 0.0
    how: float = 0.0
    """What else is to be chosen: 0 to below 1."""


class Plan(Struct, frozen=True):
    """Everything that goes wrong in one history. ``doubles``: how likely a request is sent twice."""

    seconds: float
    faults: Sequence[Fault] = ()
    doubles: float = 0.0

    @classmethod
    def drawn(cls, random: Random, seconds: float) -> "Plan":
        """One of the many: from few kinds of faults to all of them, from one now and then to one after the other."""
        kinds = list(KINDS) if random.random() < 0.5 else random.sample(list(KINDS), random.randrange(1, 5))
        weights = [KINDS[kind] for kind in kinds]
        pause_s = random.choice([1.5, 3.0, 6.0])
        faults, at = [], QUIET_S + random.random() * pause_s
        while at < seconds:
            kind = random.choices(kinds, weights)[0]
            faults.append(Fault(at, kind, random.randrange(1000), _length(random), random.random()))
            at += random.expovariate(1 / pause_s)
        return cls(seconds, tuple(faults), random.choice([0.0, 0.0, 0.1, 0.5, 1.0]))


def _length(random: Random) -> float:
    """Seconds: as often shorter than a lease as longer."""
    return random.choice([0.05, 0.5, LEASE_S / 2, LEASE_S, 2 * LEASE_S, 3 * LEASE_S]) * (0.5 + random.random())


KINDS = {
    "crash": 3.0,
    "pause": 3.0,
    "drain": 1.0,
    "store": 3.0,
    "store_away": 1.5,
    "outage": 0.7,
    "bus": 3.0,
    "bus_away": 1.5,
    "clock": 1.0,
    "jump": 0.5,
    "drop": 4.0,
    "half_open": 2.0,
    "drop_all": 0.5,
    "echo": 2.0,
    "give_up": 1.0,
    "flush": 0.3,
}
"""Every kind, and how often it comes beside others."""


class Faults:
    """Has the plan happen."""

    def __init__(self, world: World, players: Sequence[Player], plan: Plan) -> None:
        self._world = world
        self._players = players
        self._plan = plan
        self._random = world.random("what a fault chooses")
        self._over: list[Callable[[], None]] = []
        """What ends the faults that have not ended by themselves."""

    async def happen(self) -> None:
        """Until the plan is over."""
        for player in self._players:
            player.doubles = self._plan.doubles
        clock = self._world.clock
        for fault in self._plan.faults:
            await clock.sleep(fault.at - clock.monotonic())
            getattr(self, f"_{fault.kind}")(fault)
        await clock.sleep(self._plan.seconds - clock.monotonic())

    async def end(self) -> None:
        """Mend everything; dead nodes stay dead, but there are as many living as in the beginning."""
        for mend in self._over:
            mend()
        for player in self._players:
            player.doubles = 0.0
        for member in self._world.living:
            self._world.go_on(member)
            member.process.fuse = 0
            member.clock.ahead_ms = 0
        self._replace()

    def _for(self, seconds: float, mend: Callable[[], None]) -> None:
        self._over.append(mend)
        self._world.loop.call_later(seconds, mend)

    def _node(self, fault: Fault) -> SimulatedMember | None:
        living = [member for member in self._world.living if member.gateway is not None]
        return living[fault.whom % len(living)] if living else None

    # Nodes.
    def _crash(self, fault: Fault) -> None:
        member = self._node(fault)
        if member is None or member.process.fuse:
            return

        def die() -> None:
            if member.process.dead:
                return
            self._world.kill(member, silently=fault.how < 0.3)
            self._world.loop.deliver(self._world.loop.outside, self._random.random() * 3, self._replace)

        member.process.blown = die
        member.process.fuse = 1 + int(fault.how * FUSE)
        self._world.loop.call_later(1.0, die)

    def _replace(self) -> None:
        while len(self._world.staying) < self._world.wanted:
            self._world.bring_up()

    def _pause(self, fault: Fault) -> None:
        member = self._node(fault)
        if member is None or member.process.fuse:
            return
        member.process.blown = lambda: self._world.halt(member)
        member.process.fuse = 1 + int(fault.how * FUSE)
        self._for(fault.seconds + 0.5, lambda: self._world.go_on(member))

    def _drain(self, fault: Fault) -> None:
        member = self._node(fault)
        if member is not None and not member.process.fuse and len(self._world.staying) > 1:
            member.drain()
            self._world.loop.call_later(2 + self._random.random() * 3, self._replace)

    def _clock(self, fault: Fault) -> None:
        member = self._node(fault)
        if member is not None:
            member.clock.ahead_ms += int((fault.how - 0.5) * self._random.choice([2_000, 20_000]))

    def _jump(self, fault: Fault) -> None:
        """The database's clock: leases run out, and their nodes do not know."""
        self._world.database_clock.ahead_ms += int(fault.seconds * 1000)

    def _give_up(self, fault: Fault) -> None:
        member = self._node(fault)
        if member is not None:
            addresses = list(member.node.host.activations)
            for address in addresses[fault.whom % 3 :: 3]:
                member.process.context.run(member.node.host.give_up, address)

    # Around them.
    def _store(self, fault: Fault) -> None:
        member, dice = self._node(fault), self._random
        if member is not None:
            member.store.trouble = StoreTrouble(
                refused=dice.choice([0, 0.1, 0.4]),
                unanswered=dice.choice([0, 0.1, 0.4]),
                late=dice.choice([0, 0.05, 0.2]),
                slow=dice.choice([0, 0.05, 0.3]),
            )
            self._for(fault.seconds * 2, lambda: _clear_store(member))

    def _store_away(self, fault: Fault) -> None:
        member = self._node(fault)
        if member is not None:
            member.store.down = True
            self._for(fault.seconds, lambda: _clear_store(member))

    def _outage(self, fault: Fault) -> None:
        for member in self._world.living:
            member.store.down = True
            self._for(fault.seconds, lambda m=member: _clear_store(m))  # type: ignore[misc]

    def _bus(self, fault: Fault) -> None:
        hub, dice = self._world.hub, self._random
        hub.trouble = BusTrouble(
            lost=dice.choice([0, 0.02, 0.3]), doubled=dice.choice([0, 0.3]), late=dice.choice([0, 0.05, 0.3])
        )
        self._for(fault.seconds * 2, self._clear_bus)

    def _clear_bus(self) -> None:
        self._world.hub.trouble = BusTrouble()

    def _bus_away(self, fault: Fault) -> None:
        member = self._node(fault)
        if member is not None:
            member.bus.lose_connection()
            self._for(fault.seconds, lambda: self._reconnect(member))

    def _reconnect(self, member: SimulatedMember) -> None:
        """In the node's own process: it may be stopped, or dead."""
        self._world.loop.deliver(member.process, 0.0, member.bus.reconnect)

    def _flush(self, _fault: Fault) -> None:
        self._world.ranks._tables.clear()

    # Clients.
    def _drop(self, fault: Fault) -> None:
        for player in self._some(fault, 1 + int(fault.how * 6)):
            if player.line is not None:
                player.line.cut(client_told=True, gateway_told=self._random.random() < 0.7)

    def _half_open(self, fault: Fault) -> None:
        for player in self._some(fault, 1 + int(fault.how * 4)):
            if player.line is not None:
                player.line.cut(client_told=False, gateway_told=self._random.random() < 0.3)

    def _echo(self, fault: Fault) -> None:
        for player in self._some(fault, 1 + int(fault.how * 5)):
            echo = player.echo = Echo(self._world, player.name)
            self._for(fault.seconds * 3, echo.leave)

    def _drop_all(self, _fault: Fault) -> None:
        for player in self._players:
            if player.line is not None:
                player.line.cut(client_told=True, gateway_told=self._random.random() < 0.5)

    def _some(self, fault: Fault, count: int) -> list[Player]:
        start = fault.whom % len(self._players)
        return [self._players[(start + n) % len(self._players)] for n in range(count)]


def _clear_store(member: SimulatedMember) -> None:
    member.store.down = False
    member.store.trouble = StoreTrouble()
