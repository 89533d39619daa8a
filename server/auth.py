"""Who is speaking: verifies and issues sign-in tokens.

An access token is a JWT. Its ``kid`` picks the key, and the key, never the token, picks the
algorithm. A refresh token is opaque; its rotation is ``actors.account_state``.
"""

import re
from base64 import b32encode, urlsafe_b64decode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Annotated, Any, Protocol

import jwt
import msgspec
from msgspec import Meta, Struct

from actors.account_state import Presented
from actors.runtime.clock import Clock
from protocol.errors import NotAuthenticated, TokenExpired, Unavailable
from server.auth_keys import AuthKey, KeySet, load_keys
from server.auth_plain import plain_token
from server.config import Auth, ConfigError

LEEWAY_S = 30  # clocks of game servers that issue tokens differ; exp is not stretched
TOKEN_CHARS = 8192
NAME_CHARS = 64
KEYS_SOON_MS = 1_000  # a fetch of the key set takes well under a second

_ID = re.compile(r"[A-Za-z0-9_.~-]{1,64}")
_REFRESH = re.compile(r"([a-z2-7]{26})\.([a-z2-7]{26})\.([a-z2-7]{52})")

DeviceId = Annotated[str, Meta(min_length=4, max_length=128)]
"""What a device signs in with: chosen by the client at random, kept by it like a password."""

RandomBytes = Callable[[int], bytes]
"""As ``secrets.token_bytes``."""


class Identity(Struct, frozen=True):
    """Who a verified token speaks for."""

    player: str
    name: str | None
    expires_at: int | None
    """Milliseconds since the Unix epoch; None for a development token, which never expires."""
    claims: Mapping[str, Any]
    """All claims of the token, for a game's own rooms."""


class AccessToken(Struct, frozen=True):
    """A token issued here."""

    token: str
    expires_at: int
    """Milliseconds since the Unix epoch."""


class MoreKeys(Protocol):
    """Keys that can change while the server runs."""

    def get(self, kid: str) -> AuthKey | None:
        """The key as last fetched."""
        ...

    def wanted(self) -> bool:
        """Have the keys fetched if the last fetch is old enough; whether one is under way, so that
        asking again soon may help."""
        ...


class Tokens:
    """Verifies tokens with the configured keys and issues them with the first that can sign. Never
    waits.

    ``more`` are keys that are fetched in the background (``server.auth_jwks``).
    """

    def __init__(self, auth: Auth, clock: Clock, *, keys: KeySet | None = None, more: MoreKeys | None = None) -> None:
        self._auth = auth
        self._clock = clock
        self._keys = keys if keys is not None else load_keys(auth)
        self._more = more
        self._options: dict[str, Any] = {
            "require": ["exp", "sub"],
            "verify_aud": auth.audience is not None,
            "verify_exp": False,  # by our clock, below
            "verify_nbf": False,
            "verify_iat": False,
            "verify_jti": False,
        }

    def verify(self, token: str) -> Identity:
        """The player that ``token`` speaks for.

        Raises:
            TokenExpired: it was good; the client gets a new one.
            NotAuthenticated: anything else is wrong with it. What exactly is not told.
            Unavailable: its key is not known yet, and the key set is being fetched.
        """
        if token.startswith("dev:"):
            return self._verify_dev(token.removeprefix("dev:"))
        if len(token) > TOKEN_CHARS or not token.isascii():
            raise NotAuthenticated
        try:
            return self._identity(self._claims(token))
        except jwt.InvalidTokenError:
            raise NotAuthenticated from None

    def _claims(self, token: str) -> dict[str, Any]:
        auth, plain = self._auth, plain_token(token)
        key = self._key_of(plain.kid if plain is not None else _kid_of(token))
        claims = plain.claims_by(key, issuer=auth.issuer, audience=auth.audience) if plain is not None else None
        if claims is None:
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[key.alg],
                options=self._options,  # type: ignore[arg-type]
                audience=auth.audience,
                issuer=auth.issuer,
            )
        return claims

    def mint(self, player: str, *, name: str | None = None, ttl_s: int | None = None) -> AccessToken:
        """Issue a token that is good for ``ttl_s`` seconds, else for ``auth.access_token_s``.

        Raises:
            ConfigError: no key can sign.
        """
        if not _ID.fullmatch(player):
            raise ValueError("a player id is 1 to 64 letters, digits and _.~-")
        key = self._keys.signing
        if key is None:
            raise ConfigError(
                "no key can sign tokens; allowed: a key of auth.keys with secret_file or private_key_file"
            )
        now = self._clock.now_ms() // 1000
        expires = now + (self._auth.access_token_s if ttl_s is None else ttl_s)
        claims = {
            "sub": player,
            "iat": now,
            "exp": expires,
            "name": name,
            "iss": self._auth.issuer,
            "aud": self._auth.audience,
        }
        claims = {claim: value for claim, value in claims.items() if value is not None}
        token = jwt.encode(claims, key.private, algorithm=key.alg, headers={"kid": key.kid})
        return AccessToken(token, expires * 1000)

    def _key_of(self, kid: str | None) -> AuthKey:
        if kid is None and self._more is None and self._keys.only is not None:
            return self._keys.only
        if kid is None:
            raise NotAuthenticated
        key = self._keys.by_kid.get(kid)
        if key is None and self._more is not None:
            key = self._more.get(kid)
            if key is None and self._more.wanted():
                raise Unavailable("the keys for sign-in tokens are being fetched", retry_after_ms=KEYS_SOON_MS)
        if key is None:
            raise NotAuthenticated
        return key

    def _identity(self, claims: dict[str, Any]) -> Identity:
        now = self._clock.now_ms() / 1000
        player, expires, name = claims["sub"], claims["exp"], claims.get("name")
        if not (isinstance(player, str) and _ID.fullmatch(player) and _is_time(expires)):
            raise NotAuthenticated
        for claim in ("nbf", "iat"):
            start = claims.get(claim, 0)
            if not _is_time(start) or start > now + LEEWAY_S:
                raise NotAuthenticated
        if expires <= now:
            raise TokenExpired
        return Identity(player, _clean_name(name), int(expires * 1000), claims)

    def _verify_dev(self, name: str) -> Identity:
        if not self._auth.dev or not _ID.fullmatch(name):
            raise NotAuthenticated
        return Identity(name, name, None, {})


class _Header(Struct):
    kid: str | None = None


_decode_header = msgspec.json.Decoder(_Header).decode


def _kid_of(token: str) -> str | None:
    """Which key a token names (RFC 7515, section 4.1.4). Only says which one to try: everything is verified with it."""
    head = token.partition(".")[0]
    try:
        return _decode_header(urlsafe_b64decode(head + "=" * (-len(head) % 4))).kid
    except (ValueError, RecursionError):
        raise NotAuthenticated from None


def _is_time(value: Any) -> bool:
    """Seconds since the epoch that a clock can show; json takes NaN and 1e400, and true is a number
    to Python."""
    return (type(value) is int or type(value) is float) and 0 <= value < 1e11


def _clean_name(name: Any) -> str | None:
    """The ``name`` claim if it can be shown; a token is good without one."""
    if isinstance(name, str) and 0 < len(name) <= NAME_CHARS and name.isprintable():
        return name
    return None


# Devices and refresh tokens.
class RefreshToken(Struct, frozen=True):
    """A refresh token made here: ``text`` goes to the client and nowhere else, the rest to the
    family's actor."""

    text: str
    family: str
    hashed: Presented

    def __repr__(self) -> str:
        return f"RefreshToken(family={self.family!r})"


def device_key(device_id: str) -> str:
    """Key of the account actor of a device: a hash, so that whoever reads the database cannot sign
    in with it.

    No pepper: an id that the client makes at random is not guessable, and a pepper would be one
    more secret that can never be changed and whose loss is the loss of every account.
    """
    return _hashed("device", device_id)


def first_refresh(random_bytes: RandomBytes) -> RefreshToken:
    """The token of a new family."""
    return _refresh(_encode(random_bytes(16)), _encode(random_bytes(16)), random_bytes)


def next_refresh(text: str, random_bytes: RandomBytes) -> RefreshToken:
    """The token that takes the place of ``text`` if its family accepts that.

    Raises:
        NotAuthenticated: ``text`` is no refresh token.
    """
    family, anchor, _ = _split(text)
    return _refresh(family, anchor, random_bytes)


def presented(text: str) -> tuple[str, Presented]:
    """The family that a refresh token names, and the token hashed.

    Raises:
        NotAuthenticated: ``text`` is no refresh token.
    """
    family, anchor, secret = _split(text)
    return family, Presented(_hashed("anchor", anchor), _hashed("secret", secret))


def _refresh(family: str, anchor: str, random_bytes: RandomBytes) -> RefreshToken:
    secret = _encode(random_bytes(32))
    hashed = Presented(_hashed("anchor", anchor), _hashed("secret", secret))
    return RefreshToken(f"{family}.{anchor}.{secret}", family, hashed)


def _split(text: str) -> tuple[str, str, str]:
    found = _REFRESH.fullmatch(text)
    if found is None:
        raise NotAuthenticated
    return found[1], found[2], found[3]


def _hashed(purpose: str, text: str) -> str:
    """52 characters that fit an actor's key. The purpose keeps a hash of one sort from standing for
    another."""
    return _encode(sha256(f"guildhall.{purpose}\0{text}".encode(errors="surrogatepass")).digest())


def _encode(raw: bytes) -> str:
    return b32encode(raw).decode().rstrip("=").lower()
