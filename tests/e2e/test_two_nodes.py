"""Two nodes on MariaDB and Redis, as players on both of them see it."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis

from tests.support.nodes import NodeProcess, two_nodes
from tests.support.wire import Outside, outside

LEASE_S = 3.0
TALK = "chat:room:raid"


@pytest.fixture
def cluster(tmp_path: Path, mysql_url: str, redis_url: str) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    with two_nodes(tmp_path, mysql_url, redis_url, "--lease", str(LEASE_S), "--limits", "off") as nodes:
        yield nodes


async def _join(*players: Outside) -> None:
    for player in players:
        joined = await player.ask("chat.join", channel="room:raid")
        assert joined["t"] == "chat.joined", joined


async def _say(player: Outside, lines: int) -> list[str]:
    """Say ``lines`` lines one after the other; returns the texts that were acknowledged."""
    said = []
    for n in range(lines):
        text = f"{player.welcome['player']} {n}"
        number = player.new_id()
        for _ in range(20):
            reply = await player.ask("chat.send", id=number, channel="room:raid", text=text)
            if reply["t"] == "chat.sent":
                said.append(text)
                break
            assert reply["retry"] != "never", reply
            await asyncio.sleep(reply.get("retry_after_ms", 0) / 1000)
    return said


async def test_a_conversation_across_nodes_has_one_order_and_every_line_once(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann, outside(two.url, "bo", wire="msgpack") as bo:
        await _join(ann, bo)
        async with asyncio.TaskGroup() as talking:
            tasks = [talking.create_task(_say(who, 30)) for who in (ann, bo)]
        said = [text for task in tasks for text in task.result()]
        for player in (ann, bo):
            await player.until(lambda _events, player=player: len(player.lines(TALK)) == 60)  # type: ignore[misc]
        assert ann.lines(TALK) == bo.lines(TALK)
        assert [seq for seq, _ in ann.lines(TALK)] == list(range(1, 61))
        assert sorted(text for _, text in bo.lines(TALK)) == sorted(said)


async def test_the_same_request_on_both_nodes_at_once_has_one_effect_and_one_reply(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as first, outside(two.url, "ann") as second:
        await _join(first, second)
        number = first.new_id()
        async with asyncio.TaskGroup() as asking:
            asked = [
                asking.create_task(who.ask("chat.send", id=number, channel="room:raid", text="once"))
                for who in (first, second, first, second, first)
            ]
        replies = [task.result() for task in asked]
        assert all(reply == replies[0] for reply in replies)
        assert replies[0]["t"] == "chat.sent"
        await second.ask("chat.send", channel="room:raid", text="after")
        await second.until(lambda _: len(second.lines(TALK)) == 2)
        assert [text for _, text in second.lines(TALK)] == ["once", "after"]


async def test_killing_the_owner_of_a_room_interrupts_for_a_lease_at_most_and_loses_nothing(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    """Whichever node owns the room: the other one's players go on, with all that was acknowledged."""
    one, two = cluster
    async with outside(two.url, "bo") as bo:
        async with outside(one.url, "ann") as ann:
            await _join(ann, bo)
            said = await _say(ann, 5) + await _say(bo, 5)
            one.kill()
        started = asyncio.get_running_loop().time()
        said += await _say(bo, 5)
        silence = asyncio.get_running_loop().time() - started
        await bo.until(lambda _: len(bo.lines(TALK)) == 15)
    assert silence < LEASE_S + 1.5
    assert [text for _, text in bo.lines(TALK)] == said
    assert [seq for seq, _ in bo.lines(TALK)] == list(range(1, 16))


async def test_flushing_redis_in_the_middle_of_a_conversation_loses_nothing(
    cluster: tuple[NodeProcess, NodeProcess], redis_url: str
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann, outside(two.url, "bo") as bo:
        await _join(ann, bo)
        await _say(ann, 5)
        with redis.Redis.from_url(redis_url) as operator:
            operator.flushall()
            operator.client_kill_filter(_type="pubsub")
        await _say(ann, 5)
        await bo.until(lambda _: len(bo.lines(TALK)) == 10)
        assert [seq for seq, _ in bo.lines(TALK)] == list(range(1, 11))


async def test_a_drained_node_sends_its_players_elsewhere_and_they_miss_nothing(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(two.url, "bo") as bo:
        async with AsyncExitStack() as others, outside(one.url, "ann") as ann:
            crowd = [await others.enter_async_context(outside(one.url, f"p{n}")) for n in range(8)]
            await _join(ann, bo)
            await _say(bo, 3)
            await ann.until(lambda _: len(ann.lines(TALK)) == 3)
            code = await asyncio.to_thread(one.terminate)
            assert code == 0, one.tail()
            assert await ann.closed() == 4000
            assert {await player.closed() for player in crowd} == {4000}
            assert len({player.socket.close_reason for player in crowd}) > 4, "each comes back at a time of its own"
            cursors = {TALK: [ann.welcome["topics"]["player:ann"]["epoch"], 3]}
        await _say(bo, 3)
        resume = {"session": ann.welcome["session"], "cursors": cursors}
        async with outside(two.url, "ann", resume=resume) as again:
            assert again.welcome["topics"][TALK]["status"] == "resumed"
            await again.until(lambda _: len(again.lines(TALK)) == 3)
            assert again.lines(TALK) == bo.lines(TALK)[3:]
