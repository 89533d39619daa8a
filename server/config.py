"""What can be set, with defaults and bounds: one frozen struct a section.

``server.config_sources.load`` puts a ``Config`` together from a TOML file, the environment and the
command line; ``server.config_reference.reference`` renders docs/configuration.md from the
docstrings below. What no single setting can tell is checked in ``server.config_checks``.
"""

import re
import secrets
import socket
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from server.limits import AdmissionLimits, SessionRates
from server.player_rates import PlayerRateLimits
from server.shedding import SheddingLimits
from server.sign_in_rates import SignInLimits

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Path = Annotated[str, Meta(min_length=1)]
StoreUrl = Annotated[
    str,
    Meta(
        pattern=r"\A(sqlite:///|mysql://).",
        extra={"allowed": "`sqlite:///PATH` or `mysql://USER:PASSWORD@HOST:PORT/NAME`"},
    ),
]
BusUrl = Annotated[
    str,
    Meta(
        pattern=r"\A(local:\Z|rediss?://.)",
        extra={"allowed": "`local:` or `redis://[:PASSWORD@]HOST:PORT/DB` (`rediss:` for TLS)"},
    ),
]
StaffAddress = Annotated[
    str,
    Meta(
        pattern=r"\A(|[^\s/@]+:\d{1,5})\Z",
        extra={"allowed": "`HOST:PORT`, or empty"},
    ),
]
NodeName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9_.~-]{1,64}\Z",
        extra={"allowed": "1 to 64 letters, digits and `_.~-`"},
    ),
]

SECRET_BYTES = 32  # RFC 7518 section 3.2: an HS256 key is at least as long as its hash


class ConfigError(Exception):
    """The settings cannot be used; one line that names where the wrong one comes from and what is
    allowed."""


class Secret:
    """A text that is never printed: ``reveal`` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; never put it into a log line or an error."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"


def generated_name() -> str:
    """A node name that no earlier start of this machine has had: host name and four random
    bytes."""
    host = re.sub(r"[^A-Za-z0-9_.~-]", "-", socket.gethostname())[:48] or "node"
    return f"{host}-{secrets.token_hex(4)}"


def without_password(url: str) -> str:
    """``url`` as it may be logged: its password and its query, which may hold one, are left out."""
    if "@" not in url and "?" not in url:
        return url
    place = url.partition("?")[0]
    scheme, divider, rest = place.partition("://")
    user, at, where = rest.rpartition("@")
    name = user.partition(":")[0] + (":***" if ":" in user else "")
    shown = f"{scheme}{divider}{name}{at}{where}"
    return f"{shown}?..." if "?" in url else shown


# Sections.
class Gateway(Struct, frozen=True, forbid_unknown_fields=True):
    """Where players connect by WebSocket."""

    host: Path = "127.0.0.1"
    """Address to listen on; `0.0.0.0` for every one of the machine."""
    port: Port = 7350
    """TCP port; 0 takes a free one."""
    heartbeat_s: Seconds = 25.0
    """Seconds within which a client must be heard once; silence for twice that ends the session
    with 4002."""
    hello_timeout_s: Seconds = 5.0
    """Seconds from the accepted connection to its `hello`, the upgrade included; then it is
    closed."""
    message_bytes: Annotated[int, Meta(ge=1024, le=1_048_576)] = 16_384
    """Longest inbound message in bytes; a longer one is refused with `protocol.invalid`, one of more
    than four times this ends the connection with 1009."""
    compression: bool = False
    """Let clients have messages compressed (`permessage-deflate`). Replies of 1 to 64 KiB then travel in about 40 % of
    their bytes for some 50 to 500 µs each; events do not change, and no memory is kept for a connection. Off because it
    takes time of the node and lets clients send what has to be inflated."""
    outbound_bytes: Annotated[int, Meta(ge=65_536, le=67_108_864)] = 1_048_576
    """Bytes that may wait for one slow reader; past half of that ephemeral events are left out, past all of it it is
    closed with 4001."""
    outbound_total_bytes: Annotated[int, Meta(ge=1_048_576, le=68_719_476_736)] = 268_435_456
    """Bytes that may wait for all slow readers of the node together; past half of that those who hold the most get no
    ephemeral events, past all of it they are closed with 4001."""
    origins: list[str] | None = None
    """Web pages that may connect, as `https://game.example`; `*` for all. Not set: pages of the
    same host, in development mode those of this machine. Native clients send no origin and are never
    refused by it."""
    proxy_protocol: bool = False
    """Whether the proxies of `edge.trusted_proxies` begin each connection with a PROXY header (HAProxy's, version
    1 or 2). One without is cut then; of others no header is taken."""
    resume_events: Annotated[int, Meta(ge=0, le=100_000)] = 1_000
    """Most missed events of one topic that are replayed at a resume; a reader further behind gets
    `reset`."""
    drain_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """Seconds that a stopping node gives its sessions to leave and its actors to be handed over."""
    reconnect_spread_s: Annotated[float, Meta(ge=0, le=300)] = 5.0
    """Seconds over which a draining node lets its sessions go, fewer where they are few (200 a second);
    where there is no other node, seconds over which they come back (`retry_after_ms`)."""


class Http(Struct, frozen=True, forbid_unknown_fields=True):
    """Sign-in, health, metrics and the staff interface. Keep this port off the public internet, but
    for `/v1/auth`."""

    host: Path = "127.0.0.1"
    """Address to listen on."""
    port: Port = 7351
    """TCP port; 0 takes a free one."""
    proxy_protocol: bool = False
    """As `gateway.proxy_protocol`, for this port and the staff API's."""
    staff_address: StaffAddress = ""
    """Where the staff API listens, apart from the rest, so that it can stay off the internet. Empty: it is on
    the HTTP port."""


class Edge(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands between the players and the ports above: TLS, and proxies."""

    tls_cert: Path | None = None
    """File with the certificate and those that it needs up to a known authority, as PEM. With it all ports speak TLS
    only, 1.2 or later. SIGHUP reads both files again; who is connected stays so."""
    tls_key: Path | None = None
    """File with the certificate's private key as PEM, without a passphrase."""
    trusted_proxies: list[str] = []
    """Addresses or networks of proxies that are believed when they say who the client is, by `X-Forwarded-For` or
    a PROXY header; of others the peer is the client. Limits by address then count clients, not proxies."""


class StoreConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The database."""

    url: StoreUrl = "sqlite:///data/guildhall.db"
    """Where it is. One with a password is set by environment or file, not on the command line."""

    def __repr__(self) -> str:
        return f"StoreConfig(url={without_password(self.url)!r})"


class BusConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How nodes talk to each other."""

    url: BusUrl = "local:"
    """Where it is; `local:` for a single node."""

    def __repr__(self) -> str:
        return f"BusConfig(url={without_password(self.url)!r})"


class NodeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """This process among the nodes of the cluster."""

    name: NodeName = field(default_factory=generated_name)
    """Name, different from every other live node's. Not set: host name and a random suffix, new at
    each start."""
    lease_s: Annotated[float, Meta(ge=0.2, le=300)] = 10.0
    """Seconds after which other nodes may take over the actors of a node that was not heard. The
    same on all nodes."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Processes on this machine that share both ports, each a node of its own named NAME.0, NAME.1 and so on; not
    more than cores. More than one need MySQL and Redis, and Linux. Each also tells its own health and metrics at a
    port of its own, those after `http.port`."""
    worker_silence_s: Annotated[float, Meta(ge=3, le=3600)] = 30.0
    """Seconds for which the event loop of one of several workers may not run, from its start on. Then its supervisor
    has it write where it hangs, kills it and starts it again."""


class Actors(Struct, frozen=True, forbid_unknown_fields=True):
    """How actors are kept in memory and committed."""

    idle_s: Seconds = 300.0
    """Seconds without a message after which an actor leaves memory."""
    mailbox: Annotated[int, Meta(ge=1, le=65_536)] = 1024
    """Messages that may wait for one actor, half of them of one sender; more are refused with `actor.busy`."""
    lanes: Annotated[int, Meta(ge=1, le=16)] = 2
    """Group commits under way at once, each with its own share of the actors. SQLite writes one at
    a time anyway."""


class Key(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key for sign-in tokens (JWT). Of each secret give the file, or the text itself by
    environment."""

    kid: Annotated[str, Meta(min_length=1, max_length=64)]
    """Name of the key, as in the token's header."""
    alg: Literal["HS256", "EdDSA", "RS256"]
    """The one algorithm that this key is used with, whatever a token says."""
    secret: Secret | None = None
    """HS256: the shared secret, 32 bytes or more. Refused in a TOML file."""
    secret_file: Path | None = None
    """HS256: file with the secret; white space around it does not count."""
    public_key: Path | None = None
    """EdDSA, RS256: public key as PEM text."""
    public_key_file: Path | None = None
    """EdDSA, RS256: file with the public key as PEM."""
    private_key: Secret | None = None
    """EdDSA, RS256: private key as PEM text, if this server signs with it. Refused in a TOML
    file."""
    private_key_file: Path | None = None
    """EdDSA, RS256: file with the private key as PEM, if this server signs with it."""


class Auth(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may sign in."""

    dev: bool = False
    """Development mode: the token `dev:NAME` signs in player NAME, and a demo page is served.
    Loopback hosts only."""
    keys: list[Key] = []
    """Keys that tokens may be signed with, several at once while one is replaced by the next. The
    first that can sign signs what this server issues. By environment a JSON list."""
    jwks_url: Path | None = None
    """Address of a JSON Web Key Set with public keys, read in the background; `https:` but for
    loopback."""
    jwks_file: Path | None = None
    """File with a JSON Web Key Set, read at start."""
    issuer: Path | None = None
    """If set, the `iss` that every token must have."""
    audience: Path | None = None
    """If set, the `aud` that every token must have."""
    access_token_s: Annotated[int, Meta(ge=30, le=86_400)] = 900
    """Seconds that a token issued here is good for."""
    refresh_token_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 2_592_000
    """Seconds after its last use at which a refresh token expires."""


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Protection from too many requests. All but `enabled` can be changed while nodes run: `PUT /v1/limits`."""

    enabled: Literal["on", "off"] = "on"
    """Whether the limits below are enforced; switch them off for load tests only."""
    session: SessionRates = SessionRates()
    """What one session may ask for."""
    player: PlayerRateLimits = PlayerRateLimits()
    """What one player may ask for."""
    sign_in: SignInLimits = SignInLimits()
    """How often one may try to sign in."""
    admission: AdmissionLimits = AdmissionLimits()
    """How many connections this node takes."""
    shedding: SheddingLimits = SheddingLimits()
    """What an overloaded node turns away."""


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """Log lines, one an event, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is written."""
    format: Literal["auto", "json", "console"] = "auto"
    """`json` for machines, `console` for people; `auto` is `console` in development mode, else
    `json`."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a node."""

    gateway: Gateway = Gateway()
    http: Http = Http()
    edge: Edge = Edge()
    store: StoreConfig = StoreConfig()
    bus: BusConfig = BusConfig()
    node: NodeConfig = field(default_factory=NodeConfig)
    actors: Actors = Actors()
    auth: Auth = Auth()
    limits: Limits = Limits()
    log: Log = Log()


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; an IPv6 host stands in brackets."""
    host, _, port = address.rpartition(":")
    return host, int(port)
