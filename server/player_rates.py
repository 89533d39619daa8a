"""What one player may ask for, over all of the player's sessions. Pure: time is an argument.

The sessions of a player on one node share a bucket, which stays until it is full again: a client that reconnects does
not get a fresh burst. How many nodes have sessions of the player is known to the player's actor, which tells them
(``actors.player``, ``ShareRates``); each gives its share. So over the cluster a player gets the rate once, but

- for as long as the word takes (milliseconds; for good where the bus loses it, until the next sign-in or its end);
- where the actor has forgotten sessions, because it moved when its node died: then each node gives what it gave before;
- bursts are there anew on a node that the player was not on before, divided.

The worst case is each of the five sessions that a player may have on a node of its own, and every word lost: five
times the rate.
"""

from math import ceil
from typing import Final

from msgspec import Struct, field

from actors.runtime.meters import Counts
from protocol.errors import RateLimited
from server.limits import Rate, Short

KINDS: Final[dict[str, Rate]] = {
    "hello": Rate(per_s=1, burst=30),  # a client that reconnects in a loop
    "chat.send": Rate(per_s=10, burst=20),  # as for a session: nobody types on two devices
    "leaderboard.submit": Rate(per_s=5, burst=20),
    "wallet.give": Rate(per_s=1, burst=5),
    "guild.create": Rate(per_s=0.1, burst=1),
}
"""Kinds of message of which a second device is no reason for more."""
SWEEP_FROM: Final = 10_000  # players below which nobody is forgotten; about 2 MB


class PlayerRateLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one player may ask for, over all sessions. Nodes divide it; how nearly: server/player_rates.py."""

    requests: Rate = Rate(per_s=60, burst=180)
    """Messages of any kind: two sessions' worth, so that somebody whose sessions are taken to be on two nodes still
    has all that one session may have."""
    kinds: dict[str, Rate] = field(default_factory=KINDS.copy)
    """Tighter rates of single kinds, by tag; `hello` counts sign-ins."""


class PlayerBucket:
    """One player on this node: a ``TakesToo`` of each of its sessions."""

    __slots__ = ("_full_at", "_kinds", "_rates", "among", "sessions")

    def __init__(self, rates: "PlayerRates") -> None:
        self.sessions = 0
        """How many of this node take from it."""
        self.among = 1
        """Nodes that share the rate."""
        self._rates = rates
        self._full_at = 0.0
        self._kinds: dict[str, float] | None = None

    def take(self, now: float, tag: str) -> Short | None:
        """Take one request; or say what is short, and take nothing."""
        rates = self._rates
        interval = rates.interval * self.among
        full_at = max(now, self._full_at) + interval
        wait = full_at - now - rates.reach
        if wait > 0:
            full_at, wait = self._look_closer(full_at, now, interval, rates.reach)
            if wait > 0:
                return Short("player", "a player", rates.settings.requests, wait)
        kind = rates.kinds.get(tag)
        if kind is not None:
            short = self._take_kind(now, tag, kind)
            if short is not None:
                return short
        self._full_at = full_at
        return None

    def _take_kind(self, now: float, tag: str, kind: tuple[Rate, float, float]) -> Short | None:
        rate, interval, reach = kind
        interval *= self.among
        if self._kinds is None:
            self._kinds = {}
        full_at = max(now, self._kinds.get(tag, 0.0)) + interval
        if full_at - now > reach:
            full_at, wait = self._look_closer(full_at, now, interval, reach)
            if wait > 0:
                return Short("player_kind", f"a player's {tag}", rate, wait)
        self._kinds[tag] = full_at
        return None

    @staticmethod
    def _look_closer(full_at: float, now: float, interval: float, reach: float) -> tuple[float, float]:
        """When a bucket is full after a take that seems not to be possible, and the wait until it is. One is always
        possible, however many nodes share; a bucket that is emptier than the rate can make it was emptied at a slower
        one, before a change, and begins anew."""
        wait = full_at - now - max(reach, interval)
        return (full_at, wait) if wait <= interval else (now + interval, 0.0)

    def full(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return self._full_at <= now and all(at <= now for at in (self._kinds or {}).values())


class PlayerRates:
    """The players of one node. About 0.1 µs a message."""

    def __init__(self, settings: PlayerRateLimits, limited: Counts | None = None) -> None:
        self.limited = Counts() if limited is None else limited
        """Refusals, by whose rate it was."""
        self._buckets: dict[str, PlayerBucket] = {}
        self._sweep_above = SWEEP_FROM
        self.set(settings)

    def set(self, settings: PlayerRateLimits) -> None:
        """Go by these from now on."""
        self.settings = settings
        self.interval = settings.requests.interval
        self.reach = settings.requests.reach
        self.kinds = {tag: (rate, rate.interval, rate.reach) for tag, rate in settings.kinds.items()}

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, player: str, now: float) -> PlayerBucket:
        """The player's bucket."""
        bucket = self._buckets.get(player)
        if bucket is None:
            self._sweep(now)
            bucket = self._buckets[player] = PlayerBucket(self)
        return bucket

    def join(self, player: str, now: float) -> PlayerBucket:
        """The bucket for one more session; given back once, by ``leave``."""
        bucket = self.of(player, now)
        bucket.sessions += 1
        return bucket

    def sign_in(self, player: str, now: float) -> None:
        """Count a sign-in.

        Raises:
            RateLimited: too many.
        """
        short = self.of(player, now).take(now, "hello")
        if short is not None:
            self.limited.add(short.whose)
            raise RateLimited(f"{short.what} may do {short.rate}", retry_after_ms=ceil(short.wait * 1000))

    def leave(self, player: str) -> None:
        """A session of the player has ended."""
        bucket = self._buckets.get(player)
        if bucket is not None:
            bucket.sessions -= 1
            if not bucket.sessions:
                bucket.among = 1

    def share(self, player: str, among: int, now: float) -> None:
        """So many nodes have sessions of the player."""
        self.of(player, now).among = max(among, 1)

    def _sweep(self, now: float) -> None:
        if len(self._buckets) >= self._sweep_above:
            self._buckets = {
                player: bucket for player, bucket in self._buckets.items() if bucket.sessions or not bucket.full(now)
            }
            self._sweep_above = max(SWEEP_FROM, 2 * len(self._buckets))
