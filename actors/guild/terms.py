"""The words that the guild's messages and state share, and their bounds."""

from enum import IntFlag
from typing import Annotated, Literal

from msgspec import Meta

from protocol import clean

Mode = Literal["open", "request", "invite"]
"""How one gets in: by ``guild.join`` alone; by ``guild.apply``; only by invitation (which is good in every mode)."""

Role = Literal["leader", "officer", "member"]

PermissionName = Literal["invite", "accept", "kick", "motd", "settings", "promote", "moderate_chat"]

LeaveReason = Literal["left", "kicked", "banned", "disbanded"]

InviteEnd = Literal["revoked", "rejected", "expired"]

ApplicationEnd = Literal["declined", "withdrawn", "expired", "seated_elsewhere"]

TEXT_LIMIT = 500  # characters of a message of the day or a description

GuildTag = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9]{0,5}\Z")]
"""Short form shown beside a player's name; need not be unique. Empty: none."""

TypedName = Annotated[str, Meta(min_length=1, max_length=64, extra={"text": clean})]
"""A guild's name as typed; ``naming.allowed_name`` decides."""

GuildText = Annotated[str, Meta(max_length=TEXT_LIMIT, extra={"text": clean})]

ApplicationText = Annotated[str, Meta(max_length=200, extra={"text": clean})]


class Permission(IntFlag):
    """What a role may do, one bit each: officers' and members' are set by the leader, who has all."""

    INVITE = 1
    ACCEPT = 2
    KICK = 4
    MOTD = 8
    SETTINGS = 16
    PROMOTE = 32
    MODERATE_CHAT = 64


_BITS: dict[PermissionName, Permission] = {
    "invite": Permission.INVITE,
    "accept": Permission.ACCEPT,
    "kick": Permission.KICK,
    "motd": Permission.MOTD,
    "settings": Permission.SETTINGS,
    "promote": Permission.PROMOTE,
    "moderate_chat": Permission.MODERATE_CHAT,
}


def bits_of(names: list[PermissionName]) -> int:
    """The bits of the named permissions."""
    bits = 0
    for name in names:
        bits |= _BITS[name]
    return bits


def names_of(bits: int) -> list[PermissionName]:
    """The names of the permissions in ``bits``, always in the same order."""
    return [name for name, bit in _BITS.items() if bits & bit]
