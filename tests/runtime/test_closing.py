"""A node that is told to end while its store does not answer."""

import pytest

from storage import StoreDown
from tests.runtime.rooms import ALL, Add, Join, Say
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member, Phone


def failures(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [one for inner in error.exceptions for one in failures(inner)]
    return [error]


async def test_a_reader_that_waits_for_the_store_does_not_keep_the_node_from_ending(
    cluster: Cluster, north: Member
) -> None:
    """The read for one that catches up was tried again for ever: a node told to end while its database was away did
    not."""
    for n in range(300):
        await north.said(Say(id=f"{n}", text="line"))
    phone = Phone("bo")
    await north.said(Join(id="j", after=("e1", 0)), "bo", phone)
    late = Phone("cy")
    with north.store.holding("read_events") as hold:
        await north.said(Join(id="j2", after=("e1", 0)), "cy", late)
        await hold.reached.wait()
        north.store.down = True
    await settle()

    await cluster.stop(north)


async def test_a_store_that_hangs_does_not_keep_the_node_from_ending() -> None:
    """Six tries of ten seconds each: a node told to end while its database hung was killed long before."""
    with pytest.raises(BaseExceptionGroup) as ended:
        async with Cluster(ALL).running() as cluster:
            north = await cluster.start("north")
            with north.store.holding("commit") as hold:
                north.ask(Add(id="1"))
                await hold.reached.wait()
                await cluster.stop(north)

    assert [type(error) for error in failures(ended.value)] == [StoreDown]
