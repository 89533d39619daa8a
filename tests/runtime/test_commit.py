from tests.runtime.rooms import Add, Get
from tests.support.cluster import Cluster, Member
from tests.support.clock import settle


async def test_smoke(cluster: Cluster, north: Member) -> None:
    assert (await north.said(Add(id="1"))).value == 1
    assert (await north.said(Get(id="2"))).value == 1
    south = await cluster.start("south")
    for n in range(10):
        assert (await south.said(Add(id=f"s{n}", counter=f"{n}"))).value == 1
    await cluster.stop(south)
