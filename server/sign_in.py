"""Sign-in over HTTP: turns device ids and refresh tokens into access tokens, through the account actors."""

from secrets import token_bytes, token_hex

from actors.account import AccountOpen, AccountOpened, FamilyOpen, FamilyRotate, FamilyRotated
from actors.account_state import Rotation
from actors.runtime import Clock, ask
from actors.runtime.router import Router
from protocol import NotAuthenticated, RateLimited, TokenExpired
from server.auth import RefreshToken, Tokens, device_key, first_refresh, next_refresh, presented
from server.http import SignedIn
from server.limits import source_of

SOURCES = 100_000  # addresses remembered for a minute; more at once are an attack, and wait


class AccountSignIn:
    """``SignIn`` of server/http.py. ``per_minute`` bounds tries of one address: tokens are not for guessing."""

    def __init__(self, router: Router, tokens: Tokens, clock: Clock, *, refresh_s: int, per_minute: int) -> None:
        self._router = router
        self._tokens = tokens
        self._clock = clock
        self._refresh_s = refresh_s
        self._per_minute = per_minute
        self._tries: dict[str, int] = {}
        self._minute = 0

    async def device(self, device_id: str, *, address: str) -> SignedIn:
        """Sign in the player of a device; the first time, make one."""
        self._count(address)
        opened = await ask(self._router, AccountOpen(id=token_hex(12), device=device_key(device_id)))
        assert isinstance(opened, AccountOpened)
        token = first_refresh(token_bytes)
        await ask(
            self._router,
            FamilyOpen(
                id=token_hex(12),
                family=token.family,
                player=opened.player,
                first=token.hashed,
                expires_ms=self._expires_ms(),
            ),
        )
        return self._signed_in(opened.player, token)

    async def refresh(self, refresh_token: str, *, address: str) -> SignedIn:
        """Use a refresh token up and issue the next.

        Raises:
            TokenExpired: it was not used for too long, or its sign-in has ended: sign in anew.
            NotAuthenticated: it is none of ours.
        """
        self._count(address)
        family, shown = presented(refresh_token)
        fresh = next_refresh(refresh_token, token_bytes)
        rotated = await ask(
            self._router,
            FamilyRotate(
                id=token_hex(12),
                family=family,
                presented=shown,
                fresh=fresh.hashed.secret,
                expires_ms=self._expires_ms(),
            ),
        )
        assert isinstance(rotated, FamilyRotated)
        if rotated.player:
            return self._signed_in(rotated.player, fresh)
        if rotated.outcome == Rotation.UNKNOWN.value:
            raise NotAuthenticated("no such refresh token")
        raise TokenExpired("this sign-in has ended; sign in again")

    def _signed_in(self, player: str, refresh: RefreshToken) -> SignedIn:
        access = self._tokens.mint(player)
        return SignedIn(token=access.token, refresh_token=refresh.text, player=player, expires_at=access.expires_at)

    def _expires_ms(self) -> int:
        return self._clock.now_ms() + self._refresh_s * 1000

    def _count(self, address: str) -> None:
        minute = int(self._clock.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._tries.clear()
        source = source_of(address)
        if len(self._tries) >= SOURCES and source not in self._tries:
            raise RateLimited("too many sign-ins", retry_after_ms=60_000)
        tries = self._tries[source] = self._tries.get(source, 0) + 1
        if tries > self._per_minute:
            raise RateLimited("too many sign-ins from this address", retry_after_ms=60_000)
