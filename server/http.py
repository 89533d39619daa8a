"""The HTTP port: sign-in, health, metrics, the staff API where that has no address of its own, and in development mode
the demo page.

It runs on the loop of the node and is the slow path: nothing of a game's second-to-second traffic
comes here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Protocol

import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.config.cors import CORSConfig
from litestar.params import Body
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from structlog.contextvars import bound_contextvars
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from server.acceptor import Acceptor, Arrival, Entrance
from server.auth import DeviceId
from server.config import Http, split_address
from server.forwarded import Proxies
from server.http_errors import answer_error
from server.http_page import FOLDER, page_routes
from server.staff import docs_routes
from server.tls import Certificate

BODY_BYTES = 65_536
CONCURRENT = 512  # connections; past that 503, so that a flood here cannot starve the players
REQUEST_S = 10.0  # for a whole request to arrive: CONCURRENT silent sockets would otherwise shut the port for good
DATE_S = 1.0  # a date header has whole seconds
GRACE_S = 2  # for answers under way when the node stops
PRIVATE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class DeviceSignIn(Struct, frozen=True):
    """A device says who it is; its first sign-in makes the player."""

    device_id: DeviceId


class RefreshSignIn(Struct, frozen=True):
    """A refresh token, good once."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=256)]


class SignedIn(Struct, frozen=True):
    """Answer to both."""

    token: str
    refresh_token: str
    player: str
    expires_at: int
    """When ``token`` expires, milliseconds since the Unix epoch."""

    def __repr__(self) -> str:
        return f"SignedIn(player={self.player!r})"


class SignIn(Protocol):
    """What the sign-in routes ask. ``address`` is the client's, for limits by address.

    Both may raise NotAuthenticated, TokenExpired, RateLimited and Unavailable; after the last the
    same call again is safe.
    """

    async def device(self, device_id: str, *, address: str) -> SignedIn:
        """Sign in the player of a device; the first time, make one."""
        ...

    async def refresh(self, refresh_token: str, *, address: str) -> SignedIn:
        """Use a refresh token up and issue the next."""
        ...


class HttpParts(Struct, frozen=True, kw_only=True):
    """What the routes need of the node."""

    ready: Callable[[], list[str]]
    """Why this node should get no traffic now, in words for an operator; empty while it should."""
    notes: Callable[[], list[str]] = list
    """What goes badly all the same, in words for an operator."""
    registry: CollectorRegistry
    sign_in: SignIn
    gateway_port: Callable[[], int]
    """The bound port of the gateway; 0 while it is not bound."""
    dev: bool = False
    origins: Sequence[str] = ()
    """Web pages of other hosts that may sign in (``gateway.origins``)."""
    routes: Sequence[ControllerRouterHandler] = ()
    """More routes: those of staff. With them comes the page of the API."""
    pages: Path = FOLDER
    """Folder of the demo page."""


class HttpDoor(Struct, frozen=True, kw_only=True):
    """How one comes to the HTTP ports."""

    certificate: Certificate | None = None
    """None: without TLS."""
    proxies: Proxies = Proxies()
    """Who is believed when it says who the client is."""


class Readiness(Struct, frozen=True):
    """Whether a load balancer should send traffic here."""

    ready: bool
    reasons: list[str]
    notes: list[str]


class PageConfig(Struct, frozen=True):
    """What the demo page has to know."""

    gateway_port: int
    dev: bool


@asynccontextmanager
async def running_http(config: Http, parts: HttpParts, door: HttpDoor | None = None) -> AsyncIterator[int]:
    """Serve while this is open; yields the bound port.

    Raises:
        OSError: the address cannot be bound.
    """
    async with _listening(config, config.host, config.port, make_app(parts), door or HttpDoor()) as port:
        yield port


@asynccontextmanager
async def running_staff_http(
    config: Http, routes: Sequence[ControllerRouterHandler], door: HttpDoor
) -> AsyncIterator[int]:
    """Serve the staff API at ``http.staff_address`` while this is open; yields the bound port.

    Raises:
        OSError: the address cannot be bound.
    """
    host, port = split_address(config.staff_address)
    app = _app([*routes, *docs_routes(routes, files=True)])
    async with _listening(config, host.strip("[]"), port, app, door) as bound:
        yield bound


@asynccontextmanager
async def _listening(config: Http, host: str, port: int, app: Litestar, door: HttpDoor) -> AsyncIterator[int]:
    server = _Server(
        uvicorn.Config(
            _named(door.proxies, _traced(app)),
            http=_InTime,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # ours does, as at the gateway
            limit_concurrency=CONCURRENT,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    entrance = Entrance(
        tls=door.certificate,
        proxies=door.proxies if config.proxy_protocol else None,
        admit=lambda _address: server.connections + acceptor.entering <= CONCURRENT,
    )
    acceptor = Acceptor(host, port, server.protocol, entrance)
    async with acceptor.running(), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.serve(sockets=[]), name="http")
        try:
            await server.up.wait()
            yield acceptor.port
        finally:
            acceptor.stop_listening()
            server.stop()
            await asyncio.wait([task])  # not cancelled: it closes its connections in order


def make_app(parts: HttpParts) -> Litestar:
    """All routes as one application."""
    handlers: list[ControllerRouterHandler] = [*_operator_routes(parts), *_sign_in_routes(parts)]
    handlers += parts.routes
    if parts.dev or parts.routes:
        handlers += docs_routes(tuple(handlers), files=not parts.dev)
    if parts.dev:
        handlers += page_routes(parts.pages, parts.gateway_port)
    cors = CORSConfig(
        allow_origins=list(parts.origins),
        allow_methods=["GET", "POST"],
        allow_headers=["content-type", "authorization", "idempotency-key"],
    )
    return _app(handlers, cors if parts.origins else None)


def _app(handlers: Sequence[ControllerRouterHandler], cors: CORSConfig | None = None) -> Litestar:
    return Litestar(
        list(handlers),
        exception_handlers={Exception: answer_error},
        request_max_body_size=BODY_BYTES,
        cors_config=cors,
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


def _operator_routes(parts: HttpParts) -> list[ControllerRouterHandler]:
    @get("/healthz")
    async def healthz() -> Response[dict[str, str]]:
        """Whether the process runs; a supervisor restarts it when this does not answer."""
        return Response({"status": "ok"}, headers=PRIVATE)

    @get("/readyz")
    async def readyz() -> Response[Readiness]:
        """Whether the node should get traffic: 200, or 503 with the reasons. Notes say what goes badly either way."""
        reasons = parts.ready()
        status = 503 if reasons else 200
        return Response(Readiness(not reasons, reasons, parts.notes()), status_code=status, headers=PRIVATE)

    @get("/metrics", include_in_schema=False)
    async def metrics() -> Response[bytes]:
        """Numbers for Prometheus."""
        text = generate_latest(parts.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST, headers=PRIVATE)

    return [healthz, readyz, metrics]


def _sign_in_routes(parts: HttpParts) -> list[ControllerRouterHandler]:
    @post("/v1/auth/device", status_code=200)
    async def device(data: Annotated[DeviceSignIn, Body()], request: Request[Any, Any, Any]) -> Response[SignedIn]:
        """Sign in by device."""
        answer = await parts.sign_in.device(data.device_id, address=_address(request))
        return Response(answer, headers=PRIVATE)

    @post("/v1/auth/refresh", status_code=200)
    async def refresh(data: Annotated[RefreshSignIn, Body()], request: Request[Any, Any, Any]) -> Response[SignedIn]:
        """Get a new token; the refresh token given is used up."""
        answer = await parts.sign_in.refresh(data.refresh_token, address=_address(request))
        return Response(answer, headers=PRIVATE)

    @get("/v1/config")
    async def page_config() -> Response[PageConfig]:
        """Where the gateway is, for a page that was served from here."""
        return Response(PageConfig(parts.gateway_port(), parts.dev), headers=PRIVATE)

    return [device, refresh, page_config]


def _address(request: Request[Any, Any, Any]) -> str:
    return request.client.host if request.client else ""


def _traced(app: Litestar) -> Asgi:
    """Bind a trace id for the log lines and the error answer of each request."""

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        with bound_contextvars(trace=token_hex(8)):
            await app(scope, receive, send)

    return traced


def _named(proxies: Proxies, app: Asgi) -> Asgi:
    """Have the client's address be the client's, where a trusted proxy says it."""

    async def named(scope: Any, receive: Any, send: Any) -> None:
        peer = scope["client"][0] if scope.get("client") else ""
        if proxies.trusts(peer):
            forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
            scope["client"] = (proxies.client(peer, forwarded), 0)
        await app(scope, receive, send)

    return named


class _InTime(H11Protocol):
    """Uvicorn's protocol, which by itself waits for ever for a request that never ends."""

    def __init__(self, config: uvicorn.Config, state: ServerState, address: str) -> None:
        super().__init__(config, state, {})
        self._address = address
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.client = (self._address, 0)
        self._late = self.loop.call_later(REQUEST_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        whole = cycle is not None and not cycle.response_complete and not cycle.more_body
        if whole or self.transport.is_closing():
            self._in_time()
        elif self._late is None:
            self._late = self.loop.call_later(REQUEST_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Server(uvicorn.Server):
    """Uvicorn as a part of a node: it says when it is up, and leaves signals to the node."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._stopped = asyncio.Event()

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self.server_state.connections)

    def protocol(self, arrival: Arrival) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _InTime(self.config, self.server_state, arrival.address)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()

    async def main_loop(self) -> None:
        """Until ``stop``; uvicorn's own looks ten times a second whether it should end."""
        while not self._stopped.is_set():
            await self.on_tick(0)  # renews the date header
            with suppress(TimeoutError):
                async with asyncio.timeout(DATE_S):
                    await self._stopped.wait()

    def stop(self) -> None:
        """Finish what is under way, take nothing more."""
        self.should_exit = True
        self._stopped.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
