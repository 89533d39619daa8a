"""How many an announcement has reached, and how many have read it: counted by every node, added up exactly once."""

from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from actors.broadcasts import TOPIC, AnnouncementCancel, AnnouncementMake
from actors.broadcasts.crier import KNOWN, REPORT_S, Crier
from actors.broadcasts.messages import AnnounceRead
from actors.runtime import Follow
from server.features import FEATURES
from tests.rooms.announcing import BY, TEXTS
from tests.support.cluster import Cluster, Member, Phone


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(FEATURES).running() as running:
        yield running


@pytest.fixture
async def nodes(cluster: Cluster) -> list[Member]:
    return [await cluster.start("north"), await cluster.start("south")]


def crier(member: Member) -> Crier:
    found = member.node.reach.services["broadcasts"]
    assert isinstance(found, Crier)
    return found


def follow(member: Member, count: int, after: int = 0) -> list[Phone]:
    """Sessions of a node that follow announcements."""
    phones = [Phone(f"{member.name}-{after}-{n}") for n in range(count)]
    for phone in phones:
        member.node.hub.follow(phone, Follow(TOPIC, "e1", after, after, durable=True))
    return phones


async def made(member: Member, number: int = 1) -> str:
    by = msgspec.structs.replace(BY, op=f"op-{number}")
    announcement: str = (
        await member.said(AnnouncementMake(id=f"m{number}", text=TEXTS, by=by), "server:")
    ).announcement
    return announcement


async def counts(cluster: Cluster, announcement: str) -> tuple[Any, ...]:
    sql = "SELECT reached, readers FROM announcements WHERE id = ?"
    return (await cluster.store.select(sql, (announcement,)))[0]


async def test_what_every_node_has_counted_is_added_up(cluster: Cluster, nodes: list[Member]) -> None:
    north, south = nodes
    follow(north, 3)
    follow(south, 4)
    one = await made(north)
    for n, member in enumerate((north, south, south)):
        await member.said(AnnounceRead(id="r", announcement=one), f"p{n}")
        await member.said(AnnounceRead(id="again", announcement=one), f"p{n}")
    await cluster.clock.advance(2 * REPORT_S)
    assert await counts(cluster, one) == (7, 3)
    follow(south, 2)
    await cluster.clock.advance(2 * REPORT_S)

    assert await counts(cluster, one) == (9, 3)


@pytest.mark.parametrize("seed", range(5))
async def test_reports_that_are_lost_or_doubled_on_their_way_count_once(
    cluster: Cluster, nodes: list[Member], seed: int
) -> None:
    """A report whose answer was lost was made again, and counted again."""
    random = Random(seed)
    one = await made(nodes[0])
    for member in nodes:
        member.bus.fate = lambda _channel, _payload: random.choice((0, 0, 1, 2))
    for _ in range(6):
        for member in nodes:
            follow(member, 2)
            member.store.lose_next("commit", applied=random.random() < 0.5)
        await cluster.clock.advance(random.choice((0.5, 3.0, 20.0)))
    for member in nodes:
        member.bus.fate = lambda _channel, _payload: 1
    await cluster.clock.advance(60)

    assert await counts(cluster, one) == (24, 0)


async def test_after_a_crash_of_their_counter_nodes_report_what_they_have(
    cluster: Cluster, nodes: list[Member]
) -> None:
    one = await made(nodes[0])
    owner, other = sorted(nodes, key=lambda member: "broadcasts:all" not in member.node.host.activations)
    follow(other, 5)
    cluster.crash(owner)
    await cluster.clock.advance(40)
    assert await counts(cluster, one) == (5, 0)
    follow(other, 2)
    await cluster.clock.advance(2 * REPORT_S)

    assert await counts(cluster, one) == (7, 0)


async def test_a_node_at_rest_reports_nothing(cluster: Cluster, nodes: list[Member]) -> None:
    north = nodes[0]
    follow(north, 3)
    await made(north)
    await cluster.clock.advance(3)
    before = [member.store.calls.count("commit") for member in nodes]
    await cluster.clock.advance(30)

    assert [member.store.calls.count("commit") for member in nodes] == before


async def test_what_is_over_is_forgotten_though_it_was_never_reported_again(
    cluster: Cluster, nodes: list[Member]
) -> None:
    north = nodes[0]
    follow(north, 1)
    gone = []
    for n in range(20):
        gone.append(await made(north, n))
        await cluster.clock.advance(1)
        by = msgspec.structs.replace(BY, op=f"c-{n}")
        await north.said(AnnouncementCancel(id=f"c{n}", announcement=gone[-1], by=by), "server:")
    for n in range(KNOWN):
        crier(north).read_by_one(f"{n:016}")
    await cluster.clock.advance(3)

    assert not crier(north)._reached
    assert not crier(north)._read
