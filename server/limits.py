"""How much is let in: requests of a session, connections of a node. Pure: time is an argument.

Every rate is a token bucket, kept as one number, the time at which the bucket is full again. A take
moves it ``1 / per_s`` seconds ahead; it may be at most ``burst`` takes ahead of now (this is the
generic cell rate algorithm of ITU-T I.371). Times are monotonic seconds.
"""

from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Annotated, Final, Literal, Protocol

from msgspec import Meta, Struct, field

from actors.runtime.meters import Counts
from protocol.errors import RateLimited

PerSecond = Annotated[float, Meta(ge=0.0001, le=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]

TOLERANCE_S: Final = 1e-6
"""What a bucket forgives, so that rounding never refuses the last one of a burst."""


class Rate(Struct, frozen=True, forbid_unknown_fields=True):
    """A token bucket: ``burst`` at once, then ``per_s`` a second."""

    per_s: PerSecond
    burst: Count

    @property
    def interval(self) -> float:
        """Seconds that one take costs."""
        return 1 / self.per_s

    @property
    def reach(self) -> float:
        """How many seconds ahead of now the bucket's time may be."""
        return self.burst / self.per_s + TOLERANCE_S

    def after_one(self, full_at: float, now: float) -> float:
        """When a bucket that is full at ``full_at`` would be full after one more take. One that is emptier than this
        rate can make it was emptied at a slower one, before a change; it begins anew."""
        return (full_at if now < full_at <= now + self.reach else now) + self.interval

    def wait(self, full_at: float, now: float) -> float:
        """Seconds until a bucket that is full at ``full_at`` gives one; 0 or less: now."""
        return self.after_one(full_at, now) - now - self.reach

    def __str__(self) -> str:
        if self.per_s < 1:
            return f"{self.burst} at once and one in {1 / self.per_s:g} s"
        return f"{self.burst} at once and {self.per_s:g} a second"


RATES: Final[dict[str, Rate]] = {
    "hello": Rate(per_s=1, burst=3),  # once a connection; a client in a loop is no sign-in storm
    "topic.sync": Rate(per_s=2, burst=32),  # each may read history; the burst is a resume's topics
    "chat.send": Rate(per_s=10, burst=20),  # far above what hands type; bots and stuck loops
    "chat.typing": Rate(per_s=2, burst=5),  # ephemeral, fans out to the whole channel
    "chat.join": Rate(per_s=5, burst=32),  # each may activate an actor; the burst is a sign-in
    "chat.history": Rate(per_s=5, burst=20),  # each reads the database
    "leaderboard.submit": Rate(per_s=5, burst=20),  # each is a durable write
    "leaderboard.top": Rate(per_s=5, burst=20),  # of a period that is over: goes through its rows in the database
    "leaderboard.around": Rate(per_s=5, burst=20),  # the same
    "leaderboard.list": Rate(per_s=5, burst=20),  # the same
    "wallet.give": Rate(per_s=1, burst=5),  # each is three commits of two actors
    "guild.invite": Rate(per_s=0.2, burst=10),  # each is told to another player, and can be taken back and made again
    "guild.apply": Rate(per_s=0.2, burst=5),  # each is told to a whole guild
    "guild.create": Rate(per_s=0.1, burst=1),  # each takes a name for ever
}
"""Kinds of message that cost more than others, by tag."""


# Requests of one session.
class SessionRates(Struct, frozen=True, forbid_unknown_fields=True):
    """What one session may ask for."""

    requests: Rate = Rate(per_s=30, burst=90)
    """Messages of any kind; the burst covers a client that has just signed in."""
    kinds: dict[str, Rate] = field(default_factory=RATES.copy)
    """Tighter rates of single kinds, by tag; they count against ``requests`` as well."""
    abuse_refusals: Count = 100
    """More refusals than these within ``abuse_s`` are abuse: no client that minds
    ``retry_after_ms`` comes near."""
    abuse_s: Annotated[float, Meta(gt=0)] = 10.0
    """Seconds in which refusals are counted together."""


class SharedRates:
    """The rates of all sessions of a node as they stand now: a change holds for live sessions at their next message."""

    __slots__ = ("interval", "kinds", "limited", "reach", "settings", "shed")

    def __init__(self, settings: SessionRates, limited: Counts | None = None) -> None:
        self.limited = Counts() if limited is None else limited
        """Refusals, by whose rate it was."""
        self.shed: Callable[[str], None] | None = None
        """While the node sheds requests: raises for the tag of one that it does not take now."""
        self.set(settings)

    def set(self, settings: SessionRates) -> None:
        """Go by these from now on."""
        self.settings = settings
        self.interval = settings.requests.interval
        self.reach = settings.requests.reach
        self.kinds = {tag: (rate, rate.interval, rate.reach) for tag, rate in settings.kinds.items()}


class TakesToo(Protocol):
    """Another bucket that a session's requests are taken from: its player's."""

    def take(self, now: float, tag: str) -> "Short | None":
        """Take one request; or say what is short, and take nothing."""
        ...


class Short(Struct, frozen=True):
    """Why a bucket does not give."""

    whose: str
    what: str
    """In words for a developer."""
    rate: Rate
    wait: float
    """Seconds until it would."""


class RateLimits:
    """The buckets of one session.

    About 0.25 µs a message that is allowed. A session holds one number for each kind with a rate of
    its own that it has used, and the times of its last ``abuse_refusals`` refusals.
    """

    __slots__ = ("_full_at", "_kinds", "_rates", "_refusals", "abused", "player")

    def __init__(self, rates: SharedRates) -> None:
        self.abused = False
        """Whether the session was refused so often that it has to end (4004). It stays so."""
        self.player: TakesToo | None = None
        """The player's own bucket, once signed in."""
        self._rates = rates
        self._full_at = 0.0
        self._kinds: dict[str, float] = {}
        self._refusals: deque[float] | None = None

    def allow(self, now: float, tag: str) -> None:
        """Take one request of the kind ``tag``. What is refused costs nothing.

        Raises:
            RateLimited: too many; ``retry_after_ms`` is when this one would be allowed.
            Unavailable: the node sheds requests of this kind.
        """
        rates = self._rates
        if rates.shed is not None:
            rates.shed(tag)
        full_at = max(now, self._full_at) + rates.interval
        wait = full_at - now - rates.reach
        if wait > rates.interval:  # it was emptied at a slower rate, before a change, and begins anew
            full_at, wait = now + rates.interval, 0.0
        kind = rates.kinds.get(tag)
        kind_full_at = 0.0
        if kind is not None:
            rate, interval, reach = kind
            kind_full_at = max(now, self._kinds.get(tag, 0.0)) + interval
            kind_wait = kind_full_at - now - reach
            if kind_wait > interval:
                kind_full_at, kind_wait = now + interval, 0.0
            if kind_wait > 0 and kind_wait >= wait:
                raise self._refused(now, Short("session_kind", tag, rate, kind_wait))
        if wait > 0:
            raise self._refused(now, Short("session", "a session", rates.settings.requests, wait))
        if self.player is not None:
            short = self.player.take(now, tag)
            if short is not None:
                raise self._refused(now, short)
        self._full_at = full_at
        if kind is not None:
            self._kinds[tag] = kind_full_at

    def _refused(self, now: float, short: Short) -> RateLimited:
        settings = self._rates.settings
        self._rates.limited.add(short.whose)
        if self._refusals is None or self._refusals.maxlen != settings.abuse_refusals:
            self._refusals = deque(self._refusals or (), maxlen=settings.abuse_refusals)
        refusals = self._refusals
        full = len(refusals) == settings.abuse_refusals
        if full and now - refusals[0] <= settings.abuse_s:
            self.abused = True
        refusals.append(now)
        return RateLimited(f"{short.what} may do {short.rate}", retry_after_ms=ceil(short.wait * 1000))


class Unlimited:
    """What a session has while limits are off."""

    __slots__ = ()

    abused = False

    def allow(self, now: float, tag: str) -> None:
        """Everything is allowed."""


def session_limits(rates: SharedRates, *, enabled: bool) -> RateLimits | Unlimited:
    """The limits of a new session."""
    return RateLimits(rates) if enabled else UNLIMITED


UNLIMITED: Final = Unlimited()


# Connections of one node.
class AdmissionLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one node takes in."""

    connections: Count = 20_000
    """Connections open at once; past that the node refuses and clients go to another one."""
    connections_per_address: Count = 1_000
    """Connections open at once from one address (IPv6: one /64 network). Whole mobile networks
    share an address, so this stops a flood, not a crowd."""
    handshakes: Rate = Rate(per_s=500, burst=1_000)
    """New connections. Each costs a token's verification and an actor's activation; when a node
    dies, its players come back at this pace."""
    handshakes_per_address: Rate = Rate(per_s=50, burst=300)
    """New connections from one address, so that one machine cannot use up ``handshakes``."""
    full_retry_s: Count = 10
    """`Retry-After` in seconds while the node or the address has its fill of connections."""
    longest_retry_s: Count = 30
    """Longest `Retry-After` in seconds for a handshake that came too fast."""


class Refusal(Struct, frozen=True):
    """Why a connection is not taken: the gateway answers 503 with ``Retry-After``."""

    reason: Literal["node_full", "address_full", "too_fast", "address_too_fast"]
    retry_after_s: int


class Admission:
    """Which new connections this node takes; one for the whole node.

    Remembers the addresses that have a connection, or had so many new ones lately that their bucket
    is not full again; the latter are swept whenever the number of addresses has doubled.
    """

    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits = limits
        """May be replaced at any time; who is in stays in."""
        self._connections = 0
        self._by_address: dict[str, int] = {}
        self._full_at = 0.0
        self._full_at_by_address: dict[str, float] = {}
        self._sweep_above = SWEEP_FROM
        self._line = 0.0
        """When the last one of those who were sent away is expected back."""

    @property
    def connections(self) -> int:
        """Connections that were admitted and not released."""
        return self._connections

    def admit(self, now: float, address: str | None) -> Refusal | None:
        """Take a connection from the IP ``address``, or say why not; what is refused costs nothing.

        None: a trusted proxy's, whose client is not known yet; it counts for the node, and for an address from ``name``
        on. One that was taken (None is returned) is given back once, by ``release`` with the same address.
        """
        limits = self.limits
        source = None if address is None else source_of(address)
        if self._connections >= limits.connections:
            return Refusal("node_full", limits.full_retry_s)
        refusal = None if source is None else self._too_much_of(source, now)
        if refusal is not None:
            return refusal
        full_at = limits.handshakes.after_one(self._full_at, now)
        if full_at - now > limits.handshakes.reach:
            return Refusal("too_fast", self._place_in_line(now))
        self._full_at = full_at
        self._connections += 1
        if source is not None:
            self._count(source, now)
        return None

    def name(self, now: float, address: str) -> Refusal | None:
        """One that was taken without an address is from ``address``, or is refused: then it is still without one."""
        source = source_of(address)
        refusal = self._too_much_of(source, now)
        if refusal is None:
            self._count(source, now)
        return refusal

    def release(self, address: str | None) -> None:
        """An admitted connection from ``address`` has ended."""
        if address is not None:
            source = source_of(address)
            left = self._by_address.pop(source) - 1
            if left:
                self._by_address[source] = left
        self._connections -= 1

    def _too_much_of(self, source: str, now: float) -> Refusal | None:
        if self._by_address.get(source, 0) >= self.limits.connections_per_address:
            return Refusal("address_full", self.limits.full_retry_s)
        own = self.limits.handshakes_per_address
        wait = self._own_full_at(source, now) - now - own.reach
        return Refusal("address_too_fast", self._retry(wait)) if wait > 0 else None

    def _count(self, source: str, now: float) -> None:
        self._full_at_by_address[source] = self._own_full_at(source, now)
        self._by_address[source] = self._by_address.get(source, 0) + 1
        self._sweep(now)

    def _own_full_at(self, source: str, now: float) -> float:
        """When the bucket of ``source`` is full again after one more."""
        return self.limits.handshakes_per_address.after_one(self._full_at_by_address.get(source, 0.0), now)

    def _place_in_line(self, now: float) -> int:
        """Seconds until it is this one's turn, so that thousands do not all come back at once."""
        latest = now + self.limits.longest_retry_s
        self._line = min(max(self._line, now) + self.limits.handshakes.interval, latest)
        return self._retry(self._line - now)

    def _retry(self, wait: float) -> int:
        return min(max(ceil(wait), 1), self.limits.longest_retry_s)

    def _sweep(self, now: float) -> None:
        if len(self._full_at_by_address) > self._sweep_above:
            lately = {a: at for a, at in self._full_at_by_address.items() if at > now}
            self._full_at_by_address = lately
            self._sweep_above = max(SWEEP_FROM, 2 * len(lately))


SWEEP_FROM: Final = 1_000  # addresses below which nothing is swept; about 100 kB


def source_of(address: str) -> str:
    """Whom an address counts for: a household or a server has a whole /64 network of IPv6."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return ip.packed[:8].hex()
    return address
