"""The list of rooms. A new feature is one import and one line here (docs/write-a-feature.md)."""

from typing import Any

from actors.account import account, family
from actors.chat import channels, chat, world
from actors.guild import guild, seat
from actors.mail import mail
from actors.player import profile, sessions
from actors.runtime import Blueprint, Feature

FEATURES: tuple[Feature[Any], ...] = (
    profile,
    sessions,
    seat,
    guild,
    chat,
    world,
    channels,
    mail,
    account,
    family,
)


def blueprint() -> Blueprint:
    """All rooms put together."""
    return Blueprint(FEATURES)
