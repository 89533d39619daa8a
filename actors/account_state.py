"""One sign-in of one device, kept alive by refresh tokens that are good once (RFC 9700, section
4.14.2).

A refresh token is ``family.anchor.secret``. ``family`` names the state, ``anchor`` stays the same
and proves that whoever presents a used token has really seen one of this family, ``secret`` changes
with every use. The state holds hashes only; whoever reads the database cannot sign in with it.

Somebody who stole a token and its owner both use it sooner or later. The later one then presents a
secret that is used up, and the whole family ends: both have to sign in again, which only the owner
can.
"""

from enum import Enum

from msgspec import Struct

GRACE_MS = 30_000  # a lost answer is asked again within seconds; a thief gains no more than the owner has
SIBLINGS = 4  # answers to one token that may be under way; the oldest dies with the fifth


class RefreshFamily(Struct):
    """What is kept of one sign-in. Hashes are those of ``server.auth``; equal texts have equal
    hashes."""

    player: str = ""
    anchor: str = ""
    current: list[str] = []
    """Hashes of the secrets that are good now: one, or more for a moment after a repeated
    refresh."""
    used: str = ""
    """Hash of the secret that was turned into ``current``."""
    used_ms: int = 0
    """When that was; a repeat with it is answered until ``GRACE_MS`` later."""
    expires_ms: int = 0
    ended: bool = False


class Rotation(Enum):
    """What came of presenting a refresh token."""

    ROTATED = "rotated"
    """Accepted; the fresh secret is good, the presented one is used up."""
    REPEATED = "repeated"
    """The answer to this same token was lost a moment ago; the fresh secret is good beside the lost
    one."""
    EXPIRED = "expired"
    """Not used for too long, or ended before: sign in again."""
    REUSED = "reused"
    """A used secret came back: the family has been ended by this call, and an operator should hear
    of it."""
    UNKNOWN = "unknown"
    """Not a token of this family; nothing was changed."""


class Presented(Struct, frozen=True):
    """A refresh token as presented, hashed."""

    anchor: str
    secret: str


def open_family(state: RefreshFamily, player: str, first: Presented, expires_ms: int) -> None:
    """Begin: ``first`` is the token that the device is given at sign-in."""
    state.player = player
    state.anchor = first.anchor
    state.current = [first.secret]
    state.used, state.used_ms = "", 0
    state.expires_ms = expires_ms
    state.ended = False


def rotate(state: RefreshFamily, presented: Presented, fresh: str, *, now_ms: int, expires_ms: int) -> Rotation:
    """Use a token up and make the secret with the hash ``fresh`` good in its place until
    ``expires_ms``.

    ``fresh`` counts only if the answer is ROTATED or REPEATED. Never raises: a turn keeps what this
    has changed, and refuses by its reply.
    """
    if not state.anchor or presented.anchor != state.anchor:
        return Rotation.UNKNOWN
    if state.ended or now_ms >= state.expires_ms:
        return Rotation.EXPIRED
    if presented.secret in state.current:
        state.used, state.used_ms = presented.secret, now_ms
        state.current = [fresh]
        state.expires_ms = expires_ms
        return Rotation.ROTATED
    if presented.secret == state.used and now_ms < state.used_ms + GRACE_MS:
        state.current = [*state.current[-(SIBLINGS - 1) :], fresh]
        return Rotation.REPEATED
    end(state)
    return Rotation.REUSED


def end(state: RefreshFamily) -> None:
    """Sign out: no token of the family is good any more."""
    state.ended = True
    state.current = []
    state.used = ""
