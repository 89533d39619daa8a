"""Looking into an actor, above all into one that is not well."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from actors.runtime.activation import DEFECTS
from protocol import Quarantined
from server.inspection import NothingKept, inspect
from tests.runtime.reaching import Buy, errand
from tests.runtime.rooms import ALL, Add, Break, Order, Wind
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """Not rendered, which for a traceback would read files on the loop."""
    with capture_logs():
        yield


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Without nodes."""
    async with Cluster((*ALL, errand)).running() as running:
        yield running


@pytest.fixture
async def north(cluster: Cluster) -> Member:
    """A node that serves."""
    return await cluster.start("north")


async def test_it_shows_what_is_kept(cluster: Cluster, north: Member) -> None:
    await north.said(Add(id="1", by=3))
    await north.said(Wind(id="2", in_s=600))
    found = await inspect(cluster.store, cluster.blueprint, "counter:a")

    assert (found["owner"], found["version"]) == ("north", 2)
    assert found["slices"] == {"counter": {"schema": 1, "state": {"value": 3, "rings": []}}}
    assert {(op["op"], op["reply"]) for op in found["ops"]} == {("1", "counter.counted"), ("2", "counter.counted")}
    assert [(timer["name"], timer["message"]) for timer in found["timers"]] == [("alarm", "counter.rang")]


async def test_of_what_cannot_be_read_it_shows_the_bytes_and_the_rest_as_ever(cluster: Cluster, north: Member) -> None:
    """It failed with the very snapshot that it was to be looked at for."""
    await north.said(Add(id="1"))
    await cluster.clock.advance(400)
    cluster.store._db.execute("UPDATE slices SET body = x'c1ff'")
    with pytest.raises(Quarantined, match="cannot be loaded"):
        await north.said(Add(id="2"))
    found = await inspect(cluster.store, cluster.blueprint, "counter:a")

    assert found["slices"] == {"counter": {"schema": 1, "unreadable": "c1ff"}}
    assert [op["op"] for op in found["ops"]] == ["1"]


async def test_an_op_without_a_reply_yet_is_shown_as_what_it_is(cluster: Cluster, north: Member) -> None:
    """One whose reply is still to be fetched once made the whole look fail."""
    north.node.host.open("purse:silent").quarantine("for the test")
    north.ask(Order(id="waits", via="silent"))
    north.ask(Buy(id="fetched"))
    await settle()
    deferred = await inspect(cluster.store, cluster.blueprint, "purse:a")
    fetched = await inspect(cluster.store, cluster.blueprint, "errand:a")

    assert {op["op"]: op["reply"] for op in (*deferred["ops"], *fetched["ops"])} == {
        "waits": "deferred",
        "fetched": "to be fetched",
    }


async def test_an_actor_that_was_set_aside_is_well_again_once_its_cause_is_gone(
    cluster: Cluster, north: Member
) -> None:
    """What raised has changed nothing, and what could not be read was not written over: to try again is enough."""
    await north.said(Add(id="0"))
    before = await inspect(cluster.store, cluster.blueprint, "counter:a")
    for n in range(DEFECTS):
        north.ask(Break(id=f"b{n}"))
        await settle()
    with pytest.raises(Quarantined):
        await north.said(Add(id="1"))
    kept = await inspect(cluster.store, cluster.blueprint, "counter:a")
    assert kept["slices"] == before["slices"]
    assert kept["version"] == before["version"]

    await cluster.clock.advance(62)
    assert (await north.said(Add(id="1"))).value == 2


@pytest.mark.parametrize("actor", ["nothing:a", "counter:never"])
async def test_where_nothing_is_kept_it_says_so(cluster: Cluster, actor: str) -> None:
    with pytest.raises(NothingKept):
        await inspect(cluster.store, cluster.blueprint, actor)
