"""A real node with TLS: players and sign-in come by it, and a new certificate takes the old one's place under them."""

import asyncio
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage

from clients.python import Client, ClientOptions
from clients.python.websocket import WebSocketDial
from tests.support.certificates import Pair
from tests.support.nodes import ROOT
from tests.support.tls_node import TlsNode


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TlsNode]:
    made = TlsNode(tmp_path, Pair(tmp_path))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def believing(url: str, context: ssl.SSLContext) -> ClientOptions:
    return ClientOptions(dial=WebSocketDial(url, tls=context))


async def healthz(http: str, context: ssl.SSLContext | bool = True) -> int:
    """Status of the HTTP port's."""
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        return (await client.get(f"{http}/healthz")).status_code


async def test_a_new_certificate_takes_the_olds_place_and_no_session_ends(node: TlsNode) -> None:
    first = node.pair.believed()
    async with Client.connect(node.url, token="dev:ann", options=believing(node.url, first)) as ann:
        await ann.join("room:raid")

        node.pair.write("second")
        second = node.pair.believed()
        node.process.send_signal(signal.SIGHUP)
        await node.until_logged("tls.reloaded")

        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(node.url, ssl=first)
        with pytest.raises(httpx.ConnectError):
            await healthz(node.http, first)
        assert await healthz(node.http, second) == 200
        async with Client.connect(node.url, token="dev:bob", options=believing(node.url, second)) as bob:
            await bob.join("room:raid")
            await bob.say("room:raid", "on the new one")
            async for line in ann.events("chat.message"):
                assert line["text"] == "on the new one"
                break
        assert "session.resumed" not in node.log.read_text()
    assert await asyncio.to_thread(node.terminate) == 0, node.tail()


async def test_a_broken_pair_leaves_the_old_one_and_is_said(node: TlsNode) -> None:
    believed = node.pair.believed()
    node.pair.key.write_text("half a key")
    node.process.send_signal(signal.SIGHUP)
    await node.until_logged("tls.kept")

    async with connect(node.url, ssl=believed) as socket:
        await socket.send('{"t":"hello","id":"h","token":"dev:ann"}')
        assert '"welcome"' in str(await socket.recv())


async def test_an_end_is_answered_at_once(node: TlsNode) -> None:
    """A client waits for the server to close the connection (RFC 6455, 7.1.1); TLS has no half of one to shut."""
    loop = asyncio.get_running_loop()
    async with connect(node.url, ssl=node.pair.believed()) as socket:
        await socket.send('{"t":"hello","id":"h","token":"dev:ann"}')
        await socket.recv()
        began = loop.time()
        await socket.close()
        assert loop.time() - began < 1.0


async def test_without_tls_nothing_is_said(node: TlsNode) -> None:
    with pytest.raises(InvalidMessage):
        await connect(node.url.replace("wss", "ws"))
    with pytest.raises(httpx.TransportError):
        await healthz(node.http.replace("https", "http"))


def test_the_health_check_of_the_image_asks_by_tls(node: TlsNode) -> None:
    for variable in ("GUILDHALL_TLS_CERT", "GUILDHALL_EDGE_TLS_CERT"):
        environment = {"GUILDHALL_HTTP_PORT": str(node.http_port), variable: str(node.pair.cert)}
        asked = [sys.executable, "-IS", str(ROOT / "deploy" / "healthcheck.py")]
        done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=10, check=False)
        assert (done.returncode, done.stdout) == (0, "200\n")


def started(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A node that is expected to end by itself."""
    command = [sys.executable, "-m", "server", "serve", "--dev", "--store", f"sqlite:///{folder}/g.db", *options]
    ports = ["--gateway-port", "0", "--http-port", "0"]
    return subprocess.run([*command, *ports], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_a_node_with_half_a_pair_or_a_broken_one_does_not_start(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    half = started(tmp_path, *pair.options[:2])
    assert (half.returncode, half.stderr) == (
        2,
        "guildhall: edge.tls_cert and edge.tls_key belong together; allowed: both or none\n",
    )

    pair.key.unlink()
    broken = started(tmp_path, *pair.options)
    assert broken.returncode == 2
    assert broken.stderr.splitlines()[-1] == (
        f"guildhall: edge.tls_key: cannot read {pair.key}: No such file or directory"
    )
