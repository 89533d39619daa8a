"""Sign-in over HTTP: turns device ids and refresh tokens into access tokens, through the account actors."""

from secrets import token_bytes, token_hex

from actors.account import AccountOpen, AccountOpened, FamilyOpen, FamilyRotate, FamilyRotated
from actors.account_state import Rotation
from actors.runtime import Clock, ask
from actors.runtime.router import Router
from protocol import NotAuthenticated, TokenExpired
from server.auth import RefreshToken, Tokens, device_key, first_refresh, next_refresh, presented
from server.http import SignedIn
from server.node_limits import NodeLimits


class AccountSignIn:
    """``SignIn`` of server/http.py. ``limits`` bound tries by address and account: tokens are not for guessing."""

    def __init__(self, router: Router, tokens: Tokens, clock: Clock, limits: NodeLimits, *, refresh_s: int) -> None:
        self._router = router
        self._tokens = tokens
        self._clock = clock
        self._limits = limits
        self._refresh_s = refresh_s

    async def device(self, device_id: str, *, address: str) -> SignedIn:
        """Sign in the player of a device; the first time, make one."""
        self._begin(address)
        account = device_key(device_id)
        self._attempt(address, account)
        opened = await ask(self._router, AccountOpen(id=token_hex(12), device=account))
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
        self._begin(address)
        try:
            family, shown = presented(refresh_token)
        except NotAuthenticated:
            self._failed(address)
            raise
        self._attempt(address, family)
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
            self._failed(address, family)
            raise NotAuthenticated("no such refresh token")
        raise TokenExpired("this sign-in has ended; sign in again")

    def _signed_in(self, player: str, refresh: RefreshToken) -> SignedIn:
        access = self._tokens.mint(player)
        return SignedIn(token=access.token, refresh_token=refresh.text, player=player, expires_at=access.expires_at)

    def _expires_ms(self) -> int:
        return self._clock.now_ms() + self._refresh_s * 1000

    def _begin(self, address: str) -> None:
        """Raises Unavailable or RateLimited: nothing from there is looked at now."""
        if self._limits.enforced:
            self._limits.shedder.shed_sign_in()
            self._limits.sign_in.knock(self._clock.monotonic(), address)

    def _attempt(self, address: str, account: str) -> None:
        """Raises RateLimited: too often."""
        if self._limits.enforced:
            self._limits.sign_in.attempt(self._clock.monotonic(), address, account)

    def _failed(self, address: str, account: str | None = None) -> None:
        if self._limits.enforced:
            self._limits.sign_in.failed(self._clock.monotonic(), address, account)
