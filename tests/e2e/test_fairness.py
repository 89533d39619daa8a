"""One does not take the node from the others: floods, a loop that stalls, readers that do not read; over sockets."""

import asyncio
import signal
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.e2e.staff_calls import staff_call
from tests.support.nodes import NodeProcess, node, two_nodes
from tests.support.raw import PATIENCE_S
from tests.support.wire import Frame, Outside, outside

FLOODER = "127.0.0.2"  # another address of this machine
FLOOD = """
[limits.admission]
connections_per_address = 20
handshakes_per_address = { per_s = 50, burst = 30 }
"""
SHEDDING = """
[limits.shedding]
connections_s = 0.1
sign_ins_s = 0.2
expensive_s = 0.3
requests_s = 60
calm_s = 0.5
"""


def options(folder: Path, settings: str = "") -> tuple[str, ...]:
    """Of a node with a database of its own and these settings."""
    config = folder / "node.toml"
    config.write_text(settings)
    return ("--store", f"sqlite:///{folder}/g.db", "--config", str(config))


def metric(server: NodeProcess, name: str) -> float:
    """A number of the node, by its name and labels; 0 where it has none."""
    with urllib.request.urlopen(f"{server.http}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == f"guildhall_{name}")


async def refusal(url: str, **more: Any) -> tuple[int, int] | None:
    """Status and ``Retry-After`` of a connection that is not taken; None of one that is."""
    try:
        async with connect(url, **more):
            return None
    except InvalidStatus as refused:
        return refused.response.status_code, int(refused.response.headers["Retry-After"])


# Floods.
async def test_a_flood_of_connections_from_one_address_does_not_keep_others_out(tmp_path: Path) -> None:
    with node(tmp_path, "node", *options(tmp_path, FLOOD)) as server:
        refused: list[tuple[int, int]] = []
        over = asyncio.Event()

        async def flood() -> None:
            held = []
            while not over.is_set():
                try:
                    held.append(await connect(server.url, local_addr=(FLOODER, 0)))
                except InvalidStatus as error:
                    refused.append((error.response.status_code, int(error.response.headers["Retry-After"])))
            for each in held:
                each.transport.abort()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(flood())
            async with asyncio.timeout(PATIENCE_S):
                while len(refused) < 100:  # noqa: ASYNC110 - the flood goes on by itself
                    await asyncio.sleep(0.01)
            for n in range(20):
                async with asyncio.timeout(5), outside(server.url, f"ann{n}") as ann:
                    assert (await ann.ask("player.get"))["t"] == "player.profile"
            over.set()
        assert {status for status, _ in refused} == {503}
        assert all(1 <= pause <= 30 for _, pause in refused)
        counted = metric(server, 'refused_connections_total{reason="address_full"}')
        assert counted + metric(server, 'refused_connections_total{reason="address_too_fast"}') == len(refused)


async def test_who_guesses_tokens_is_told_to_wait_and_others_sign_in(tmp_path: Path) -> None:
    settings = "[limits.sign_in]\nfailures_per_address = { per_s = 0.01, burst = 5 }\n"
    with node(tmp_path, "node", *options(tmp_path, settings)) as server:
        codes = []
        for n in range(6):
            async with outside(server.url, "", token=f"guess-{n}", local_addr=(FLOODER, 0)) as guesser:
                codes.append((guesser.welcome["code"], await guesser.closed()))
        assert codes == [("auth.invalid", 4501)] * 5 + [("rate.limited", 4004)]
        async with outside(server.url, "eve", local_addr=(FLOODER, 0)) as eve:
            assert eve.welcome["code"] == "rate.limited", "nothing of that address is looked at"
            assert eve.welcome["retry_after_ms"] > 0
        async with outside(server.url, "ann") as ann:
            assert ann.welcome["t"] == "welcome"


async def test_who_signs_in_in_a_loop_is_told_to_wait(tmp_path: Path) -> None:
    settings = "[limits.player.kinds]\nhello = { per_s = 0.01, burst = 3 }\n"
    with node(tmp_path, "node", *options(tmp_path, settings)) as server:
        for _ in range(3):
            async with outside(server.url, "ann") as ann:
                assert ann.welcome["t"] == "welcome"
        async with outside(server.url, "ann") as ann:
            assert ann.welcome["code"] == "rate.limited"
            assert await ann.closed() == 4004
        async with outside(server.url, "bo") as bo:
            assert bo.welcome["t"] == "welcome"


# Shedding.
@asynccontextmanager
async def stalling(server: NodeProcess) -> AsyncIterator[None]:
    """The node's loop gets a tenth of the time."""

    async def stall() -> None:
        process = server.process
        try:
            while True:
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.9)
                process.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.1)
        finally:
            process.send_signal(signal.SIGCONT)

    task = asyncio.ensure_future(stall())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def history_of(player: Outside) -> Frame:
    """An expensive request, and its reply."""
    return await player.ask("chat.history", channel="room:raid")


async def test_a_node_that_stalls_turns_away_new_ones_first_and_takes_them_again_when_it_is_calm(
    tmp_path: Path,
) -> None:
    with node(tmp_path, "node", *options(tmp_path, SHEDDING)) as server:
        async with outside(server.url, "ann") as ann, connect(server.url) as late:
            await ann.ask("chat.join", channel="room:raid")
            async with stalling(server):
                async with asyncio.timeout(PATIENCE_S):
                    while (refused := await refusal(server.url)) is None:  # noqa: ASYNC110 - two looks of the node
                        await asyncio.sleep(0.05)
                assert refused[0] == 503
                assert 1 <= refused[1] <= 5
                async with asyncio.timeout(PATIENCE_S):
                    while (history := await history_of(ann))["t"] != "error":  # noqa: ASYNC110 - two looks of the node
                        await asyncio.sleep(0.05)
                assert (history["code"], history["retry"]) == ("unavailable", "later")
                assert 1_000 <= history["retry_after_ms"] <= 5_000
                assert (await ann.ask("chat.send", channel="room:raid", text="still here"))["t"] == "chat.sent"
                await late.send('{"t":"hello","id":"h","token":"dev:late"}')
                assert '"unavailable"' in str(await late.recv())
                status, body = await asyncio.to_thread(server.readyz)
                assert status == 503
                assert "too much to do" in body
            await asyncio.to_thread(server.wait_ready)
            async with outside(server.url, "bo") as bo:
                assert bo.welcome["t"] == "welcome"
            assert (await history_of(ann))["t"] == "chat.messages"
        for what in ("connection", "hello", "expensive"):
            assert metric(server, f'shed_total{{what="{what}"}}') > 0
        assert metric(server, "shedding_level") == 0


# Limits that change.
@pytest.fixture
def cluster(tmp_path: Path, mysql_url: str, redis_url: str) -> Any:
    """Two nodes of one cluster, with their limits."""
    with two_nodes(tmp_path, mysql_url, redis_url, "--lease", "3") as nodes:
        yield nodes


async def passed(player: Outside, tries: int) -> int:
    """How many of so many requests at once are not refused."""
    async with asyncio.TaskGroup() as asking:
        tasks = [asking.create_task(player.ask("player.get")) for _ in range(tries)]
    replies = [task.result() for task in tasks]
    assert {reply["t"] for reply in replies} <= {"player.profile", "error"}
    assert {reply.get("code") for reply in replies if reply["t"] == "error"} <= {"rate.limited"}
    return sum(reply["t"] == "player.profile" for reply in replies)


@pytest.mark.timeout(180)
async def test_limits_that_staff_sets_hold_on_all_nodes_for_live_sessions_until_they_are_reset(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    tight = {"session": {"requests": {"per_s": 0.01, "burst": 3}}}
    async with outside(two.url, "ann") as ann:
        assert await passed(ann, 20) == 20
        began = time.monotonic()
        await asyncio.to_thread(staff_call, one, "PUT", "/v1/limits", tight)
        shown = await asyncio.to_thread(staff_call, two, "GET", "/v1/limits")
        took_s = time.monotonic() - began
        print(f"the other node went by new limits after {took_s * 1000:.0f} ms at most")  # noqa: T201
        assert shown["order"] == tight
        assert await passed(ann, 20) < 20
        async with outside(two.url, "bo") as bo:
            assert bo.welcome["limits"]["requests_per_s"] == 0.01
            assert await passed(bo, 10) <= 3
        await asyncio.to_thread(staff_call, one, "DELETE", "/v1/limits")
        assert await passed(ann, 20) == 20
        await asyncio.to_thread(staff_call, one, "PUT", "/v1/limits", tight)
    await asyncio.to_thread(one.terminate)
    await asyncio.to_thread(one.start)
    shown = await asyncio.to_thread(staff_call, one, "GET", "/v1/limits")
    assert shown["order"] == tight


async def test_a_player_on_two_nodes_may_not_ask_for_twice_as_much(cluster: tuple[NodeProcess, NodeProcess]) -> None:
    one, two = cluster
    order = {"player": {"requests": {"per_s": 0.01, "burst": 20}}}
    await asyncio.to_thread(staff_call, one, "PUT", "/v1/limits", order)
    async with AsyncExitStack() as up:
        phone = await up.enter_async_context(outside(one.url, "ann"))
        tablet = await up.enter_async_context(outside(two.url, "ann"))
        await asyncio.sleep(2)  # for the word of the player's actor to have come to both nodes
        assert await passed(phone, 30) + await passed(tablet, 30) <= 20


# Readers that do not read.
async def test_when_all_slow_readers_together_hold_too_much_the_largest_are_cut_and_no_other(tmp_path: Path) -> None:
    settings = "[gateway]\noutbound_bytes = 67108864\noutbound_total_bytes = 1048576\n[limits]\nenabled = 'off'\n"
    with node(tmp_path, "node", *options(tmp_path, settings)) as server:
        async with outside(server.url, "ann") as ann, outside(server.url, "bo") as bo, AsyncExitStack() as hogs:
            await ann.ask("chat.join", channel="room:raid")
            await bo.ask("chat.join", channel="room:raid")
            for n in range(3):
                hog = await hogs.enter_async_context(connect(server.url, max_queue=1, close_timeout=0))
                hog.transport.get_extra_info("socket").setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF
                await hog.send(f'{{"t":"hello","id":"h","token":"dev:hog{n}"}}')
                await hog.recv()
                await hog.send('{"t":"chat.join","id":"j","channel":"room:raid"}')
                await hog.recv()
                hog.transport.pause_reading()
            most = 0.0
            for _ in range(30):
                async with asyncio.TaskGroup() as saying:
                    for _ in range(20):
                        saying.create_task(ann.ask("chat.send", channel="room:raid", text="x" * 1_900))
                most = max(most, metric(server, "outbound_waiting_bytes"))
            await bo.until(lambda _: len(bo.lines("chat:room:raid")) == 600)
            assert 0 < most < 1_300_000
            assert metric(server, 'slow_readers_total{bound="node"}') in {1, 2, 3}
            assert metric(server, 'slow_readers_total{bound="session"}') == 0
            for each in (ann, bo):
                assert each.close_code is None
                assert [seq for seq, _ in each.lines("chat:room:raid")] == list(range(1, 601))
