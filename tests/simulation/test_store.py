"""What the simulated database makes of a node that falls silent in the middle of a transaction."""

import asyncio
from random import Random

import pytest

from storage import Outcome, Snapshot, StoreDown
from storage.mysql_link import TRANSACTION_IDLE_S
from tests.conformance.nodes import alive, committed, note, taken
from tests.simulation.locks import RowLocks
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.store import SimulatedStore, SimulatedStoreLink

LEASE_S = 0.02  # over soon, and long enough for the commit to lock its row
ON_ITS_WAY_S = 0.0001  # a call has been sent and has not arrived


class Town:
    """A database and two nodes that ask it."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.loop = loop
        self.north, self.south = Process("north"), Process("south")
        store = SimulatedStore({}, lambda: int(loop.time() * 1000), lambda _node, _write: None, RowLocks(pytest.fail))
        server = Process("database")
        self.of_north, self.of_south = (
            SimulatedStoreLink(store, server, loop, node, Random(node.name)) for node in (self.north, self.south)
        )

    def stop(self, seconds: float) -> None:
        """Have the northern node stop when its next call is on its way, for so long."""
        self.loop.call_later(ON_ITS_WAY_S, setattr, self.north, "paused", True)
        self.loop.call_later(seconds, self.loop.resume, self.north)


@pytest.mark.parametrize(("paused_s", "applied"), [(TRANSACTION_IDLE_S / 2, True), (TRANSACTION_IDLE_S * 2, False)])
def test_a_silent_node_holds_its_rows_for_a_while_and_is_rolled_back(paused_s: float, applied: bool) -> None:
    loop = SimulatedLoop(Random(1))
    town = Town(loop)

    async def history() -> tuple[bool, float, Snapshot]:
        await alive(town.of_north, "north", lease_s=LEASE_S)
        held = await taken(town.of_north, "guild:42")
        commit = town.north.context.run(loop.create_task, committed(town.of_north, held, slices=note("x")))
        town.stop(paused_s)
        started = loop.time()
        await asyncio.sleep(LEASE_S)
        (seen,) = await town.of_south.claim("south", ["guild:42"])
        waited = loop.time() - started
        assert isinstance(seen, Snapshot)
        try:
            done = await commit is Outcome.DONE
        except StoreDown:
            done = False
        return done, waited, seen

    done, waited, seen = loop.run_until_complete(loop.outside.context.run(loop.create_task, history()))
    loop.close()

    assert done is applied
    assert seen.version == int(applied)
    assert waited == pytest.approx(TRANSACTION_IDLE_S, abs=0.1)
