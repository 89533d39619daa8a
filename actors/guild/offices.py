"""What leader and officers do: rank, kicks and bans, permissions, settings, the end."""

from actors.guild.errors import NoSuchMember, NotBanned, RankTooLow, RoleAtLimit, TooManyBans
from actors.guild.events import (
    Edited,
    LeaderChanged,
    MotdChanged,
    PermissionsChanged,
    PlayerBanned,
    PlayerUnbanned,
    RoleChanged,
)
from actors.guild.letters import write_demoted, write_promoted
from actors.guild.messages import (
    GuildBan,
    GuildBanned,
    GuildDemote,
    GuildDemoted,
    GuildDisband,
    GuildDissolved,
    GuildEdit,
    GuildKick,
    GuildKicked,
    GuildMotdSet,
    GuildPermissionsSet,
    GuildPromote,
    GuildPromoted,
    GuildSetMotd,
    GuildSetPermissions,
    GuildSettingsSaved,
    GuildTransfer,
    GuildTransferred,
    GuildUnban,
    GuildUnbanned,
)
from actors.guild.roster import BAN_LIMIT, Roster, require_leader, require_permission, require_rank_above
from actors.guild.tells import InviteWithdrawn
from actors.guild.terms import Permission, bits_of, names_of
from actors.guild.turns import disband, guild, remove
from actors.runtime import Context


# Rank.
@guild.handles(GuildPromote, key="guild")
def promote(ctx: Context, roster: Roster, msg: GuildPromote) -> GuildPromoted:
    """Make a member an officer: as high as one may raise others without handing over the leadership.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
        NoSuchMember, RankTooLow: not on this one.
        RoleAtLimit: the member is an officer.
    """
    me = require_permission(roster, ctx.actor, ctx.caller, Permission.PROMOTE)
    target = require_rank_above(roster, me, msg.player)
    if target.role == "officer":
        raise RoleAtLimit(f"{msg.player} is an officer; guild.transfer hands over the leadership")
    target.role = "officer"
    ctx.publish(ctx.actor, RoleChanged(player=msg.player, role="officer", by=ctx.caller))
    write_promoted(ctx, roster, msg.player, by=ctx.caller)
    return GuildPromoted(guild=ctx.key, player=msg.player, role="officer")


@guild.handles(GuildDemote, key="guild")
def demote(ctx: Context, roster: Roster, msg: GuildDemote) -> GuildDemoted:
    """Make an officer a member.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
        NoSuchMember, RankTooLow: not on this one.
        RoleAtLimit: the member has no rank to lose.
    """
    me = require_permission(roster, ctx.actor, ctx.caller, Permission.PROMOTE)
    target = require_rank_above(roster, me, msg.player)
    if target.role == "member":
        raise RoleAtLimit(f"{msg.player} is a plain member")
    target.role = "member"
    ctx.publish(ctx.actor, RoleChanged(player=msg.player, role="member", by=ctx.caller))
    write_demoted(ctx, roster, msg.player, by=ctx.caller)
    return GuildDemoted(guild=ctx.key, player=msg.player, role="member")


@guild.handles(GuildTransfer, key="guild")
def transfer(ctx: Context, roster: Roster, msg: GuildTransfer) -> GuildTransferred:
    """Hand the leadership over; the caller is an officer from now on.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller does not lead.
        NoSuchMember: the other is not a member.
        RankTooLow: the other is the caller.
    """
    require_leader(roster, ctx.actor, ctx.caller)
    if msg.player == ctx.caller:
        raise RankTooLow(f"{ctx.caller} leads {ctx.actor} already")
    target = roster.members.get(msg.player)
    if target is None:
        raise NoSuchMember(f"{msg.player} is not a member of {ctx.actor}")
    roster.members[ctx.caller].role = "officer"
    target.role = "leader"
    roster.leader = msg.player
    ctx.publish(ctx.actor, LeaderChanged(player=msg.player, by=ctx.caller))
    write_promoted(ctx, roster, msg.player, by=ctx.caller)
    return GuildTransferred(guild=ctx.key, player=msg.player)


# Out.
@guild.handles(GuildKick, key="guild")
def kick(ctx: Context, roster: Roster, msg: GuildKick) -> GuildKicked:
    """Remove a member, who hears nothing of the guild after the event that says so.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
        NoSuchMember, RankTooLow: not this one.
    """
    me = require_permission(roster, ctx.actor, ctx.caller, Permission.KICK)
    require_rank_above(roster, me, msg.player)
    remove(ctx, roster, msg.player, by=ctx.caller, reason="kicked")
    return GuildKicked(guild=ctx.key, player=msg.player)


@guild.handles(GuildBan, key="guild")
def ban(ctx: Context, roster: Roster, msg: GuildBan) -> GuildBanned:
    """Shut a player out; a join that is under way is refused when it arrives.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
        RankTooLow: not this one.
        TooManyBans: ``BAN_LIMIT`` players are banned.
    """
    me = require_permission(roster, ctx.actor, ctx.caller, Permission.KICK)
    member = msg.player in roster.members
    if member:
        require_rank_above(roster, me, msg.player)
    if msg.player in roster.banned:
        return GuildBanned(guild=ctx.key, player=msg.player)
    if len(roster.banned) >= BAN_LIMIT:
        raise TooManyBans(f"{ctx.actor} has banned {BAN_LIMIT} players")
    if member:
        remove(ctx, roster, msg.player, by=ctx.caller, reason="banned")
    roster.banned.append(msg.player)
    roster.applications.pop(msg.player, None)
    if roster.invites.pop(msg.player, None) is not None:
        ctx.tell(f"player:{msg.player}", InviteWithdrawn())
    ctx.publish(ctx.actor, PlayerBanned(player=msg.player, by=ctx.caller))
    return GuildBanned(guild=ctx.key, player=msg.player)


@guild.handles(GuildUnban, key="guild")
def unban(ctx: Context, roster: Roster, msg: GuildUnban) -> GuildUnbanned:
    """Let a player in again who asks.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
        NotBanned: the player is not banned.
    """
    require_permission(roster, ctx.actor, ctx.caller, Permission.KICK)
    if msg.player not in roster.banned:
        raise NotBanned(f"{ctx.actor} has not banned {msg.player}")
    roster.banned.remove(msg.player)
    ctx.publish(ctx.actor, PlayerUnbanned(player=msg.player, by=ctx.caller))
    return GuildUnbanned(guild=ctx.key, player=msg.player)


# Settings.
@guild.handles(GuildSetPermissions, key="guild")
def set_permissions(ctx: Context, roster: Roster, msg: GuildSetPermissions) -> GuildPermissionsSet:
    """Say what officers, or members, may do.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller does not lead.
    """
    require_leader(roster, ctx.actor, ctx.caller)
    bits = bits_of(msg.permissions)
    if msg.role == "officer":
        roster.officers_may = bits
    else:
        roster.members_may = bits
    may = names_of(bits)
    ctx.publish(ctx.actor, PermissionsChanged(role=msg.role, permissions=may, by=ctx.caller))
    return GuildPermissionsSet(guild=ctx.key, role=msg.role, permissions=may)


@guild.handles(GuildSetMotd, key="guild")
def set_motd(ctx: Context, roster: Roster, msg: GuildSetMotd) -> GuildMotdSet:
    """Set the message of the day.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
    """
    require_permission(roster, ctx.actor, ctx.caller, Permission.MOTD)
    roster.motd = msg.motd
    ctx.publish(ctx.actor, MotdChanged(motd=msg.motd, by=ctx.caller))
    return GuildMotdSet(guild=ctx.key)


@guild.handles(GuildEdit, key="guild")
def edit(ctx: Context, roster: Roster, msg: GuildEdit) -> GuildSettingsSaved:
    """Change the settings that are given. Who has applied keeps the place in the queue whatever the mode becomes.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
    """
    require_permission(roster, ctx.actor, ctx.caller, Permission.SETTINGS)
    if msg.tag is not None:
        roster.tag = msg.tag
    if msg.mode is not None:
        roster.mode = msg.mode
    if msg.description is not None:
        roster.description = msg.description
    ctx.publish(ctx.actor, Edited(tag=roster.tag, mode=roster.mode, description=roster.description, by=ctx.caller))
    return GuildSettingsSaved(guild=ctx.key)


@guild.handles(GuildDisband, key="guild")
def end(ctx: Context, roster: Roster, _msg: GuildDisband) -> GuildDissolved:
    """End the guild; a join that is under way is refused when it arrives.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller does not lead.
    """
    require_leader(roster, ctx.actor, ctx.caller)
    disband(ctx, roster, by=ctx.caller)
    return GuildDissolved(guild=ctx.key)
