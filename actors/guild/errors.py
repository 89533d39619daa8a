"""What a guild, or a player's seat, refuses."""

from typing import Literal

from protocol import GuildhallError


class GuildNotFound(GuildhallError):
    """There is no such guild, or it was disbanded."""

    code = "guild.not_found"


class AlreadyMember(GuildhallError):
    """The player has a seat in a guild already; one is all that a player may hold."""

    code = "guild.already_member"


class JoinPending(GuildhallError):
    """A join of this player is under way; its outcome is known in a moment."""

    code = "guild.join_pending"
    retry = "later"


class LeavePending(GuildhallError):
    """The player is about to leave the guild; the seat is free in a moment."""

    code = "guild.leave_pending"
    retry = "later"


class NotMember(GuildhallError):
    """The caller is not a member of the guild."""

    code = "guild.not_member"


class NoSuchMember(GuildhallError):
    """The other player is not a member of the guild."""

    code = "guild.no_such_member"


class NotPermitted(GuildhallError):
    """The caller's role lacks the permission."""

    code = "guild.not_permitted"


class RankTooLow(GuildhallError):
    """The caller's rank is not above the target's; nobody's is above their own."""

    code = "guild.rank_too_low"


class RoleAtLimit(GuildhallError):
    """The member has the highest or lowest role that can be given this way."""

    code = "guild.role_at_limit"


class GuildFull(GuildhallError):
    """The guild has as many members as it can hold."""

    code = "guild.full"


class BannedFromGuild(GuildhallError):
    """The guild has banned the player."""

    code = "guild.banned"


class NotBanned(GuildhallError):
    """The player is not banned."""

    code = "guild.not_banned"


class NeedsRequest(GuildhallError):
    """The guild takes members by application: ``guild.apply``."""

    code = "guild.needs_request"


class InviteOnly(GuildhallError):
    """The guild takes members by invitation, and the player has none that is still good."""

    code = "guild.invite_only"


class GuildOpen(GuildhallError):
    """The guild is open to everyone: ``guild.join`` does without an application."""

    code = "guild.open"


class NameNotAllowed(GuildhallError):
    """The name is not fit for a guild: its characters, its length, or a reserved word."""

    code = "guild.name_not_allowed"


class NameTaken(GuildhallError):
    """Another guild has this name, or one that looks like it."""

    code = "guild.name_taken"


class NoInvite(GuildhallError):
    """There is no such invitation (any more)."""

    code = "guild.no_invite"


class NoApplication(GuildhallError):
    """There is no such application (any more)."""

    code = "guild.no_application"


class TooManyInvites(GuildhallError):
    """The guild has as many open invitations as it may."""

    code = "guild.too_many_invites"


class TooManyApplications(GuildhallError):
    """The guild has as many open applications as it may."""

    code = "guild.too_many_applications"


class TooManyBans(GuildhallError):
    """The guild has banned as many players as it may; unban somebody first."""

    code = "guild.too_many_bans"


Refusal = Literal["not_found", "full", "banned", "needs_request", "invite_only", "name_taken"]
"""Why a guild did not admit, as one actor tells another; the client is told the class in ``REFUSALS``."""

REFUSALS: dict[Refusal, type[GuildhallError]] = {
    "not_found": GuildNotFound,
    "full": GuildFull,
    "banned": BannedFromGuild,
    "needs_request": NeedsRequest,
    "invite_only": InviteOnly,
    "name_taken": NameTaken,
}
