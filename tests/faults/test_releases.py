"""Nodes are replaced by those of newer releases (builds/), and by the older ones again, while everybody plays.

What only a newer release knows is in three places that have to agree: a field of an older slice, a slice of its own,
and rows of a table of its own (builds/notebook.py).
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.faults.conftest import Report
from tests.faults.experiment import BACK_S, BUSY_S, Cluster, Experiment
from tests.faults.finals import ask
from tests.faults.town import Town
from tests.support.crowd import ANSWER_S
from tests.support.nodes import NodeProcess

pytestmark = [pytest.mark.timeout(300), pytest.mark.faults]
THIS = "server"
EXPANDING = "tests.faults.builds.expanding"
RAISING = "tests.faults.builds.raising"
ALONE_S = 2.0  # in which every node is of one release
WITHIN_S = 150.0  # for nine nodes to be replaced, on a machine whose cores others use too
WAIT_S = ANSWER_S + BACK_S + BUSY_S
"""Of one who met a node at its end: the client gives its connection up, and then it is as after a death."""
SLICES = "SELECT slice, actor, schema_no, body FROM slices WHERE slice IN ('wallet', 'guild', 'notebook')"
NOTES = "SELECT actor, COUNT(*), MAX(number) FROM notebook_notes GROUP BY actor"


async def replace(nodes: Sequence[NodeProcess], module: str) -> None:
    """Drain one after the other and start it anew as another build; then play on for a while."""
    for node in nodes:
        assert await asyncio.to_thread(node.terminate) == 0
        node.module = module
        await asyncio.to_thread(node.start)
    await asyncio.sleep(ALONE_S)


class Held:
    """What the database holds of what only newer releases know, at a moment at which none of them writes."""

    def __init__(self, slices: list[tuple[Any, ...]], notes: list[tuple[Any, ...]]) -> None:
        self.fields: dict[str, int] = {}
        """The new field of each actor's older slice."""
        self.books: dict[str, int] = {}
        """The new slice of each actor."""
        self.rows = {actor: highest for actor, _, highest in notes}
        """The new table."""
        self.wallets: dict[str, bytes] = {}
        self.schemas: set[int] = set()
        """Of all wallets."""
        assert all(rows == highest for _, rows, highest in notes), "a number is missing"
        for name, actor, schema, body in slices:
            plain = msgspec.msgpack.decode(body)
            match name:
                case "notebook":
                    self.books[actor] = plain["notes"]
                case "wallet":
                    self.schemas.add(schema)
                    self.wallets[actor] = body
                    self._count(actor, plain)
                case _:
                    self._count(actor, *plain["members"].values())

    @property
    def notes(self) -> int:
        """All of them."""
        return sum(self.rows.values())

    def _count(self, actor: str, *holders: dict[str, Any]) -> None:
        if noted := sum(holder.get("noted", 0) for holder in holders):
            self.fields[actor] = noted

    def require_whole(self) -> None:
        """Each note is in all three places, of players and of guilds."""
        assert self.fields == self.books == self.rows
        assert {actor.partition(":")[0] for actor in self.rows} == {"player", "guild"}


async def held(cluster: Cluster) -> Held:
    """As it is now."""
    return Held(await ask(cluster.store, SLICES), await ask(cluster.store, NOTES))


async def require_served(town: Town, *, newer: bool) -> None:
    """A request of the newer release is answered by its nodes, and refused by those that do not know it."""
    reply = await town.players[0].ask("notebook.show")
    assert reply["t"] == ("notebook.shown" if newer else "error"), reply


async def test_the_next_release_comes_goes_and_comes_again(cluster: Cluster, tmp_path: Path, report: Report) -> None:
    await cluster.add_more(3)
    experiment = Experiment(cluster, tmp_path, within_s=WITHIN_S)
    before = Held([], [])

    async def come_and_go(town: Town) -> None:
        nonlocal before
        await replace(cluster.nodes, EXPANDING)
        await require_served(town, newer=True)
        await replace(cluster.nodes, THIS)
        await require_served(town, newer=False)
        before = await held(cluster)
        before.require_whole()
        await asyncio.sleep(ALONE_S)
        after = await held(cluster)
        after.require_whole()
        assert after.rows == before.rows
        assert sum(after.wallets[a] != before.wallets[a] for a in after.fields if a in after.wallets) > 0
        await replace(cluster.nodes, EXPANDING)
        await require_served(town, newer=True)

    measured = await experiment.run("the next release comes, goes, and comes again: 9 nodes are replaced", come_and_go)

    report(measured)
    last = await held(cluster)
    last.require_whole()
    assert all(last.rows[actor] >= number for actor, number in before.rows.items())
    assert last.notes > before.notes
    assert measured.silence_s < WAIT_S
    assert cluster.logged("actor.left_to_newer") == 0


async def test_a_release_with_a_new_form_comes_and_goes(cluster: Cluster, tmp_path: Path, report: Report) -> None:
    """The one before can read it."""
    await cluster.add_more(3, module=EXPANDING)
    experiment = Experiment(cluster, tmp_path, within_s=WITHIN_S)
    schemas = set()

    async def come_and_go(_: Town) -> None:
        await replace(cluster.nodes, RAISING)
        schemas.update((await held(cluster)).schemas)
        await replace(cluster.nodes, EXPANDING)

    measured = await experiment.run("a release that writes a slice in a new form comes, and is taken back", come_and_go)

    report(measured)
    (await held(cluster)).require_whole()
    assert schemas == {1, 2}
    assert measured.silence_s < WAIT_S
    assert cluster.logged("actor.left_to_newer") == 0


async def test_actors_in_a_form_that_a_node_cannot_read_are_left_to_others(
    cluster: Cluster, tmp_path: Path, report: Report
) -> None:
    """A release is left out: its successor's nodes run beside one that cannot read what they write."""
    await cluster.add_more(3)
    experiment = Experiment(cluster, tmp_path, within_s=WITHIN_S)

    async def leap(_: Town) -> None:
        first, second, older = cluster.nodes
        await replace([first, second], RAISING)
        await replace([older], THIS)  # its players are now on the newer ones
        await replace([first, second], RAISING)  # and on the older one again
        assert cluster.logged("actor.left_to_newer") > 0
        await replace([older], RAISING)

    measured = await experiment.run("a release is left out: a node cannot read what the newer ones write", leap)

    report(measured)
    (await held(cluster)).require_whole()
    cluster.logged("")
