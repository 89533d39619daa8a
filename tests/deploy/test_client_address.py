"""The client's own address reaches a node through HAProxy, in each way that HAProxy can tell it."""

import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from loadtest.ports import free_port
from tests.deploy.balancer import Balancer, Passage, before, passing
from tests.support.certificates import Pair
from tests.support.nodes import node
from tests.support.tls_node import TlsNode

ONE, OTHER = "127.0.0.2", "127.0.0.3"  # loopback is a whole network: two clients on one machine
SETTINGS = """
[edge]
trusted_proxies = ["127.0.0.1"]
[gateway]
proxy_protocol = {}
[limits.admission]
connections_per_address = 1
"""


def options(folder: Path, *, header: bool) -> tuple[str, ...]:
    """Of a node that lets in one connection of each client, and believes the balancer."""
    settings = folder / "settings.toml"
    settings.write_text(SETTINGS.format(str(header).lower()))
    return "--config", str(settings), "--store", f"sqlite:///{folder}/g.db"


@contextmanager
def started(balancer: Balancer) -> Iterator[str]:
    """Runs a balancer; its URL."""
    try:
        balancer.start()
        yield balancer.url
    finally:
        balancer.stop()


@contextmanager
def shipped(folder: Path, header: str) -> Iterator[str]:
    """A node behind deploy/haproxy.cfg."""
    with node(folder, "node", *options(folder, header=bool(header))) as running:
        port = free_port()
        configuration = before((running, running), port, header=header)
        with started(Balancer(folder, configuration, port)) as url:
            yield url


async def assert_one_each(url: str, tls: ssl.SSLContext | None, refused: type[Exception]) -> None:
    """Each client gets one connection, whoever else has one."""
    async with AsyncExitStack() as opened:

        async def come(client: str) -> None:
            socket = connect(url, local_addr=(client, 0), ssl=tls, proxy=None)
            await opened.enter_async_context(socket)

        await come(ONE)
        with pytest.raises(refused):
            await come(ONE)
        await come(OTHER)
        with pytest.raises(refused):
            await come(OTHER)


@pytest.mark.parametrize(
    "header", ["", "send-proxy", "send-proxy-v2"], ids=["X-Forwarded-For", "version 1", "version 2"]
)
async def test_each_client_is_counted_by_its_own_address(tmp_path: Path, header: str) -> None:
    with shipped(tmp_path, header) as url:
        await assert_one_each(url, None, InvalidStatus)


@pytest.mark.parametrize("header", ["send-proxy", "send-proxy-v2"])
async def test_a_node_that_ends_tls_itself_knows_the_client_too(tmp_path: Path, header: str) -> None:
    """Refused before the handshake, so there is no answer to read."""
    pair = Pair(tmp_path)
    running = TlsNode(tmp_path, pair, *options(tmp_path, header=True)[:2])
    try:
        running.start()
        port = free_port()
        with started(Passage(tmp_path, passing(running, port, header), port)) as url:
            await assert_one_each(url.replace("ws:", "wss:"), pair.believed(), ConnectionError)
    finally:
        running.stop()
