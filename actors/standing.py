"""Standing: whether a player may sign in, and chat. Staff changes it (actors/moderation.py); others only look.

Owns the ``standing`` slice of a player.
"""

from msgspec import Struct

from actors.runtime import Context, Feature
from protocol import GuildhallError

FOR_EVER_MS = 2**53  # the end of what has none


class AccountBanned(GuildhallError):
    """The player may not sign in: not now, or never again."""

    code = "account.banned"


class ChatMuted(GuildhallError):
    """The player may read, but not write, until the end that the welcome and the notice have named."""

    code = "chat.muted"


# What staff is refused.
class EndInThePast(GuildhallError):
    """The ban or mute would have run out already."""

    code = "standing.past"


class NotBanned(GuildhallError):
    """The player is not banned."""

    code = "standing.not_banned"


class NotMuted(GuildhallError):
    """The player is not muted."""

    code = "standing.not_muted"


# What is kept.
class Standing(Struct):
    """Ends in milliseconds since the Unix epoch, ``FOR_EVER_MS`` for what has none, 0 for what is not so."""

    banned_until_ms: int = 0
    ban_reason: str = ""
    banned_by: str = ""
    """Id of the key that it was done with."""
    banned_at_ms: int = 0
    muted_until_ms: int = 0
    mute_reason: str = ""
    muted_by: str = ""
    muted_at_ms: int = 0


class StandingGreeting(Struct, frozen=True):
    """The standing's part of the welcome: until when the player may not chat; 0: it may."""

    muted_until: int


standing = Feature(name="standing", actor="player", state=Standing)


@standing.greeting
def greet(ctx: Context, stands: Standing) -> StandingGreeting:
    """Say at sign-in whether the player may chat."""
    muted = stands.muted_until_ms > ctx.now_ms
    return StandingGreeting(muted_until=stands.muted_until_ms if muted else 0)


def refuse_muted(ctx: Context) -> None:
    """Return for a caller who may chat.

    Raises:
        ChatMuted: staff has said so.
    """
    if ctx.muted:
        raise ChatMuted(f"{ctx.caller} is muted until {ctx.caller_info.muted_until_ms if ctx.caller_info else 0}")
