"""The HTTP port, by real requests: health, metrics, sign-in, the demo page, and errors in one form."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from litestar import get

from actors.runtime.meters import Meters
from protocol.errors import (
    Busy,
    GuildhallError,
    IdReused,
    Invalid,
    NotAuthenticated,
    RateLimited,
    TokenExpired,
    Unavailable,
)
from server.config import Http
from server.forwarded import Proxies
from server.http import HttpDoor, HttpParts, SignedIn, running_http
from server.telemetry import registry_of

POST_BEGUN = (
    b"POST /v1/auth/device HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
)
DEVICE = "0f8fad5b-d9cb-469f-a165-70867728950e"


class Accounts:
    """Signs everybody in as ann, or fails as it is told; remembers what it was asked."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.asked: list[tuple[str, str]] = []

    async def device(self, device_id: str, *, address: str) -> SignedIn:
        return self._answer(device_id, address)

    async def refresh(self, refresh_token: str, *, address: str) -> SignedIn:
        return self._answer(refresh_token, address)

    def _answer(self, what: str, address: str) -> SignedIn:
        self.asked.append((what, address))
        if self.fails is not None:
            raise self.fails
        return SignedIn(token="t", refresh_token="r", player="ann", expires_at=1_800_000_000_000)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@asynccontextmanager
async def serving(
    accounts: Accounts, http: Http | None = None, door: HttpDoor | None = None, **parts: Any
) -> AsyncIterator[httpx.AsyncClient]:
    given: dict[str, Any] = {
        "ready": list,
        "registry": registry_of(Meters()),
        "sign_in": accounts,
        "gateway_port": lambda: 7350,
        **parts,
    }
    async with (
        running_http(http or Http(port=0), HttpParts(**given), door) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["trace"]
    assert body["title"]
    return body


# Health and metrics.
async def test_a_process_that_runs_is_healthy_even_when_it_is_not_ready(accounts: Accounts) -> None:
    async with serving(accounts, ready=lambda: ["the store does not answer"]) as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json() == {"ready": False, "reasons": ["the store does not answer"], "notes": []}


async def test_readiness_is_asked_anew_each_time(accounts: Accounts) -> None:
    reasons = ["starting"]
    async with serving(accounts, ready=lambda: list(reasons)) as client:
        before = await client.get("/readyz")
        reasons.clear()
        after = await client.get("/readyz")

    assert (before.status_code, after.status_code) == (503, 200)
    assert after.json() == {"ready": True, "reasons": [], "notes": []}


async def test_what_goes_badly_is_told_of_a_node_that_is_ready(accounts: Accounts) -> None:
    async with serving(accounts, notes=lambda: ["the store is slow"]) as client:
        answer = await client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "reasons": [], "notes": ["the store is slow"]}


async def test_metrics_are_the_meters_now(accounts: Accounts) -> None:
    meters = Meters()
    async with serving(accounts, registry=registry_of(meters)) as client:
        meters.connections = 17
        answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert "guildhall_connections 17.0" in answer.text


# Sign-in.
async def test_a_device_signs_in(accounts: Accounts) -> None:
    async with serving(accounts) as client:
        answer = await client.post("/v1/auth/device", json={"device_id": DEVICE})

    assert answer.status_code == 200
    assert answer.json() == {
        "token": "t",
        "refresh_token": "r",
        "player": "ann",
        "expires_at": 1_800_000_000_000,
    }
    assert answer.headers["cache-control"] == "no-store"
    assert accounts.asked == [(DEVICE, "127.0.0.1")]


async def test_a_refresh_token_is_exchanged(accounts: Accounts) -> None:
    async with serving(accounts) as client:
        answer = await client.post("/v1/auth/refresh", json={"refresh_token": "f.a.s"})

    assert answer.json()["player"] == "ann"
    assert accounts.asked == [("f.a.s", "127.0.0.1")]


async def test_a_body_that_cannot_be_read_is_invalid(accounts: Accounts) -> None:
    bodies = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"device_id":5}',
        b'{"device_id":"abc"}',
        b'{"device_id":"' + b"x" * 129 + b'"}',
        b"\xff\xfe",
        b"[" * 10_000,
    ]
    json_type = {"content-type": "application/json"}
    async with serving(accounts) as client:
        for body in bodies:
            answer = await client.post("/v1/auth/device", content=body, headers=json_type)

            assert_problem(answer, 400, "protocol.invalid")
    assert accounts.asked == []


async def test_a_body_that_is_too_long_is_refused_unread(accounts: Accounts) -> None:
    async with serving(accounts) as client:
        answer = await client.post("/v1/auth/device", json={"device_id": "x" * 100_000})

    assert_problem(answer, 413, "http.request_entity_too_large")


async def test_the_address_is_the_peers_unless_a_trusted_proxy_says_another(accounts: Accounts) -> None:
    forwarded = {"x-forwarded-for": "198.51.100.1, 203.0.113.9"}
    for door in (HttpDoor(), HttpDoor(proxies=Proxies(["127.0.0.0/8"]))):
        async with serving(accounts, door=door) as client:
            await client.post("/v1/auth/device", json={"device_id": DEVICE}, headers=forwarded)

    assert [address for _, address in accounts.asked] == ["127.0.0.1", "203.0.113.9"]


# Errors.
class RosterFull(GuildhallError):
    """The roster is full."""

    code = "guild.full"


class NoGuild(GuildhallError):
    """There is no such guild."""

    code = "guild.not_found"


async def test_a_refusal_has_its_stable_code_and_a_fitting_status(accounts: Accounts) -> None:
    refusals: list[tuple[GuildhallError, int]] = [
        (Invalid("no"), 400),
        (NotAuthenticated(), 401),
        (TokenExpired(), 401),
        (NoGuild(), 404),
        (RosterFull(), 409),
        (IdReused(), 409),
        (RateLimited(), 429),
        (Unavailable(), 503),
        (Busy(), 503),
    ]
    async with serving(accounts) as client:
        for error, status in refusals:
            accounts.fails = error
            answer = await client.post("/v1/auth/device", json={"device_id": DEVICE})

            body = assert_problem(answer, status, error.code)
            assert (body["detail"], body["retry"]) == (str(error), error.retry)


async def test_a_pause_is_told_in_both_forms(accounts: Accounts) -> None:
    accounts.fails = RateLimited(retry_after_ms=1200)
    async with serving(accounts) as client:
        answer = await client.post("/v1/auth/device", json={"device_id": DEVICE})

    assert answer.json()["retry_after_ms"] == 1200
    assert answer.headers["retry-after"] == "2"


async def test_a_defect_tells_nothing_but_the_trace_that_finds_it_in_the_log(
    accounts: Accounts,
) -> None:
    accounts.fails = RuntimeError("mysql://u:hunter2@db")
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        async with serving(accounts) as client:
            answer = await client.post("/v1/auth/device", json={"device_id": DEVICE})

    body = assert_problem(answer, 500, "internal")
    assert "hunter2" not in answer.text
    assert [(line["event"], line["trace"]) for line in lines] == [("http.failed", body["trace"])]
    assert lines[0]["exc_info"] is accounts.fails


async def test_unknown_paths_and_methods_are_problems_too(accounts: Accounts) -> None:
    async with serving(accounts) as client:
        assert_problem(await client.get("/nothing"), 404, "http.not_found")
        assert_problem(await client.get("/v1/auth/device"), 405, "http.method_not_allowed")


# The demo page.
@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "index.html").write_text("<title>demo</title>")
    (folder / "app.js").write_text("go()")
    (folder / "style.css").write_text("a{}")
    (folder / "notes.txt").write_text("mine")
    (tmp_path / "secret.js").write_text("hunter2")
    return folder


async def test_the_page_is_served_with_a_policy_that_lets_it_reach_its_gateway_only(
    accounts: Accounts, pages: Path
) -> None:
    async with serving(accounts, dev=True, pages=pages, gateway_port=lambda: 4321) as client:
        index, script, style = [await client.get(f"/{name}") for name in ("", "app.js", "style.css")]
        config = await client.get("/v1/config")

    assert index.text == "<title>demo</title>"
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    assert script.headers["content-type"].startswith("text/javascript")
    assert style.headers["content-type"].startswith("text/css")
    for answer in (index, script, style):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert (
            "connect-src 'self' ws://127.0.0.1:4321 wss://127.0.0.1:4321 ws://localhost:4321 wss://localhost:4321;"
            in policy
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    assert config.json() == {"gateway_port": 4321, "dev": True}


async def test_only_the_files_of_the_page_are_served(accounts: Accounts, pages: Path) -> None:
    tricks = ("/../secret.js", "/..%2fsecret.js", "/%2e%2e/secret.js", "/notes.txt", "/none.js", "/.js")
    async with serving(accounts, dev=True, pages=pages) as client:
        for path in tricks:
            answer = await raw_get(client, path)

            assert answer.startswith(b"HTTP/1.1 404"), path
            assert b"hunter2" not in answer


async def raw_get(client: httpx.AsyncClient, path: str) -> bytes:
    """A request whose path no client library tidies up first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_production_serves_no_page_and_no_schema(accounts: Accounts, pages: Path) -> None:
    async with serving(accounts, pages=pages) as client:
        for path in ("/", "/app.js", "/v1/docs/openapi.json", "/schema"):
            assert_problem(await client.get(path), 404, "http.not_found")


async def test_development_serves_the_schema_of_its_routes(accounts: Accounts) -> None:
    async with serving(accounts, dev=True) as client:
        answer = await client.get("/v1/docs/openapi.json")

    assert {"/v1/auth/device", "/v1/auth/refresh", "/readyz"} <= answer.json()["paths"].keys()


# Around.
async def test_pages_of_allowed_origins_may_sign_in_and_others_may_not(accounts: Accounts) -> None:
    async with serving(accounts, origins=["https://game.example"]) as client:
        allowed, other = [
            await client.options(
                "/v1/auth/device",
                headers={"origin": origin, "access-control-request-method": "POST"},
            )
            for origin in ("https://game.example", "https://evil.example")
        ]

    assert allowed.headers["access-control-allow-origin"] == "https://game.example"
    assert "access-control-allow-origin" not in other.headers


async def test_more_routes_can_be_given_and_share_the_error_form(accounts: Accounts) -> None:
    @get("/v1/staff")
    async def staff() -> None:
        raise NotAuthenticated

    async with serving(accounts, routes=[staff]) as client:
        answer = await client.get("/v1/staff")

    assert_problem(answer, 401, "auth.invalid")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_no_answer_names_the_software(accounts: Accounts) -> None:
    async with serving(accounts) as client:
        assert "server" not in (await client.get("/healthz")).headers


async def test_a_port_that_is_taken_is_an_error_of_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="in use"):
            async with serving(Accounts(), Http(port=taken.getsockname()[1])):
                pytest.fail("it started all the same")


async def test_an_answer_under_way_is_finished_when_the_node_stops() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    class SlowAccounts(Accounts):
        async def device(self, device_id: str, *, address: str) -> SignedIn:
            asked.set()
            await go_on.wait()
            return self._answer(device_id, address)

    async with asyncio.TaskGroup() as tasks, httpx.AsyncClient(trust_env=False) as client:
        parts = HttpParts(
            ready=list,
            registry=registry_of(Meters()),
            sign_in=SlowAccounts(),
            gateway_port=lambda: 0,
        )
        async with running_http(Http(port=0), parts) as port:
            url = f"http://127.0.0.1:{port}/v1/auth/device"
            request = tasks.create_task(client.post(url, json={"device_id": DEVICE}))
            await asked.wait()
            asyncio.get_running_loop().call_later(0.15, go_on.set)

        assert (await request).json()["player"] == "ann"
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_a_node_that_fails_takes_its_port_down_with_it(accounts: Accounts) -> None:
    with pytest.raises(ExceptionGroup) as failed:
        async with serving(accounts) as client:
            port = client.base_url.port
            raise RuntimeError("another part failed")

    assert failed.group_contains(RuntimeError, match="another part failed")
    with socket.create_server(("127.0.0.1", port or 0)):
        pass  # free again


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nX: ", POST_BEGUN])
async def test_a_request_that_does_not_arrive_in_time_is_cut(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """512 sockets that said nothing shut the port, /readyz and sign-in included, for as long as they liked."""
    monkeypatch.setattr("server.http.REQUEST_S", 0.05)
    async with serving(accounts) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(begun)
        async with asyncio.timeout(5):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        writer.transport.abort()
