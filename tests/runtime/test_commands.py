"""Commands to a player's sessions: carried out on every node, after the commit."""

from collections.abc import AsyncIterator

import pytest

from actors.runtime import ClosePlayer, MutePlayer
from protocol import CloseCode
from tests.runtime.reaching import ROOMS, Close, Mute
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member

BAN = ClosePlayer("bo", int(CloseCode.BANNED), "banned")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(ROOMS).running() as running:
        yield running


@pytest.fixture
async def nodes(cluster: Cluster, north: Member) -> list[Member]:
    return [north, await cluster.start("south"), await cluster.start("west")]


@pytest.mark.parametrize("asked", [0, 1, 2])
async def test_a_command_reaches_the_sessions_of_every_node(nodes: list[Member], asked: int) -> None:
    await nodes[asked].said(Close(id="1", player="bo"))
    await nodes[asked].said(Mute(id="2", player="bo", until_ms=5))
    await settle()

    for node in nodes:
        assert [c for n, c in enumerate(node.commands) if c not in node.commands[:n]] == [BAN, MutePlayer("bo", 5)]


async def test_it_is_carried_out_after_the_commit(north: Member) -> None:
    with north.store.holding("commit") as hold:
        north.ask(Close(id="1", player="bo"))
        await hold.reached.wait()
        await settle()
        assert north.commands == []
    await settle()

    assert north.commands[0] == BAN


async def test_a_repeated_request_commands_nothing_more(north: Member) -> None:
    await north.said(Close(id="1", player="bo"))
    before = list(north.commands)
    await north.said(Close(id="1", player="bo"))

    assert north.commands == before


async def test_without_a_bus_the_sessions_here_obey_all_the_same(nodes: list[Member]) -> None:
    for node in nodes:
        node.bus.fate = lambda channel, _payload: 0 if channel == "nodes" else 1
    await nodes[0].said(Close(id="1", player="bo"))
    await settle()

    assert [node for node in nodes if node.commands]
