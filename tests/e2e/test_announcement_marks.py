"""How far a player has seen announcements, by how its connection ended: nothing is lost, little is shown twice."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.staff_calls import announce
from tests.support.nodes import NodeProcess, node
from tests.support.wire import Outside, outside

QUIET_S = 0.3  # after which nothing more comes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("marks")
    with node(folder, "one", "--store", f"sqlite:///{folder}/g.db", "--limits", "off") as one:
        yield one


async def say(server: NodeProcess, text: str) -> str:
    return await asyncio.to_thread(announce, server, text)


def told(client: Outside) -> list[str]:
    return [event["text"] for event in client.events if event["t"] == "announce.message"]


async def until_told(client: Outside, text: str) -> None:
    await client.until(lambda _: text in told(client))


async def break_off(client: Outside) -> None:
    """End the connection without a word, as a lost network does."""
    client.socket.transport.abort()
    await client.closed()


async def told_next(server: NodeProcess, name: str, **fields: Any) -> list[str]:
    """What a sign-in without cursors is told, once what an earlier session left behind has been noted."""
    await asyncio.sleep(QUIET_S)
    async with outside(server.url, name, **fields) as client:
        await asyncio.sleep(QUIET_S)
        found = told(client)
        await break_off(client)
    return found


async def test_who_has_closed_properly_is_not_told_again(server: NodeProcess) -> None:
    async with outside(server.url, "ann") as ann:
        await say(server, "to ann")
        await until_told(ann, "to ann")

    assert "to ann" not in await told_next(server, "ann")


async def test_who_has_said_something_since_is_not_told_again_though_its_connection_broke(server: NodeProcess) -> None:
    """For ten seconds after its welcome a session's end counted for nothing."""
    async with outside(server.url, "bo") as bo:
        await say(server, "to bo")
        await until_told(bo, "to bo")
        await bo.ask("ping")
        await break_off(bo)

    assert "to bo" not in await told_next(server, "bo")


async def test_who_said_nothing_any_more_is_told_again(server: NodeProcess) -> None:
    """Its network was gone perhaps when it was told: after ten seconds online it was once taken for told."""
    async with outside(server.url, "cy") as cy:
        await cy.ask("ping")
        await say(server, "to cy")
        await until_told(cy, "to cy")
        await break_off(cy)

    assert "to cy" in await told_next(server, "cy")


async def test_who_broke_off_right_after_the_welcome_is_told_again(server: NodeProcess) -> None:
    await say(server, "to di")
    async with outside(server.url, "di") as di:
        await until_told(di, "to di")
        await break_off(di)

    assert "to di" in await told_next(server, "di")


async def test_two_devices_of_a_player_are_both_told_and_one_that_closes_speaks_for_the_player(
    server: NodeProcess,
) -> None:
    async with outside(server.url, "ed") as phone, outside(server.url, "ed") as tablet:
        await say(server, "to ed")
        for device in (phone, tablet):
            await until_told(device, "to ed")
        await break_off(tablet)

    assert "to ed" not in await told_next(server, "ed")


async def test_who_resumes_after_a_break_is_told_what_it_missed_and_nothing_twice(server: NodeProcess) -> None:
    async with outside(server.url, "fay") as fay:
        await say(server, "first to fay")
        await until_told(fay, "first to fay")
        epoch, seq = fay.welcome["topics"]["announce"]["epoch"], fay.events[-1]["seq"]
        resume = {"session": fay.welcome["session"], "cursors": {"announce": [epoch, seq]}}
        await break_off(fay)
    await say(server, "second to fay")

    assert await told_next(server, "fay", resume=resume) == ["second to fay"]
