"""The list of rooms. A new feature is one import and one line here (docs/write-a-feature.md)."""

from collections.abc import Sequence
from typing import Any

from actors.account import account, family
from actors.broadcasts import announced, broadcasts
from actors.chat import channels, chat, world
from actors.guild import guild, seat
from actors.leaderboards import boards, scores, show
from actors.limits import limits
from actors.mail import mail
from actors.moderation import moderation
from actors.player import profile, sessions
from actors.runtime import Blueprint, Feature
from actors.set_aside import set_aside
from actors.staff import staff
from actors.wallet import wallet

FEATURES: tuple[Feature[Any], ...] = (
    profile,
    sessions,
    moderation,
    staff,
    limits,
    set_aside,
    seat,
    guild,
    chat,
    world,
    channels,
    mail,
    wallet,
    announced,
    broadcasts,
    boards,
    show,
    scores,
    account,
    family,
)


def blueprint(features: Sequence[Feature[Any]] = FEATURES) -> Blueprint:
    """All rooms put together."""
    return Blueprint(features)
