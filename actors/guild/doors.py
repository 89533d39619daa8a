"""The guild's doors: invitations and applications, both bounded, both with an end."""

from actors.guild.errors import (
    AlreadyMember,
    BannedFromGuild,
    GuildFull,
    GuildOpen,
    InviteOnly,
    NoApplication,
    NoInvite,
    TooManyApplications,
    TooManyInvites,
)
from actors.guild.events import ApplicationClosed, Applied, InviteClosed, InviteOpened
from actors.guild.letters import write_invited
from actors.guild.messages import (
    GuildAccept,
    GuildAccepted,
    GuildApplicationSent,
    GuildApplicationWithdrawn,
    GuildApply,
    GuildDecline,
    GuildDeclined,
    GuildInvite,
    GuildInviteRevoked,
    GuildInviteSent,
    GuildRevokeInvite,
    GuildWithdraw,
)
from actors.guild.roster import (
    APPLICATION_LIMIT,
    INVITE_LIMIT,
    OPEN_FOR_S,
    Application,
    Invite,
    Roster,
    next_expiry_ms,
    require_guild,
    require_permission,
)
from actors.guild.tells import ExpiryDue, Invited, InviteRejected, InviteWithdrawn, SeatDeclined, SeatOffered
from actors.guild.terms import ApplicationEnd, InviteEnd, Permission
from actors.guild.turns import EXPIRY, guild
from actors.runtime import Context


# Applications.
@guild.handles(GuildApply, key="guild")
def take_application(ctx: Context, roster: Roster, msg: GuildApply) -> GuildApplicationSent:
    """Keep the caller's application for the officers to see.

    Raises:
        GuildNotFound: there is no such guild.
        AlreadyMember, BannedFromGuild: the caller is in, or shut out.
        GuildOpen, InviteOnly: the guild takes no applications.
        TooManyApplications: ``APPLICATION_LIMIT`` are waiting.
    """
    require_guild(roster, ctx.actor)
    me = ctx.caller
    if me in roster.members:
        raise AlreadyMember(f"{me} is a member of {ctx.actor}")
    if me in roster.banned:
        raise BannedFromGuild(f"{ctx.actor} has banned {me}")
    if roster.mode != "request":
        refusal = GuildOpen if roster.mode == "open" else InviteOnly
        raise refusal(f"{ctx.actor} is of mode {roster.mode!r} and takes no applications")
    if me not in roster.applications and len(roster.applications) >= APPLICATION_LIMIT:
        raise TooManyApplications(f"{ctx.actor} has {APPLICATION_LIMIT} applications waiting")
    before = roster.applications.pop(me, None)
    expires_ms = ctx.now_ms + int(OPEN_FOR_S * 1000)
    roster.applications[me] = Application(
        name=ctx.caller_name, text=msg.text, expires_ms=expires_ms, offered=before is not None and before.offered
    )
    ctx.publish(ctx.actor, Applied(player=me, name=ctx.caller_name, text=msg.text, expires_at=expires_ms))
    _wake_at_next_expiry(ctx, roster)
    return GuildApplicationSent(guild=ctx.key, expires_at=expires_ms)


@guild.handles(GuildWithdraw, key="guild")
def withdraw(ctx: Context, roster: Roster, _msg: GuildWithdraw) -> GuildApplicationWithdrawn:
    """Forget the caller's application.

    Raises:
        GuildNotFound: there is no such guild.
        NoApplication: the caller has none.
    """
    require_guild(roster, ctx.actor)
    _require_application(ctx, roster, ctx.caller)
    _close_application(ctx, roster, ctx.caller, "withdrawn")
    return GuildApplicationWithdrawn(guild=ctx.key)


@guild.handles(GuildAccept, key="guild")
def accept(ctx: Context, roster: Roster, msg: GuildAccept) -> GuildAccepted:
    """Offer the applicant a seat; whoever sits elsewhere by now declines, and the application is closed.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
        NoApplication: there is none, or it has expired.
        GuildFull: there is no seat to offer.
    """
    require_permission(roster, ctx.actor, ctx.caller, Permission.ACCEPT)
    application = _require_application(ctx, roster, msg.player)
    if len(roster.members) >= roster.capacity:
        raise GuildFull(f"{ctx.actor} has {roster.capacity} members")
    application.offered = True
    ctx.tell(f"player:{msg.player}", SeatOffered())
    return GuildAccepted(guild=ctx.key, player=msg.player)


@guild.handles(GuildDecline, key="guild")
def decline(ctx: Context, roster: Roster, msg: GuildDecline) -> GuildDeclined:
    """Turn the applicant down.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
        NoApplication: there is none, or it has expired.
    """
    require_permission(roster, ctx.actor, ctx.caller, Permission.ACCEPT)
    _require_application(ctx, roster, msg.player)
    _close_application(ctx, roster, msg.player, "declined")
    return GuildDeclined(guild=ctx.key, player=msg.player)


@guild.hears(SeatDeclined)
def seat_declined(ctx: Context, roster: Roster, _msg: SeatDeclined) -> None:
    """The applicant sits elsewhere: the application goes."""
    player = ctx.sender.partition(":")[2]
    if player in roster.applications:
        _close_application(ctx, roster, player, "seated_elsewhere")


# Invitations.
@guild.handles(GuildInvite, key="guild")
def invite(ctx: Context, roster: Roster, msg: GuildInvite) -> GuildInviteSent:
    """Invite a player, or begin a standing invitation anew; the letter in the inbox is not written a second time.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
        AlreadyMember, BannedFromGuild: the player is in, or shut out.
        TooManyInvites: ``INVITE_LIMIT`` are open.
    """
    require_permission(roster, ctx.actor, ctx.caller, Permission.INVITE)
    if msg.player in roster.members:
        raise AlreadyMember(f"{msg.player} is a member of {ctx.actor}")
    if msg.player in roster.banned:
        raise BannedFromGuild(f"{ctx.actor} has banned {msg.player}")
    if msg.player not in roster.invites and len(roster.invites) >= INVITE_LIMIT:
        raise TooManyInvites(f"{ctx.actor} has {INVITE_LIMIT} open invitations")
    expires_ms = ctx.now_ms + int(OPEN_FOR_S * 1000)
    made_ms = roster.invited_ms = max(ctx.now_ms, roster.invited_ms + 1)
    standing = roster.invites.pop(msg.player, None)
    roster.invites[msg.player] = Invite(by=ctx.caller, made_ms=made_ms, expires_ms=expires_ms)
    ctx.publish(ctx.actor, InviteOpened(player=msg.player, by=ctx.caller, expires_at=expires_ms))
    ctx.tell(
        f"player:{msg.player}",
        Invited(name=roster.name, by=ctx.caller, made_ms=made_ms, expires_ms=expires_ms),
    )
    if standing is None:
        write_invited(ctx, roster, msg.player, expires_ms)
    _wake_at_next_expiry(ctx, roster)
    return GuildInviteSent(guild=ctx.key, player=msg.player, expires_at=expires_ms)


@guild.handles(GuildRevokeInvite, key="guild")
def revoke_invite(ctx: Context, roster: Roster, msg: GuildRevokeInvite) -> GuildInviteRevoked:
    """Take an invitation back.

    Raises:
        GuildNotFound, NotMember, NotPermitted: the caller may not.
        NoInvite: there is none.
    """
    require_permission(roster, ctx.actor, ctx.caller, Permission.INVITE)
    if msg.player not in roster.invites:
        raise NoInvite(f"{msg.player} has no invitation of {ctx.actor}")
    _close_invite(ctx, roster, msg.player, "revoked")
    ctx.tell(f"player:{msg.player}", InviteWithdrawn())
    return GuildInviteRevoked(guild=ctx.key, player=msg.player)


@guild.hears(InviteRejected)
def invite_rejected(ctx: Context, roster: Roster, msg: InviteRejected) -> None:
    """The player does not want it; a newer invitation than the one rejected stays."""
    player = ctx.sender.partition(":")[2]
    standing = roster.invites.get(player)
    if standing is not None and standing.made_ms == msg.made_ms:
        _close_invite(ctx, roster, player, "rejected")


# Both.
@guild.hears(ExpiryDue)
def expire(ctx: Context, roster: Roster, _msg: ExpiryDue) -> None:
    """Close what has run out. Players know the end of their invitations and need not be told."""
    for player in [p for p, i in roster.invites.items() if i.expires_ms <= ctx.now_ms]:
        _close_invite(ctx, roster, player, "expired")
    for player in [p for p, a in roster.applications.items() if a.expires_ms <= ctx.now_ms]:
        _close_application(ctx, roster, player, "expired")
    _wake_at_next_expiry(ctx, roster)


def _require_application(ctx: Context, roster: Roster, player: str) -> Application:
    application = roster.applications.get(player)
    if application is None or application.expires_ms <= ctx.now_ms:
        raise NoApplication(f"{player} has no application to {ctx.actor}")
    return application


def _close_application(ctx: Context, roster: Roster, player: str, reason: ApplicationEnd) -> None:
    del roster.applications[player]
    ctx.publish(ctx.actor, ApplicationClosed(player=player, reason=reason))


def _close_invite(ctx: Context, roster: Roster, player: str, reason: InviteEnd) -> None:
    del roster.invites[player]
    ctx.publish(ctx.actor, InviteClosed(player=player, reason=reason))


def _wake_at_next_expiry(ctx: Context, roster: Roster) -> None:
    due_ms = next_expiry_ms(roster)
    if due_ms is not None:
        ctx.at(due_ms, EXPIRY, ExpiryDue())
