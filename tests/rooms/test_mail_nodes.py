"""Deliveries that are asked of several nodes, and asked again elsewhere: one order, each once."""

from collections.abc import AsyncIterator

import pytest

from actors.mail import KEYS_KEPT, InboxDeliver, InboxDelivered, mail
from storage import EventRange
from tests.rooms.inbox import TOPIC, noise
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member

SERVER = "server"


def gift(n: int, op: str) -> InboxDeliver:
    """The delivery with key ``n``; ``op`` differs from try to try, unless it is made of the key."""
    return InboxDeliver(id=op, player="bo", notice=f"gift-{n}", kind="staff.gift", title=f"Gift {n}")


@pytest.fixture
async def nodes() -> AsyncIterator[tuple[Cluster, Member, Member]]:
    async with Cluster([mail, noise]).running() as cluster:
        yield cluster, await cluster.start("north"), await cluster.start("south")


async def test_a_hundred_deliveries_asked_of_two_nodes_twice_each_have_one_order_and_one_effect(
    nodes: tuple[Cluster, Member, Member],
) -> None:
    cluster, north, south = nodes
    asked = []
    for n in range(100):
        first, second = (north, south) if n % 2 else (south, north)
        asked.append((first.ask(gift(n, f"a{n}"), SERVER), second.ask(gift(n, f"b{n}"), SERVER)))
    await settle()

    replies = [(one.reply, other.reply) for one, other in asked]
    assert all((one.seq, one.at) == (other.seq, other.at) for one, other in replies)
    assert sorted(one.seq for one, _ in replies) == list(range(1, 101))
    assert len(await cluster.store.read_events(EventRange(topic=TOPIC))) == 100


async def test_a_key_that_was_forgotten_is_refused_by_the_log_where_the_id_follows_from_it(
    nodes: tuple[Cluster, Member, Member],
) -> None:
    cluster, north, south = nodes
    for n in range(KEYS_KEPT + 1):
        north.ask(gift(n, f"key-{n}"), SERVER)
    await settle()

    remembered = await south.said(gift(1, "key-1"), SERVER)
    forgotten = south.ask(gift(0, "key-0"), SERVER)
    await settle()

    assert isinstance(remembered, InboxDelivered)
    assert forgotten.code == "request.too_old"
    assert len(await cluster.store.read_events(EventRange(topic=TOPIC))) == KEYS_KEPT + 1
