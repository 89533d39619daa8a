"""The composition root: settings in, a running node out. The only place that knows every part."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import SystemRandom
from typing import Any

import structlog

from actors.limits import limits as limits_room
from actors.runtime import Clock, Feature, NodeOptions, Outside, SystemClock
from actors.runtime.backoff import Backoff
from actors.runtime.host import HostOptions
from actors.runtime.meters import Meters
from actors.runtime.node import Node
from actors.runtime.router import RouterOptions
from protocol import Codec, Limits, Unavailable, digest, tag_of
from server import inspection
from server.auth import Tokens
from server.auth_jwks import RemoteKeys
from server.config import Config
from server.doctor import Finding, look_at_boards
from server.doctor_rows import again, look_at_rows
from server.features import FEATURES, blueprint
from server.forwarded import Proxies
from server.framing import frame
from server.gateway import Gateway, GatewayParts
from server.http import HttpDoor, HttpParts, SignedIn, running_http, running_staff_http
from server.lifetime import allow_many_sockets, at_hangup, drain, first, signals, unless
from server.node_limits import NodeLimits
from server.observing import CountedBus, MeterObserver
from server.sign_in import AccountSignIn
from server.staff import Counted, Desk, DeskParts, NodeNumbers, staff_routes
from server.status import Status
from server.telemetry import configure_logging, loop_lag, registry_of
from server.tls import open_certificate
from server.welcome import WelcomeOptions, Welcomer
from server.workers.heart import beating
from server.workers.place import Worker
from server.workers.shared_http import running_worker_http
from storage import NodeRow, SchemaBehind, Store, StoreDown, look_into_store, open_bus, open_ranks, open_store
from storage import migrate as migrate_store

log = structlog.get_logger()
Features = Sequence[Feature[Any]]
TEXT_CHARS = 2000  # of a chat line; told to clients in the welcome
LOOK_AGAIN_S = 2.0  # the doctor believes what it sees twice: by then what was on its way has arrived


async def serve(config: Config, features: Features = FEATURES, *, worker: Worker | None = None) -> int:
    """Run a node until SIGTERM or SIGINT, then drain it; a second signal hurries. Returns the exit code.

    ``features``, here and below: the rooms that the node has. ``worker``: its place among several behind one port.
    """
    configure_logging(config.log, dev=config.auth.dev)
    allow_many_sockets()
    stop, hurry = signals(supervised=worker is not None)
    async with AsyncExitStack() as up:
        up.enter_context(beating(worker.heart if worker is not None else None))
        starting = running_server(config, stop=stop.set, features=features, worker=worker)
        server = await unless(stop, up.enter_async_context(starting))
        if server is None:
            log.info("server.stopped", while_starting=True)
            return 0
        settle_collector()
        if config.auth.dev and (worker is None or worker.number == 0):
            _say_where(config, server)
        await stop.wait()
        log.info("server.draining", sessions=server.gateway.sessions)
        await first(server.drain(config.gateway.drain_s), hurry)
    log.info("server.stopped")
    return 0


async def migrate(config: Config, features: Features = FEATURES) -> list[str]:
    """Bring the database's schema up to date; returns what was applied."""
    return await migrate_store(config.store.url, blueprint(features).migrations())


async def inspect(config: Config, kind: str, key: str, features: Features = FEATURES) -> dict[str, Any]:
    """What the store holds of one actor."""
    async with look_into_store(config.store.url) as store:
        return await inspection.inspect(store, blueprint(features), f"{kind}:{key}")


async def doctor(config: Config, clock: Clock | None = None) -> list[Finding]:
    """What does not agree in the database, and between it and the index of ranks."""
    clock = clock or SystemClock()
    now_ms = clock.now_ms()
    async with look_into_store(config.store.url) as store:
        rows = await look_at_rows(store, now_ms)
        if not all(finding.well for finding in rows):
            await clock.sleep(LOOK_AGAIN_S)
            rows = again(rows, await look_at_rows(store, now_ms))
        if config.bus.url == "local:":
            return rows + await look_at_boards(store, None, now_ms)
        async with open_ranks(config.bus.url, await _epoch(store)) as ranks:
            return rows + await look_at_boards(store, ranks, now_ms)


class Server:
    """A node with its ports."""

    def __init__(
        self, node: Node, gateway: Gateway, http_port: int, status: Status, leave_http: Callable[[], None]
    ) -> None:
        self.node = node
        self.gateway = gateway
        self.http_port = http_port
        self._status = status
        self._leave_http = leave_http

    async def drain(self, within_s: float) -> None:
        """See ``server.lifetime.drain``."""
        self._status.draining = True
        self._leave_http()
        if not await drain(self.node, self.gateway, within_s):
            log.warning("server.drain_incomplete", actors=len(self.node.host.activations))


@asynccontextmanager
async def running_server(
    config: Config,
    clock: Clock | None = None,
    stop: Callable[[], None] = lambda: None,
    features: Features = FEATURES,
    worker: Worker | None = None,
) -> AsyncIterator[Server]:
    """A whole node: HTTP first, so that ``/readyz`` can say why not, the gateway last; last up, first down.

    ``stop`` is called when staff tells this node to drain.

    Raises:
        ConfigError: the certificate cannot be used.
    """
    clock = clock or SystemClock()
    structlog.contextvars.bind_contextvars(node=config.node.name)
    random = SystemRandom()
    meters, plan = Meters(), blueprint(features)
    limits = NodeLimits(config.limits, meters, random, frozenset(map(tag_of, plan.requests)) | {"hello", "topic.sync"})
    status = Status(limits.shedder)
    certificate = await asyncio.to_thread(open_certificate, config.edge, clock, meters)
    door = HttpDoor(certificate=certificate, proxies=Proxies(config.edge.trusted_proxies), share=worker is not None)
    tokens, remote_keys = _tokens(config, clock)
    ports = {"gateway": 0}
    sign_in, desk = _LateSignIn(), Desk(clock)
    staff = staff_routes(desk, dev=config.auth.dev)
    async with AsyncExitStack() as parts:
        if certificate is not None:
            await parts.enter_async_context(at_hangup(certificate.reload))
        tasks = await parts.enter_async_context(asyncio.TaskGroup())
        http_parts = HttpParts(
            ready=status.reasons,
            notes=status.notes,
            registry=registry_of(meters),
            sign_in=sign_in,
            gateway_port=lambda: ports["gateway"],
            dev=config.auth.dev,
            origins=config.gateway.origins or (),
            routes=() if config.http.staff_address else staff,
        )
        http_port, leave_http = await parts.enter_async_context(_http(config, http_parts, door, worker))
        if config.http.staff_address:
            await parts.enter_async_context(running_staff_http(config.http, staff, door))
        store = await parts.enter_async_context(_store(config, plan.migrations(), clock, Backoff(random), status))
        meters.store_up = True
        if worker is not None and worker.before:
            await _end_lease(store, worker.before)
        epoch = await _epoch(store)
        bus = CountedBus(await parts.enter_async_context(open_bus(config.bus.url)), epoch, meters)
        ranks = await parts.enter_async_context(open_ranks(config.bus.url, epoch))
        status.bus = bus
        status.starting = "waiting for the bus and the node's lease"
        node = Node(
            NodeRow(config.node.name, f"{config.gateway.host}:{config.gateway.port}", draining=False),
            plan,
            Outside(
                store=store,
                bus=bus,
                ranks=ranks,
                clock=clock,
                random=random,
                observe=MeterObserver(meters),
                frame=frame,
                digest=digest,
                shared_bus=config.bus.url != "local:",
                epoch=epoch,
            ),
            _node_options(config),
        )
        meters.active = node.host.activations.kinds
        await parts.enter_async_context(node.running())
        if limits_room.name in node.replicas.values:  # not where the rooms are a test's own
            node.replicas.watch(limits_room.name, limits.apply)
        sign_in.ready = AccountSignIn(
            node.router,
            tokens,
            clock,
            limits,
            refresh_s=config.auth.refresh_token_s,
        )
        if remote_keys is not None:
            await parts.enter_async_context(remote_keys.running())
        gateway_parts = _gateway_parts(config, node, tokens, limits, meters, clock, random, door)
        gateway = Gateway(config.gateway, gateway_parts, share_port=worker is not None)
        lag = tasks.create_task(loop_lag(clock, meters, partial(_look, clock, limits, gateway)), name="loop-lag")
        parts.callback(lag.cancel)
        await parts.enter_async_context(gateway.running())
        ports["gateway"] = gateway.port
        numbers = NodeNumbers(node.name, bus, clock, count=partial(_count, node, gateway, meters), drain=stop)
        await parts.enter_async_context(numbers.running())
        desk.parts = DeskParts(
            store=store, router=node.router, membership=node.membership, numbers=numbers, limits=limits
        )
        status.node, status.starting = node, ""
        yield Server(node, gateway, http_port, status, leave_http)


@asynccontextmanager
async def _http(
    config: Config, parts: HttpParts, door: HttpDoor, worker: Worker | None
) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """The HTTP port, and what leaves it to the other workers, where there are any."""
    if worker is None:
        async with running_http(config.http, parts, door) as port:
            yield port, lambda: None
    else:
        async with running_worker_http(config.http, parts, door, worker) as leave:
            yield config.http.port, leave


def _look(clock: Clock, limits: NodeLimits, gateway: Gateway, lag_s: float) -> None:
    """What is done four times a second."""
    limits.observe_lag(clock.monotonic(), lag_s)
    gateway.outbound_total.look()


def _count(node: Node, gateway: Gateway, meters: Meters) -> Counted:
    messages_in = sum(meters.messages_in.values())
    return Counted(gateway.sessions, len(node.host.activations), messages_in, meters.messages_out)


def _node_options(config: Config) -> NodeOptions:
    return NodeOptions(
        lease_s=config.node.lease_s,
        lanes=1 if config.store.url.startswith("sqlite:") else config.actors.lanes,
        host=HostOptions(idle_s=config.actors.idle_s, mailbox=config.actors.mailbox),
        router=RouterOptions(deadline_s=config.node.lease_s + 5.0),
    )


def _gateway_parts(  # noqa: PLR0913, PLR0917 - the composition
    config: Config,
    node: Node,
    tokens: Tokens,
    limits: NodeLimits,
    meters: Meters,
    clock: Clock,
    random: SystemRandom,
    door: HttpDoor,
) -> GatewayParts:
    welcomer = Welcomer(
        node=node.name,
        router=node.router,
        hub=node.hub,
        replica=node.reach.replica,
        tokens=tokens,
        clock=clock,
        limits=limits,
        options=WelcomeOptions(
            heartbeat_ms=int(config.gateway.heartbeat_s * 1000),
            limits=Limits(
                message_bytes=config.gateway.message_bytes,
                text_chars=TEXT_CHARS,
                requests_per_s=config.limits.session.requests.per_s,
            ),
            replay=config.gateway.resume_events,
        ),
    )
    return GatewayParts(
        node=node,
        codec=Codec(node.blueprint.requests, max_bytes=config.gateway.message_bytes),
        welcomer=welcomer,
        limits=limits,
        meters=meters,
        clock=clock,
        random=random,
        dev=config.auth.dev,
        log_requests=config.log.level == "debug",
        certificate=door.certificate,
        proxies=door.proxies,
    )


def _tokens(config: Config, clock: Clock) -> tuple[Tokens, RemoteKeys | None]:
    remote = RemoteKeys(config.auth.jwks_url, clock) if config.auth.jwks_url else None
    return Tokens(config.auth, clock, more=remote), remote


class _LateSignIn:
    """Sign-in over HTTP from the moment that the node is up; ``unavailable`` before."""

    def __init__(self) -> None:
        self.ready: AccountSignIn | None = None

    def _now(self) -> AccountSignIn:
        if self.ready is None:
            raise Unavailable("the node is starting", retry_after_ms=1_000)
        return self.ready

    async def device(self, device_id: str, *, address: str) -> SignedIn:
        return await self._now().device(device_id, address=address)

    async def refresh(self, refresh_token: str, *, address: str) -> SignedIn:
        return await self._now().refresh(refresh_token, address=address)


@asynccontextmanager
async def _store(
    config: Config, migrations: dict[str, Any], clock: Clock, backoff: Backoff, status: Status
) -> AsyncIterator[Store]:
    """The open store, waiting for a database that is down. An embedded one, and one in development, is migrated."""
    async with AsyncExitStack() as opened:
        yield await _open(opened, config, migrations, clock, backoff, status)


async def _open(
    opened: AsyncExitStack, config: Config, migrations: dict[str, Any], clock: Clock, backoff: Backoff, status: Status
) -> Store:
    tries = 0
    while True:
        try:
            if config.auth.dev or config.store.url.startswith("sqlite:"):
                await migrate_store(config.store.url, migrations)
            return await opened.enter_async_context(open_store(config.store.url))
        except StoreDown as error:
            status.starting = f"the store cannot be reached: {error}"
            pause = backoff.pause(tries)
            log.warning("store.not_reached", reason=str(error), retry_in_s=round(pause, 1))
            await clock.sleep(pause)
            tries += 1


async def _end_lease(store: Store, node: str) -> None:
    """Have others take over at once from a node whose process is known to have ended."""
    try:
        await store.renew(NodeRow(node, "", draining=True), 0.0)
    except StoreDown as error:
        log.warning("lease.not_released", reason=str(error), of=node)


async def _epoch(store: Store) -> str:
    """Which history this database holds: the moment at which its schema was made."""
    rows = await store.select("SELECT applied_ms FROM migrations WHERE room = ? AND number = ?", ("core", 1))
    if not rows:
        raise SchemaBehind("the database has no schema: run `guildhall migrate` first")
    return f"{int(rows[0][0]):x}"


def settle_collector() -> None:
    """Keep the cyclic collector out of the way: what is loaded by now stays, and a message makes no cycles.

    With the defaults (700 allocations a generation) a full collection over 10,000 sessions stops the loop for 50 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _say_where(config: Config, server: Server) -> None:
    tls = "s" if config.edge.tls_cert else ""
    print(  # noqa: T201 - what a newcomer looks for in the terminal
        f"\n  Guildhall is running.\n"
        f"  Open     http{tls}://{config.http.host}:{server.http_port}/\n"
        f"  Clients  ws{tls}://{config.gateway.host}:{server.gateway.port}/ws  with token dev:NAME\n"
        f"  Stop     Ctrl-C\n",
        flush=True,
    )
