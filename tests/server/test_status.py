"""What ``/readyz`` says of a node whose store is away or slow."""

from collections.abc import AsyncIterator
from random import Random

import pytest

from actors.runtime.commit import LATELY_S
from actors.runtime.meters import Meters
from server.shedding import Shedder, SheddingLimits
from server.status import SLOW_S, Status
from tests.runtime.rooms import ALL, Add
from tests.support.clock import settle
from tests.support.cluster import LEASE_S, Cluster, Member


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Without nodes."""
    async with Cluster(ALL).running() as running:
        yield running


@pytest.fixture
async def node(cluster: Cluster) -> Member:
    """A node that serves."""
    return await cluster.start("north")


@pytest.fixture
def shedder() -> Shedder:
    """Of that node."""
    return Shedder(SheddingLimits(), Meters(), Random(1))


@pytest.fixture
def status(node: Member, shedder: Shedder) -> Status:
    """Of that node."""
    made = Status(shedder)
    made.node, made.bus, made.starting = node.node, node.bus, ""
    return made


async def test_a_node_that_is_well_has_nothing_to_say(node: Member, status: Status) -> None:
    await node.said(Add(id="1"))

    assert (status.reasons(), status.notes()) == ([], [])


async def test_a_slow_store_is_told_while_it_is_slow_and_sends_nobody_elsewhere(
    cluster: Cluster, node: Member, status: Status
) -> None:
    for n in range(3):
        with node.store.holding("commit"):
            node.ask(Add(id=f"{n}"))
            await cluster.clock.advance(2 * SLOW_S)
            assert status.notes() == ["the store is slow: a commit takes 2.0 s"], "under way"
        await settle()
        assert status.notes() == ["the store is slow: a commit takes 2.0 s"], "between two"
    assert status.reasons() == []

    await node.said(Add(id="fast"))
    assert status.notes() == []


async def test_what_was_slow_long_ago_is_forgotten(cluster: Cluster, node: Member, status: Status) -> None:
    with node.store.holding("commit"):
        node.ask(Add(id="1"))
        await cluster.clock.advance(2 * SLOW_S)
    await cluster.clock.advance(LATELY_S)

    assert status.notes() == []


async def test_a_store_that_is_away_is_a_reason_until_it_is_back(
    cluster: Cluster, node: Member, status: Status
) -> None:
    await node.said(Add(id="0"))
    node.store.down = True
    asked = node.ask(Add(id="1"))
    await cluster.clock.advance(1)
    assert status.reasons() == ["the store does not answer"]
    await cluster.clock.advance(LEASE_S)
    assert "this node has lost its lease" in status.reasons()

    node.store.down = False
    await cluster.clock.advance(LEASE_S)
    await node.said(Add(id="2"))
    assert status.reasons() == []
    assert asked.code == "unavailable"


async def test_a_node_that_sheds_says_what_it_turns_away_until_it_is_calm(status: Status, shedder: Shedder) -> None:
    for now in (1.0, 1.25):
        shedder.observe(now, 0.6)
    assert status.reasons() == ["this node has too much to do and takes no new sign-ins"]

    for now in range(10, 20):
        shedder.observe(now, 0.0)
    assert status.reasons() == []
