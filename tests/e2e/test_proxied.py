"""Behind a proxy it is the client that limits by address count, not the proxy; and nobody can claim to be another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from structlog.testing import capture_logs

from server.app import Server, running_server
from server.config import Auth, Config, Edge, Gateway, Http, Limits, StoreConfig
from server.limits import Admission, AdmissionLimits
from tests.support.raw import PATIENCE_S, Raw, raw, say, upgrade

ONE_EACH = Limits(admission=AdmissionLimits(connections_per_address=1, connections=6))
ME = ["127.0.0.0/8"]


@asynccontextmanager
async def serving(folder: Path, trusted: list[str], **gateway: Any) -> AsyncIterator[Server]:
    """A node that takes one connection of each client, and six in all."""
    config = Config(
        gateway=Gateway(port=0, **gateway),
        http=Http(port=0),
        edge=Edge(trusted_proxies=trusted),
        store=StoreConfig(url=f"sqlite:///{folder}/g.db"),
        auth=Auth(dev=True),
        limits=ONE_EACH,
    )
    async with running_server(config) as server:
        yield server


class Door:
    """Opens connections to a node and keeps them."""

    def __init__(self, server: Server, opened: AsyncExitStack) -> None:
        self._server = server
        self._opened = opened

    async def status(self, *, behind: bytes = b"", forwarded: str = "") -> int:
        """The answer to an upgrade that begins with ``behind``, with this ``X-Forwarded-For``; 0: cut."""
        headers = f"X-Forwarded-For: {forwarded}\r\n" if forwarded else ""
        socket: Raw = await self._opened.enter_async_context(raw(self._server.gateway.port))
        socket.put(behind, upgrade(headers=headers), say("hello", "h", token="dev:ann"))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await socket.answered()
        if socket.status != 101:
            socket.writer.transport.abort()  # else the node gives it two seconds to close its end
        return socket.status


def admission(server: Server) -> Admission:
    found = server.gateway._parts.limits.admission
    assert found is not None
    return found


async def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in this process without a sign to the outside."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - nobody in the node knows that a test waits
            await asyncio.sleep(0.005)


def line(client: str) -> bytes:
    return f"PROXY TCP4 {client} 192.0.2.1 4711 443\r\n".encode()


async def test_what_a_trusted_proxy_forwards_is_counted_for_the_client(tmp_path: Path) -> None:
    async with serving(tmp_path, ME) as server:
        async with AsyncExitStack() as opened:
            door = Door(server, opened)
            assert await door.status(forwarded="203.0.113.1") == 101
            assert await door.status(forwarded="203.0.113.2") == 101
            assert await door.status(forwarded="198.51.100.1, 203.0.113.2") == 503  # whatever it claims on the left
            assert await door.status(forwarded="2001:db8::1") == 101
            assert await door.status(forwarded="2001:db8::2") == 503  # a household has a whole /64 network
        await until(lambda: admission(server).connections == 0)
        assert admission(server)._by_address == {}


async def test_a_refused_client_leaves_its_place_in_the_node(tmp_path: Path) -> None:
    async with serving(tmp_path, ME) as server, AsyncExitStack() as opened:
        door = Door(server, opened)
        assert await door.status(forwarded="203.0.113.1") == 101
        for _ in range(10):
            assert await door.status(forwarded="203.0.113.1") == 503
            await until(lambda: admission(server).connections == 1)
        assert await door.status(forwarded="203.0.113.2") == 101


async def test_a_proxy_that_names_nobody_is_counted_for_the_node_only_and_said_once(tmp_path: Path) -> None:
    async with serving(tmp_path, ME) as server, AsyncExitStack() as opened:
        with capture_logs() as logged:
            answers = [await Door(server, opened).status() for _ in range(7)]
        assert answers == [101] * 6 + [503]
        said = [line["proxy"] for line in logged if line["event"] == "gateway.client_not_named"]
        assert said == ["127.0.0.1"]


async def test_what_anybody_else_claims_to_forward_is_not_believed(tmp_path: Path) -> None:
    async with serving(tmp_path, ["10.0.0.0/8"]) as server, AsyncExitStack() as opened:
        door = Door(server, opened)
        assert await door.status(forwarded="203.0.113.1") == 101
        assert await door.status(forwarded="203.0.113.2") == 503


async def test_a_header_before_the_upgrade_is_counted_for_the_client(tmp_path: Path) -> None:
    async with serving(tmp_path, ME, proxy_protocol=True) as server:
        async with AsyncExitStack() as opened:
            door = Door(server, opened)
            assert await door.status(behind=line("203.0.113.1")) == 101
            assert await door.status(behind=line("203.0.113.2")) == 101
            assert await door.status(behind=line("203.0.113.2"), forwarded="203.0.113.3") == 503  # of the client itself
            assert await door.status(behind=b"PROXY UNKNOWN\r\n", forwarded="203.0.113.4") == 101
            assert await door.status() == 0
        await until(lambda: admission(server).connections == 0)


async def test_a_header_of_anybody_else_is_no_request(tmp_path: Path) -> None:
    async with serving(tmp_path, ["10.0.0.0/8"], proxy_protocol=True) as server, AsyncExitStack() as opened:
        assert await Door(server, opened).status(behind=line("203.0.113.1")) == 0


async def test_sign_in_is_bounded_for_each_client_behind_a_proxy(tmp_path: Path) -> None:
    async with serving(tmp_path, ME) as server, httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{server.http_port}/v1/auth/device"

        async def statuses(client: str, times: int) -> set[int]:
            headers = {"X-Forwarded-For": f"198.51.100.1, {client}"}
            return {
                (await http.post(url, json={"device_id": f"a-device-of-{client}"}, headers=headers)).status_code
                for _ in range(times)
            }

        assert 429 in await statuses("203.0.113.1", 70)
        assert await statuses("203.0.113.2", 1) == {200}
