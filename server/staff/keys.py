"""Keys of staff and of a game's own servers: what they look like, what may be done with them, what is kept of them.

A key is ``gk_ID_SECRET``. The id finds its row; the secret is 192 random bits, of which only the SHA-256 is kept. A
slow hash with a salt is for passwords, which can be guessed: nobody guesses 192 bits, and whoever reads the table
learns nothing to sign in with. So a check costs microseconds, and every request can be checked against the table: a
key that is revoked is refused at the next request, on every node.
"""

import re
from base64 import b32encode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Literal, get_args

from msgspec import Struct

from protocol import GuildhallError

Scope = Literal[
    "players.read",
    "players.write",
    "players.ban",
    "guilds.read",
    "channels.read",
    "channels.moderate",
    "announcements.read",
    "announcements.write",
    "leaderboards.read",
    "leaderboards.write",
    "scores.write",
    "wallet.read",
    "wallet.write",
    "actors.retry",
    "outbox.read",
    "outbox.requeue",
    "outbox.drop",
    "timers.read",
    "timers.requeue",
    "timers.drop",
    "nodes.read",
    "nodes.drain",
    "audit.read",
    "admin",
]
"""What a key may do. ``admin`` is all of it."""
SCOPES: tuple[Scope, ...] = get_args(Scope)

KEY = re.compile(r"gk_([a-z2-7]{10})_([A-Za-z0-9_-]{32})")
NAME_CHARS = 64
SELECT = "SELECT id, name, scopes, hash, created_ms, expires_ms, revoked_ms FROM staff_keys"

RandomBytes = Callable[[int], bytes]
"""As ``secrets.token_bytes``."""


class MissingScope(GuildhallError):
    """The key is good, but has not the scope that this needs; the message names it."""

    code = "staff.forbidden"


class StaffKey(Struct, frozen=True):
    """A key without its secret, as a row of ``staff_keys``."""

    id: str
    name: str
    scopes: frozenset[str]
    hash: bytes = b""
    created_ms: int = 0
    expires_ms: int | None = None
    """From then on it is refused; None: never."""
    revoked_ms: int | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the key has the scope."""
        return scope in self.scopes or "admin" in self.scopes

    def expired(self, now_ms: int) -> bool:
        """Whether its time is over."""
        return self.expires_ms is not None and self.expires_ms <= now_ms

    @property
    def row(self) -> dict[str, Any]:
        """As ``staff_keys`` keeps it."""
        return {
            "id": self.id,
            "name": self.name,
            "scopes": " ".join(sorted(self.scopes)),
            "hash": self.hash,
            "created_ms": self.created_ms,
            "expires_ms": self.expires_ms,
            "revoked_ms": self.revoked_ms,
        }


DEV = StaffKey(id="dev", name="development", scopes=frozenset({"admin"}))
"""The key ``dev`` of development mode."""


class NewKey(Struct, frozen=True):
    """A key that was just made. ``text`` is shown once and kept nowhere."""

    key: StaffKey
    text: str

    def __repr__(self) -> str:
        return f"NewKey(key={self.key.id!r})"


def new_key(
    name: str, scopes: Sequence[str], *, now_ms: int, expires_ms: int | None, random_bytes: RandomBytes
) -> NewKey:
    """Make a key."""
    id_ = b32encode(random_bytes(7)).decode().lower()[:10]
    secret = _url_safe(random_bytes(24))
    key = StaffKey(id_, name, frozenset(scopes), _hashed(secret), now_ms, expires_ms)
    return NewKey(key, f"gk_{id_}_{secret}")


def key_of(row: Sequence[Any]) -> StaffKey:
    """A row as ``SELECT`` asks for it."""
    id_, name, scopes, hashed, created_ms, expires_ms, revoked_ms = row
    return StaffKey(id_, name, frozenset(scopes.split()), bytes(hashed), created_ms, expires_ms, revoked_ms)


def split(text: str) -> tuple[str, str] | None:
    """(id, secret) of a key's text; None if it is none."""
    found = KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def opens(secret: str, key: StaffKey | None) -> bool:
    """Whether ``secret`` is the key's, found out in the same time whether it is or not, and whether there is a key."""
    kept = key.hash if key is not None else _NOBODYS
    return compare_digest(_hashed(secret), kept) and key is not None


def _hashed(secret: str) -> bytes:
    return sha256(f"guildhall.staff\0{secret}".encode()).digest()


def _url_safe(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


_NOBODYS = bytes(32)
