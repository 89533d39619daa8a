"""How often somebody may try to sign in: by address and by account. Pure: time is an argument.

Each node counts by itself: behind a load balancer that spreads them, N nodes let N times as many tries pass.
"""

from math import ceil
from typing import Final

from msgspec import Struct

from actors.runtime.meters import Counts
from protocol.errors import RateLimited
from server.limits import Rate, source_of

MOST: Final = 100_000  # addresses, or accounts, remembered at once; more are an attack, and new ones wait
FULL_WAIT_S: Final = 60.0


class SignInLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """How often one may try to sign in, on each node. An address is an IP (IPv6: one /64 network)."""

    attempts_per_address: Rate = Rate(per_s=1, burst=60)
    """Sign-ins over HTTP from one address, good or not. Whole mobile networks share one."""
    failures_per_address: Rate = Rate(per_s=1, burst=50)
    """Wrong tokens from one address, in a `hello` or over HTTP; past that none of its sign-ins is looked at."""
    attempts_per_account: Rate = Rate(per_s=0.1, burst=10)
    """Sign-ins over HTTP of one device, or with refresh tokens of one sign-in, from wherever."""
    failures_per_account: Rate = Rate(per_s=0.02, burst=5)
    """Wrong refresh tokens that name one sign-in, from wherever: one who guesses, not its owner."""


class Buckets:
    """A bucket for each key; keys whose bucket is full again are forgotten."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        """May be replaced at any time."""
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, now: float, key: str) -> float:
        """Seconds until ``key`` may take one; 0 or less: now."""
        if key not in self._full_at and not self._has_room(now):
            return FULL_WAIT_S
        return self.rate.wait(self._full_at.get(key, 0.0), now)

    def take(self, now: float, key: str) -> None:
        """Take one; of a bucket that has none, nothing."""
        if self.wait(now, key) <= 0:
            self._full_at[key] = self.rate.after_one(self._full_at.get(key, 0.0), now)

    def _has_room(self, now: float) -> bool:
        if len(self._full_at) >= MOST:
            self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        return len(self._full_at) < MOST


class SignInRates:
    """The sign-ins of one node."""

    def __init__(self, settings: SignInLimits, limited: Counts | None = None) -> None:
        self._limited = Counts() if limited is None else limited
        self._attempts_of_address = Buckets(settings.attempts_per_address)
        self._failures_of_address = Buckets(settings.failures_per_address)
        self._attempts_of_account = Buckets(settings.attempts_per_account)
        self._failures_of_account = Buckets(settings.failures_per_account)

    def set(self, settings: SignInLimits) -> None:
        """Go by these from now on."""
        self._attempts_of_address.rate = settings.attempts_per_address
        self._failures_of_address.rate = settings.failures_per_address
        self._attempts_of_account.rate = settings.attempts_per_account
        self._failures_of_account.rate = settings.failures_per_account

    def knock(self, now: float, address: str) -> None:
        """Somebody shows a token; nothing is counted yet.

        Raises:
            RateLimited: too many wrong ones came from there.
        """
        self._refuse("address", "wrong sign-ins", self._failures_of_address.wait(now, source_of(address)))

    def attempt(self, now: float, address: str, account: str) -> None:
        """Count a sign-in over HTTP.

        Raises:
            RateLimited: too many of the address, or of the account; what is refused costs nothing.
        """
        source = source_of(address)
        self._refuse("address", "sign-ins", self._attempts_of_address.wait(now, source))
        self._refuse("account", "wrong sign-ins", self._failures_of_account.wait(now, account))
        self._refuse("account", "sign-ins", self._attempts_of_account.wait(now, account))
        self._attempts_of_address.take(now, source)
        self._attempts_of_account.take(now, account)

    def failed(self, now: float, address: str, account: str | None = None) -> None:
        """Somebody has shown a wrong token; ``account`` where it names one that there may be."""
        self._failures_of_address.take(now, source_of(address))
        if account is not None:
            self._failures_of_account.take(now, account)

    def _refuse(self, whose: str, what: str, wait: float) -> None:
        if wait > 0:
            self._limited.add("sign_in")
            raise RateLimited(f"too many {what} of this {whose}", retry_after_ms=ceil(wait * 1000))
