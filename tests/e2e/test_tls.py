"""A real node with TLS: players and sign-in come by it, and a new certificate takes the old one's place under them."""

import asyncio
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage

from clients.python import Client, ClientOptions
from clients.python.websocket import WebSocketDial
from server.app import running_server
from server.config import Auth, Config, Edge, Gateway, Http, Limits, StoreConfig
from server.limits import AdmissionLimits
from tests.support.certificates import Pair
from tests.support.nodes import ROOT
from tests.support.raw import PATIENCE_S, raw
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


async def test_a_handshake_has_a_place_in_admission_and_gives_it_back_when_it_fails(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    config = Config(
        gateway=Gateway(port=0),
        http=Http(port=0),
        edge=Edge(tls_cert=str(pair.cert), tls_key=str(pair.key)),
        store=StoreConfig(url=f"sqlite:///{tmp_path}/g.db"),
        auth=Auth(dev=True),
        limits=Limits(admission=AdmissionLimits(connections_per_address=1)),
    )
    async with running_server(config) as server:
        admission, url = server.gateway._parts.admission, f"wss://127.0.0.1:{server.gateway.port}/ws"
        assert admission is not None
        async with raw(server.gateway.port) as silent:
            await until(lambda: admission.connections == 1)
            with pytest.raises(ConnectionError):
                await connect(url, ssl=pair.believed())
            silent.put(b"this is no TLS")
            await until(lambda: admission.connections == 0)
        async with connect(url, ssl=pair.believed()):
            assert admission.connections == 1
        await until(lambda: admission.connections == 0)


async def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in this process without a sign to the outside."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - nobody in the node knows that a test waits
            await asyncio.sleep(0.005)


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
