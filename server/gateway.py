"""The gateway: the port that players connect to, and the sessions of this node."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from secrets import token_urlsafe

import structlog
from msgspec import Struct
from websockets.http11 import Response

from actors.player import SessionClose
from actors.runtime import (
    Caller,
    Clock,
    ClosePlayer,
    CloseSession,
    Command,
    MutePlayer,
    RenameSession,
    SessionRef,
    ShareRates,
)
from actors.runtime.blueprint import CALLER_PLACED
from actors.runtime.meters import Meters
from actors.runtime.node import Node
from protocol import CloseCode, Codec, ServerSession, Wire
from server.acceptor import Acceptor, Arrival, Entrance
from server.config import Gateway as GatewayConfig
from server.connection import Connection, Peer
from server.forwarded import Proxies
from server.limits import RateLimits, session_limits
from server.node_limits import NodeLimits
from server.origins import Origins
from server.outbound_total import OutboundTotal
from server.session import Session, SessionOptions
from server.tls import Certificate
from server.upgrade import Asked, plain_response
from server.welcome import Welcomer

log = structlog.get_logger()
FRAME_FACTOR = 4  # frames up to so many times the message limit are refused as messages; larger ones end the connection
DRAIN_SLICE = 10  # sessions closed in one turn of the loop
LEAVING_PER_S = 200  # sessions that leave a draining node, as long as that fits the time; others have to sign them in
AGAIN_S = 0.1  # within which each comes back
LAST_WORDS_S = 2.0  # for clients that do not answer the close


class GatewayParts(Struct, frozen=True, kw_only=True):
    """What a gateway is made of besides its settings."""

    node: Node
    codec: Codec
    welcomer: Welcomer
    limits: NodeLimits
    meters: Meters
    clock: Clock
    random: Random
    dev: bool
    log_requests: bool
    certificate: Certificate | None = None
    """None: players connect without TLS."""
    proxies: Proxies = Proxies()
    """Who is believed when it says who the client is."""


class Gateway:
    """Accepts connections (it is their ``Door``) and knows the sessions of this node."""

    def __init__(self, config: GatewayConfig, parts: GatewayParts, *, share_port: bool = False) -> None:
        self.port = 0
        """The bound port; 0 while it is not bound."""
        self.draining = False
        self._config = config
        self._parts = parts
        self._share_port = share_port
        """Whether other nodes of this machine listen there as well."""
        self._acceptor: Acceptor | None = None
        self._meters = parts.meters
        self._origins = Origins(config.origins, dev=parts.dev)
        self._unnamed = False
        self.outbound_total = OutboundTotal(config.outbound_total_bytes, parts.meters)
        self._options = SessionOptions(
            outbound_total=self.outbound_total,
            outbound_bytes=config.outbound_bytes,
            log_requests=parts.log_requests,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: dict[Connection, Session | None] = {}
        self._by_generation: dict[str, Session] = {}
        self._by_player: dict[str, dict[str, Session]] = {}
        parts.welcomer.on_signed_in = self._signed_in
        parts.node.router.attach_sessions(self._command, self._by_player.__contains__)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        """Listen until the context is left, then cut what is still connected.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = self._loop = asyncio.get_running_loop()
        max_bytes = self._config.message_bytes * FRAME_FACTOR
        config = self._config
        entrance = Entrance(
            tls=self._parts.certificate,
            share=self._share_port,
            proxies=self._parts.proxies if config.proxy_protocol else None,
            admit=lambda address: self.admit(address) is None,
            lost=Connection.never_made,
        )

        def made(arrival: Arrival) -> Connection:
            return Connection(self, loop, max_bytes, arrival, compression=config.compression)

        async with Acceptor(config.host, config.port, made, entrance).running() as self._acceptor:
            self.port = self._acceptor.port
            log.info("gateway.listening", host=config.host, port=self.port)
            try:
                yield self
            finally:
                for connection in list(self._connections):
                    connection.abort()

    @property
    def sessions(self) -> int:
        """Signed-in sessions of this node."""
        return len(self._by_generation)

    def refuse(self) -> None:
        """Take no more connections; where others share the port, leave it to them."""
        self.draining = True
        if self._share_port and self._acceptor is not None:
            self._acceptor.leave()

    async def drain(self, within_s: float) -> None:
        """Have every client go elsewhere, some at a time: each comes back at once, and others are not swamped. Where
        there is nobody to go to they leave together, and each comes back after a pause of its own."""
        self.refuse()
        spread_s = min(self._config.reconnect_spread_s, within_s)
        sessions = [session for session in self._connections.values() if session is not None]
        if self._parts.node.membership.successors:
            await self._let_go(sessions, over_s=min(spread_s, len(sessions) / LEAVING_PER_S), back_within_s=AGAIN_S)
        else:
            await self._let_go(sessions, over_s=0.0, back_within_s=spread_s)
        clock = self._parts.clock
        deadline = clock.monotonic() + min(within_s, LAST_WORDS_S)
        while self._connections and clock.monotonic() < deadline:
            await clock.sleep(0.02)

    async def _let_go(self, sessions: Sequence[Session], *, over_s: float, back_within_s: float) -> None:
        clock = self._parts.clock
        began = clock.monotonic()
        for n, session in enumerate(sessions, start=1):
            retry_after_ms = int(self._parts.random.random() * back_within_s * 1000)
            session.close(CloseCode.DRAINING, f'{{"retry_after_ms":{retry_after_ms}}}')
            if n % DRAIN_SLICE == 0:
                await clock.sleep(max(0.0, began + over_s * n / len(sessions) - clock.monotonic()))

    # Door of the connections.
    def admit(self, address: str) -> Response | None:
        refused = self._refusal(address)
        if refused is None:
            return None
        reason, retry_after_s = refused
        self._meters.refused_connections.add(reason)
        return _unavailable(reason, retry_after_s)

    def _refusal(self, address: str) -> tuple[str, int] | None:
        """Why a new connection is not taken, and when to come again; the cheapest to tell first."""
        if self.draining:
            return "draining", 1
        limits = self._parts.limits
        if not limits.enforced:
            return None
        shed_s = limits.shedder.shed_connection()
        if shed_s is not None:
            return "overloaded", shed_s
        named = None if self._parts.proxies.trusts(address) else address
        refusal = limits.admission.admit(self._parts.clock.monotonic(), named)
        return (refusal.reason, refusal.retry_after_s) if refusal else None

    def answer(self, connection: Connection, asked: Asked) -> Response | None:
        path = asked.path.partition("?")[0]
        if path == "/healthz":
            return plain_response(200, "OK", "ok\n")
        if path != "/ws":
            return plain_response(404, "Not Found", "players connect to /ws\n")
        if not self._origins.may_connect(asked.origins, asked.hosts):
            return plain_response(403, "Forbidden", "this origin may not connect\n")
        return self._name(connection, asked.forwarded)

    def opened(self, connection: Connection, wire: Wire) -> Peer:
        parts = self._parts
        machine = ServerSession(
            parts.codec,
            wire,
            parts.clock.monotonic(),
            now_ms=parts.clock.now_ms,
            new_trace=parts.node.host.trace,
            hello_s=self._config.hello_timeout_s,
        )
        session = Session(
            connection=connection,
            machine=machine,
            router=parts.node.router,
            hub=parts.node.hub,
            limits=session_limits(parts.limits.session, enabled=parts.limits.enforced),
            meters=self._meters,
            options=self._options,
            monotonic=parts.clock.monotonic,
            sign_in=parts.welcomer,
            on_closed=self._closed,
        )
        self._connections[connection] = session
        self._meters.connections += 1
        self._meters.connections_opened += 1
        return session

    def gone(self, connection: Connection) -> None:
        if self._parts.limits.enforced:
            named = None if self._parts.proxies.trusts(connection.address) else connection.address
            self._parts.limits.admission.release(named)
        if self._connections.pop(connection, None) is not None:
            self._meters.connections -= 1

    def _name(self, connection: Connection, forwarded: Sequence[str]) -> Response | None:
        """Find out whose a connection is that a trusted proxy has made; a refusal where the client has too many."""
        parts = self._parts
        if not parts.proxies.trusts(connection.address):
            return None
        client = parts.proxies.client(connection.address, forwarded)
        if parts.proxies.trusts(client):
            if not self._unnamed:
                self._unnamed = True
                log.warning("gateway.client_not_named", proxy=connection.address)
            return None
        refusal = None
        if parts.limits.enforced:
            refusal = parts.limits.admission.name(parts.clock.monotonic(), client)
        if refusal is None:
            connection.address = client
            return None
        self._meters.refused_connections.add(refusal.reason)
        return _unavailable(refusal.reason, refusal.retry_after_s)

    # Sessions.
    def _signed_in(self, session: Session, ref: SessionRef) -> None:
        if not session.open:
            self._tell_closed(session.player, ref)
            return
        self._by_generation[ref.generation] = session
        self._by_player.setdefault(session.player, {})[ref.generation] = session
        if isinstance(session.limits, RateLimits):
            players, now = self._parts.limits.players, self._parts.clock.monotonic()
            session.limits.player = players.join(session.player, now)

    def _closed(self, session: Session) -> None:
        if session.caller is None or session.caller.session is None:
            return
        ref = session.caller.session
        if self._by_generation.pop(ref.generation, None) is None:
            return
        if isinstance(session.limits, RateLimits):
            self._parts.limits.players.leave(session.player)
        mine = self._by_player.get(session.player)
        if mine is not None:
            mine.pop(ref.generation, None)
            if not mine:
                del self._by_player[session.player]
        self._tell_closed(session.player, ref)

    def _tell_closed(self, player: str, ref: SessionRef) -> None:
        request = SessionClose(id=token_urlsafe(9), player=player, session=ref)
        self._parts.node.router.ask(request, Caller(player), partial(self._told_closed, player))

    def _told_closed(self, player: str, _answer: object) -> None:
        """Where the actor did not hear of it, it forgets the session sooner or later: they are kept in memory only. The
        actor of one who is on the way to another node goes ahead."""
        if self.draining and player not in self._by_player:
            self._parts.node.host.give_up(f"{CALLER_PLACED}:{player}")

    def _command(self, command: Command) -> None:
        match command:
            case ClosePlayer():
                for session in list(self._by_player.get(command.player, {}).values()):
                    session.close(CloseCode(command.code), command.reason)
            case MutePlayer():
                for session in self._by_player.get(command.player, {}).values():
                    session.mute(command.until_ms)
            case ShareRates():
                self._parts.limits.players.share(command.player, command.among, self._parts.clock.monotonic())
            case RenameSession() | CloseSession():
                addressed = self._by_generation.get(command.to.generation)
                if addressed is None:
                    return
                if isinstance(command, RenameSession):
                    addressed.rename(command.name)
                else:
                    addressed.close(CloseCode(command.code), command.reason)


def _unavailable(reason: str, retry_after_s: float) -> Response:
    return plain_response(503, "Service Unavailable", f"{reason}\n", Retry_After=str(int(retry_after_s) or 1))
