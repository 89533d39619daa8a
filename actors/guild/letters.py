"""What the guild writes into players' inboxes, so that who is away finds it: the lasting side of what the events on
``guild:ID`` and ``player:ID`` say to those who are here.

The kind, and ``guild``, ``name`` and ``by`` in the data, are for clients to say it in the player's own language.
"""

from actors.guild.roster import Roster
from actors.guild.terms import LeaveReason
from actors.mail import tell_player
from actors.runtime import Context

_REMOVED: dict[LeaveReason, str] = {
    "kicked": "You were removed from the guild.",
    "banned": "You were banned from the guild.",
    "disbanded": "The guild was disbanded.",
}
_ROLES = {"leader": "You are the leader now.", "officer": "You are an officer now.", "member": "You are a member now."}


def write_invited(ctx: Context, roster: Roster, player: str, expires_ms: int) -> None:
    """``guild.invited``, by the caller: good as long as the invitation. It stays when that is taken back."""
    tell_player(
        ctx,
        player,
        kind="guild.invited",
        title=f"Invitation to {roster.name}",
        body=f"{ctx.caller_name} invites you to join the guild.",
        data=_facts(ctx, roster, ctx.caller),
        expires_ms=expires_ms,
    )


def write_promoted(ctx: Context, roster: Roster, player: str, *, by: str) -> None:
    """``guild.promoted``; ``role`` in the data is the new one. An heir is promoted by whoever ended the leadership."""
    _write_role(ctx, roster, player, by, "guild.promoted")


def write_demoted(ctx: Context, roster: Roster, player: str, *, by: str) -> None:
    """``guild.demoted``; ``role`` in the data is the new one."""
    _write_role(ctx, roster, player, by, "guild.demoted")


def write_removed(ctx: Context, roster: Roster, player: str, *, by: str, reason: LeaveReason) -> None:
    """``guild.kicked``, ``guild.banned`` or ``guild.disbanded``; nothing to a player whose own doing it was."""
    if player != by and reason in _REMOVED:
        body, facts = _REMOVED[reason], _facts(ctx, roster, by)
        tell_player(ctx, player, kind=f"guild.{reason}", title=roster.name, body=body, data=facts)


def _write_role(ctx: Context, roster: Roster, player: str, by: str, kind: str) -> None:
    role = roster.members[player].role
    facts = {**_facts(ctx, roster, by), "role": role}
    tell_player(ctx, player, kind=kind, title=roster.name, body=_ROLES[role], data=facts)


def _facts(ctx: Context, roster: Roster, by: str) -> dict[str, str]:
    return {"guild": ctx.key, "name": roster.name, "by": by}
