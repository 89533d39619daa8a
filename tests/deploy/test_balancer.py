"""deploy/haproxy.cfg before two real nodes: WebSockets stay open, a drained node is not noticed, the rest is shut."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from os import getpid
from pathlib import Path

import httpx
import pytest

from loadtest.ports import free_port
from server.config import Config
from tests.deploy.balancer import CONFIGURATION, Balancer, balancer, before, haproxy
from tests.support.nodes import NodeProcess, two_nodes
from tests.support.servers import MariadbServer, RedisServer
from tests.support.wire import Outside, outside

IDLE_S = 1.0
TALK = "chat:room:raid"
PLAYERS = 8

Running = tuple[Balancer, NodeProcess, NodeProcess]


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, mariadb: MariadbServer, redis_server: RedisServer
) -> Iterator[Running]:
    """Two nodes behind the balancer, whose time-out for plain HTTP is IDLE_S. Only one test may take a node away."""
    folder, database = tmp_path_factory.mktemp("cluster"), f"guildhall_balancer_{getpid()}"
    try:
        with two_nodes(folder, mariadb.url(database), redis_server.url) as nodes:
            with balancer(folder, nodes, idle=f"{int(IDLE_S * 1000)}ms") as running:
                yield running, *nodes
    finally:
        mariadb.run(f"DROP DATABASE IF EXISTS {database}")


def timeout_s(name: str) -> int:
    """A time-out of the configuration in seconds."""
    number, unit = re.findall(rf"timeout {name} (\d+)([sm])\n", CONFIGURATION.read_text("utf-8"))[0]
    return int(number) * {"s": 1, "m": 60}[unit]


async def _connections(node: NodeProcess) -> int:
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{node.http}/metrics")).text
    return int(float(re.findall(r"^guildhall_connections (\S+)$", text, re.MULTILINE)[0]))


async def _join(player: Outside) -> None:
    assert (await player.ask("chat.join", channel="room:raid"))["t"] == "chat.joined"


def test_a_silent_session_is_the_nodes_to_end() -> None:
    assert timeout_s("tunnel") > 2 * Config().gateway.heartbeat_s


def test_haproxy_has_nothing_against_the_configuration(tmp_path: Path) -> None:
    nodes = (NodeProcess(tmp_path, "one"), NodeProcess(tmp_path, "two"))
    (tmp_path / "haproxy.cfg").write_text(before(nodes, free_port()))
    checked = subprocess.run(
        [haproxy(), "-c", "-f", tmp_path / "haproxy.cfg"], capture_output=True, text=True, timeout=10, check=False
    )

    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


async def test_players_go_through_it_and_do_not_notice_that_a_node_is_drained(cluster: Running) -> None:
    door, one, two = cluster
    async with AsyncExitStack() as open_connections:
        players = [await open_connections.enter_async_context(outside(door.url, f"p{n}")) for n in range(PLAYERS)]
        for player in players:
            await _join(player)
        assert [await _connections(node) for node in (one, two)] == [PLAYERS // 2, PLAYERS // 2]

        await asyncio.sleep(1.5 * IDLE_S)  # longer than plain HTTP may be silent: only an open WebSocket may
        await players[0].ask("chat.send", channel="room:raid", text="still here")
        for player in players:
            await player.until(lambda _, player=player: len(player.lines(TALK)) == 1)  # type: ignore[misc]

        draining = asyncio.create_task(asyncio.to_thread(one.terminate))
        moved = [player for player in await _settled(players) if player.close_code == 4000]
        assert len(moved) == PLAYERS // 2
        again = [await open_connections.enter_async_context(_back(door, player)) for player in moved]
        assert [player.welcome["topics"][TALK]["status"] for player in again] == ["resumed"] * len(moved)
        assert await draining == 0, one.tail()

        here = [player for player in players if player not in moved] + again
        await here[0].ask("chat.send", channel="room:raid", text="all on one")
        for player in here:
            await player.until(lambda _, player=player: (2, "all on one") in player.lines(TALK))  # type: ignore[misc]
        assert await _connections(two) == PLAYERS


async def _settled(players: list[Outside]) -> list[Outside]:
    """The players, once half of them were asked to go elsewhere."""
    waiting = [asyncio.create_task(player.closed()) for player in players]
    left = PLAYERS // 2
    for done in asyncio.as_completed(waiting):
        await done
        left -= 1
        if not left:
            break
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    return players


def _back(door: Balancer, player: Outside) -> AbstractAsyncContextManager[Outside]:
    cursors = {TALK: [player.welcome["topics"][f"player:{player.welcome['player']}"]["epoch"], 1]}
    resume = {"session": player.welcome["session"], "cursors": cursors}
    return outside(door.url, player.welcome["player"], resume=resume)


async def test_sign_in_is_reachable_and_what_is_for_operators_is_not(cluster: Running) -> None:
    door, _, _ = cluster
    async with httpx.AsyncClient(base_url=door.http) as http:
        signed_in = await http.post("/v1/auth/device", json={"device_id": "a-phone-behind-a-balancer"})
        assert signed_in.status_code == 200, signed_in.text
        for path in (
            "/metrics",
            "/readyz",
            "/v1/config",
            "/",
            "/v1/docs",
            "/v1/auth",
            "/ws/../metrics",
            "/v1/auth/../../metrics",
        ):
            found = await http.get(path)
            assert (path, found.status_code) == (path, 404)


async def test_a_client_cannot_claim_an_address_that_is_not_its_own(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    listener = NodeProcess(tmp_path, "listener")
    async with await asyncio.start_server(answer, "127.0.0.1", listener.http_port):
        listener.gateway_port = listener.http_port
        door = await asyncio.to_thread(_started, tmp_path, (listener, listener))
        try:
            async with httpx.AsyncClient(base_url=door.http, headers={"X-Forwarded-For": "203.0.113.9"}) as http:
                assert (await http.post("/v1/auth/device", json={})).status_code == 200
        finally:
            await asyncio.to_thread(door.stop)
    (asked,) = [head.lower() for head in heard if b"/v1/auth" in head]
    assert re.findall(rb"x-forwarded-for: (\S+)", asked) == [b"127.0.0.1"]


def _started(folder: Path, nodes: tuple[NodeProcess, NodeProcess]) -> Balancer:
    port = free_port()
    door = Balancer(folder, before(nodes, port), port)
    door.start()
    return door
