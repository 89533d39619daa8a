"""The Python client and a real server."""

import asyncio
from pathlib import Path

import pytest

from clients.python import Client, Refused
from clients.python.client import WireName
from tests.support.nodes import NodeProcess, node

LINES = 100


@pytest.mark.parametrize("wire", ["json", "msgpack"])
async def test_five_lines_sign_in_and_chat(tmp_path: Path, wire: WireName) -> None:
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db") as server:
        async with Client.connect(server.url, token="dev:ann", wire=wire) as me:
            await me.join("room:lobby")
            await me.say("room:lobby", "hello")
            async for line in me.events("chat.message"):
                assert (line["from"]["name"], line["text"]) == ("ann", "hello")
                break
            with pytest.raises(Refused, match=r"guild\.not_found"):
                await me.request("guild.find", name="Nobody")
            created = await me.request("guild.create", name="Night Owls")
            watched = await me.watch_guild(created["guild"])
            assert watched["guild"]["leader"] == me.player == "ann"
            assert [line["text"] for line in await me.history("room:lobby")] == ["hello"]


async def test_a_server_killed_under_load_costs_no_line_and_doubles_none(tmp_path: Path) -> None:
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db", "--limits", "off") as server:
        async with (
            Client.connect(server.url, token="dev:ann") as ann,
            Client.connect(server.url, token="dev:bob") as bob,
        ):
            for player in (ann, bob):
                await player.join("room:raid")
            async with asyncio.TaskGroup() as tasks:
                reading = [tasks.create_task(_read(player, 2 * LINES)) for player in (ann, bob)]
                talking = [tasks.create_task(_talk(player)) for player in (ann, bob)]
                await _half(bob, talking)
                await asyncio.to_thread(_restart, server)
            said = [reply["seq"] for task in talking for reply in task.result()]
            heard, heard_too = (task.result() for task in reading)
    assert heard == heard_too
    assert sorted(said) == [seq for seq, _ in heard] == list(range(1, 2 * LINES + 1))
    assert len({text for _, text in heard}) == 2 * LINES


async def _talk(player: Client) -> list[dict[str, int]]:
    return [await player.say("room:raid", f"{player.player} {n}") for n in range(LINES)]


async def _read(player: Client, count: int) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    async for line in player.events("chat.message"):
        lines.append((line["seq"], line["text"]))
        if len(lines) == count:
            break
    return lines


async def _half(player: Client, talking: list[asyncio.Task[list[dict[str, int]]]]) -> None:
    """Return while the talk is in full swing."""
    while not (await player.request("chat.history", channel="room:raid", after=LINES // 2, limit=1))["messages"]:
        assert not any(task.done() for task in talking)


def _restart(server: NodeProcess) -> None:
    server.kill()
    server.start()
