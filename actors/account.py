"""Accounts: which player a device is, and the refresh tokens that keep its sign-in alive.

Two kinds of actors of the server's own: ``account:HASH`` of a device, ``family:ID`` of one sign-in. Nothing here is a
client's message; the HTTP port asks (server/sign_in.py).
"""

from msgspec import Struct

from actors.account_state import Presented, RefreshFamily, Rotation, open_family, rotate
from actors.runtime import Context, Feature
from protocol import Reply, Request


class AccountOpened(Reply, tag="account.opened", frozen=True, kw_only=True):
    """The device's player; ``created`` at its first sign-in."""

    player: str
    created: bool = False


class AccountOpen(Request[AccountOpened], tag="account.open", frozen=True, kw_only=True):
    """Who is the player of the device with this hash?"""

    device: str


class FamilyOpened(Reply, tag="account.family_opened", frozen=True, kw_only=True):
    """The first token of the family is good."""


class FamilyOpen(Request[FamilyOpened], tag="account.family_open", frozen=True, kw_only=True):
    """A sign-in begins with the token ``first``."""

    family: str
    player: str
    first: Presented
    expires_ms: int


class FamilyRotated(Reply, tag="account.family_rotated", frozen=True, kw_only=True):
    """``outcome`` is a Rotation; ``player`` where it was accepted."""

    outcome: str
    player: str = ""


class FamilyRotate(Request[FamilyRotated], tag="account.family_rotate", frozen=True, kw_only=True):
    """Use ``presented`` up; ``fresh`` is the hash of what is to take its place."""

    family: str
    presented: Presented
    fresh: str
    expires_ms: int


class Account(Struct):
    """The device's player; empty until its first sign-in."""

    player: str = ""


account = Feature(name="account", actor="account", state=Account)
family = Feature(name="family", actor="family", state=RefreshFamily)


@account.handles(AccountOpen, key="device", internal=True)
def open_account(ctx: Context, state: Account, msg: AccountOpen) -> AccountOpened:
    """Find the device's player, the first time make one up."""
    if state.player:
        return AccountOpened(player=state.player)
    state.player = f"p{ctx.new_id()}"
    return AccountOpened(player=state.player, created=True)


@family.handles(FamilyOpen, key="family", internal=True)
def open_new_family(ctx: Context, state: RefreshFamily, msg: FamilyOpen) -> FamilyOpened:
    """Begin a sign-in."""
    open_family(state, msg.player, msg.first, msg.expires_ms)
    return FamilyOpened()


@family.handles(FamilyRotate, key="family", internal=True)
def rotate_token(ctx: Context, state: RefreshFamily, msg: FamilyRotate) -> FamilyRotated:
    """Use a refresh token up. A used one that comes back ends the family, and an operator hears of it."""
    outcome = rotate(state, msg.presented, msg.fresh, now_ms=ctx.now_ms, expires_ms=msg.expires_ms)
    if outcome is Rotation.REUSED:
        ctx.log.warning("auth.refresh_reused", player=state.player)
    accepted = outcome in {Rotation.ROTATED, Rotation.REPEATED}
    return FamilyRotated(outcome=outcome.value, player=state.player if accepted else "")
