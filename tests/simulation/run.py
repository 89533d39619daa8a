"""One simulated history: from a seed to the list of what happened.

python -m tests.simulation SEED          one seed, and what is wrong with it
python -m tests.simulation --seeds 1000  many, over all cores
"""

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from random import Random

import msgspec
from msgspec import Struct

from loadtest.history import AnyRecord
from tests.simulation.faults import Faults, Plan
from tests.simulation.final import finals
from tests.simulation.logs import quiet_logs
from tests.simulation.loop import SimulatedLoop
from tests.simulation.player import Player, Town
from tests.simulation.staff import Staff
from tests.simulation.world import World, seeded_tokens

NODES = 3
SOON_MS = 60_000  # timers due by then are waited for; those of days are not
UP_S = 5.0  # within which the nodes serve


class Size(Struct, frozen=True):
    """How much happens."""

    seconds: float = 60.0
    players: int = 30
    settle_s: float = 90.0
    """How long it may take until everything is at rest, once the faults are over."""


WHOLE = Size()


class Run(Struct, frozen=True):
    """What came of a seed."""

    seed: int
    records: list[AnyRecord]
    defects: list[str]
    """What the product itself complained of, and what nobody has caught."""
    plan: Plan
    turns: int

    @property
    def digest(self) -> str:
        """Of every byte of the history."""
        digest = blake2b(digest_size=12)
        for record in self.records:
            digest.update(msgspec.json.encode(record))
        return digest.hexdigest()


def simulate(seed: int, size: Size = WHOLE, plan: Plan | None = None) -> Run:
    """Run a seed's history, the same at every call."""
    loop = SimulatedLoop(Random(f"{seed}/scheduler"))
    defects: list[str] = []
    loop.on_defect = defects.append
    world = World(str(seed), loop)
    plan = plan or Plan.drawn(world.random("faults"), size.seconds)
    with seeded_tokens(world.random("tokens")), quiet_logs(defects, lambda: world.now_ms):
        try:
            loop.run_until_complete(_history(world, size, plan))
        finally:
            loop.close()
    return Run(seed, world.records, defects, plan, loop.turns)


async def _history(world: World, size: Size, plan: Plan) -> None:
    town = Town(size.players)
    players = [Player(world, town, name) for name in town.players]
    staff = Staff(world, town)
    world.wanted = NODES
    for _ in range(NODES):
        world.bring_up()
    await _until(world, lambda: all(member.gateway is not None for member in world.living), UP_S)
    await staff.define_boards()
    for player in players:
        world.loop.deliver(world.clients, player.random.random() * 3, player.live)
    faults = Faults(world, players, plan)
    working = asyncio.get_running_loop().create_task(staff.work())
    await faults.happen()
    await faults.end()
    town.busy = False
    done, _ = await asyncio.wait([working], timeout=size.settle_s)
    if not done:
        world.loop.on_defect(f"{world.now_ms} staff waits for an answer for ever")
    settled = await _until(world, lambda: _at_rest(world, players), size.settle_s)
    for record in finals(world, settled=settled):
        world.note(record)
    await world.end()


async def _until(world: World, holds: Callable[[], bool], seconds: float) -> bool:
    until = world.clock.monotonic() + seconds
    while world.clock.monotonic() < until:
        if holds():
            return True
        await world.clock.sleep(0.25)
    return holds()


def _at_rest(world: World, players: list[Player]) -> bool:
    """Whether nobody waits for anything, nothing is on its way, and everybody has heard everything."""
    if not all(player.at_rest for player in players):
        return False
    if world.store.rows("SELECT 1 FROM outbox WHERE failed IS NULL LIMIT 1"):
        return False
    if world.store.rows("SELECT 1 FROM timers WHERE due_ms < ? LIMIT 1", (world.clock.now_ms() + SOON_MS,)):
        return False
    newest = dict(world.store.rows("SELECT topic, seq FROM topics"))
    return all(
        newest.get(topic, 0) <= seq
        for player in players
        for topic, (_, seq) in player.session.cursors.for_hello().items()
        if player.follows(topic)
    )
