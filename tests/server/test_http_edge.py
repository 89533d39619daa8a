"""The HTTP port by TLS and behind a proxy: who signs in, and what may not pile up at the door."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from actors.runtime import SystemClock
from actors.runtime.meters import Meters
from server.config import Http
from server.forwarded import Proxies
from server.http import HttpDoor
from server.tls import Certificate
from tests.server.test_http import DEVICE, Accounts, serving
from tests.support.certificates import Pair


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Pair, HttpDoor]:
    """A certificate and a door that shows it."""
    pair = Pair(tmp_path)
    return pair, HttpDoor(certificate=Certificate(str(pair.cert), str(pair.key), SystemClock(), Meters()))


async def test_sign_in_by_tls_is_answered_and_without_it_is_not(accounts: Accounts, tls: tuple[Pair, HttpDoor]) -> None:
    pair, door = tls
    async with serving(accounts, door=door) as plain, httpx.AsyncClient(verify=pair.believed()) as client:
        secure = f"https://127.0.0.1:{plain.base_url.port}"
        answer = await client.post(f"{secure}/v1/auth/device", json={"device_id": DEVICE})
        with pytest.raises(httpx.TransportError):
            await plain.get("/healthz")

    assert answer.json()["player"] == "ann"
    assert accounts.asked == [(DEVICE, "127.0.0.1")]


async def test_handshakes_that_do_not_end_take_no_more_than_all_connections_may(
    accounts: Accounts, tls: tuple[Pair, HttpDoor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.http.CONCURRENT", 3)
    async with serving(accounts, door=tls[1]) as client, AsyncExitStack() as opened:
        writers, ends = list[asyncio.StreamWriter](), list[asyncio.Task[bytes]]()
        tasks = await opened.enter_async_context(asyncio.TaskGroup())
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
            opened.callback(writer.transport.abort)
            writers.append(writer)  # one that nobody holds closes itself
            ends.append(tasks.create_task(reader.read()))
        cut, waiting = await asyncio.wait(ends, timeout=2, return_when=asyncio.FIRST_COMPLETED)
        assert [end.result() for end in cut] == [b""]
        assert len(waiting) == 3


async def test_a_proxys_header_before_the_request_says_who_signs_in(accounts: Accounts) -> None:
    door = HttpDoor(proxies=Proxies(["127.0.0.1"]))
    body = f'{{"device_id":"{DEVICE}"}}'
    head = f"POST /v1/auth/device HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    async with serving(accounts, Http(port=0, proxy_protocol=True), door) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(f"PROXY TCP6 2001:db8::9 ::1 4711 443\r\n{head}\r\n\r\n{body}".encode())
        assert b" 200 " in await reader.readline()
        writer.transport.abort()

    assert accounts.asked == [(DEVICE, "2001:db8::9")]
