"""What clients ask of guilds, and the replies."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from actors.guild.terms import ApplicationText, GuildTag, GuildText, Mode, PermissionName, Role, TypedName
from actors.guild.view import GuildCard, GuildView
from protocol import Cursor, Id, Reply, Request


# The seat: run by the caller's own actor.
class GuildCreated(Reply, tag="guild.created", frozen=True, kw_only=True):
    """``name`` as the guild bears it: typed text in its normal form."""

    guild: str
    name: str


class GuildCreate(Request[GuildCreated], tag="guild.create", frozen=True, kw_only=True):
    """Found a guild and lead it. ``name`` has 3 to 24 characters and is unique by how it looks."""

    name: TypedName
    tag: GuildTag = ""
    mode: Mode = "open"
    description: GuildText = ""


class GuildJoined(Reply, tag="guild.joined", frozen=True, kw_only=True):
    guild: str
    name: str


class GuildJoin(Request[GuildJoined], tag="guild.join", frozen=True, kw_only=True):
    """Become a member of an open guild, or of any by an invitation that is still good."""

    guild: Id


class GuildLeft(Reply, tag="guild.left", frozen=True, kw_only=True):
    guild: str


class GuildLeave(Request[GuildLeft], tag="guild.leave", frozen=True, kw_only=True):
    """Leave the own guild. A leader's place goes to the oldest officer, else the longest member; the last one out
    disbands it."""


class ReceivedInvite(Struct, frozen=True, kw_only=True):
    """An invitation to ``guild``, called ``name`` then, by its member ``by``; good until ``expires_at``."""

    guild: str
    name: str
    by: str
    expires_at: int


class GuildInvitations(Reply, tag="guild.invitations", frozen=True, kw_only=True):
    """The oldest first."""

    invites: list[ReceivedInvite]


class GuildInvites(Request[GuildInvitations], tag="guild.invites", frozen=True, kw_only=True):
    """The caller's invitations that are still good."""


class GuildInviteRejected(Reply, tag="guild.invite_rejected", frozen=True, kw_only=True):
    guild: str


class GuildRejectInvite(Request[GuildInviteRejected], tag="guild.reject_invite", frozen=True, kw_only=True):
    guild: Id


class GuildFound(Reply, tag="guild.found", frozen=True, kw_only=True):
    guild: str
    name: str


class GuildFind(Request[GuildFound], tag="guild.find", frozen=True, kw_only=True):
    """The guild whose name looks like ``name``: case and lookalikes do not matter."""

    name: TypedName


# Reading: run by the guild.
class GuildShown(Reply, tag="guild.shown", frozen=True, kw_only=True):
    guild: GuildCard


class GuildGet(Request[GuildShown], tag="guild.get", frozen=True, kw_only=True):
    """What everybody may know of a guild."""

    guild: Id


class GuildInspected(Reply, tag="guild.inspected", frozen=True, kw_only=True):
    """What members see."""

    guild: GuildView


class GuildInspect(Request[GuildInspected], tag="guild.inspect", frozen=True, kw_only=True):
    """What members see, for staff; a guild that was disbanded still shows what is left of it."""

    guild: Id


class GuildWatched(Reply, tag="guild.watched", frozen=True, kw_only=True):
    """``guild`` as of ``seq`` of ``topic``; events up to ``seq`` are in it already."""

    guild: GuildView
    topic: str
    epoch: str
    seq: int


class GuildWatch(Request[GuildWatched], tag="guild.watch", frozen=True, kw_only=True):
    """See the own guild whole and follow its topic, from ``after`` where that is given and still kept."""

    guild: Id
    after: Cursor | None = None


# Doors.
class GuildApplicationSent(Reply, tag="guild.application_sent", frozen=True, kw_only=True):
    guild: str
    expires_at: int


class GuildApply(Request[GuildApplicationSent], tag="guild.apply", frozen=True, kw_only=True):
    """Ask a guild of mode ``request`` to be taken in; ``text`` is shown to its members. A repeat replaces the text."""

    guild: Id
    text: ApplicationText = ""


class GuildApplicationWithdrawn(Reply, tag="guild.application_withdrawn", frozen=True, kw_only=True):
    guild: str


class GuildWithdraw(Request[GuildApplicationWithdrawn], tag="guild.withdraw", frozen=True, kw_only=True):
    """Take the own application back."""

    guild: Id


class GuildAccepted(Reply, tag="guild.accepted", frozen=True, kw_only=True):
    """The player is offered a seat; ``guild.member_joined`` tells if and when it is taken."""

    guild: str
    player: str


class GuildAccept(Request[GuildAccepted], tag="guild.accept", frozen=True, kw_only=True):
    """Offer the applicant a seat; needs ``accept``."""

    guild: Id
    player: Id


class GuildDeclined(Reply, tag="guild.declined", frozen=True, kw_only=True):
    guild: str
    player: str


class GuildDecline(Request[GuildDeclined], tag="guild.decline", frozen=True, kw_only=True):
    """Turn an application down; needs ``accept``."""

    guild: Id
    player: Id


class GuildInviteSent(Reply, tag="guild.invite_sent", frozen=True, kw_only=True):
    guild: str
    player: str
    expires_at: int


class GuildInvite(Request[GuildInviteSent], tag="guild.invite", frozen=True, kw_only=True):
    """Invite a player for seven days; needs ``invite``. A repeat begins anew."""

    guild: Id
    player: Id


class GuildInviteRevoked(Reply, tag="guild.invite_revoked", frozen=True, kw_only=True):
    guild: str
    player: str


class GuildRevokeInvite(Request[GuildInviteRevoked], tag="guild.revoke_invite", frozen=True, kw_only=True):
    """Take an invitation back; needs ``invite``."""

    guild: Id
    player: Id


# Rank.
class GuildPromoted(Reply, tag="guild.promoted", frozen=True, kw_only=True):
    guild: str
    player: str
    role: Role


class GuildPromote(Request[GuildPromoted], tag="guild.promote", frozen=True, kw_only=True):
    """Make a member an officer; needs ``promote``."""

    guild: Id
    player: Id


class GuildDemoted(Reply, tag="guild.demoted", frozen=True, kw_only=True):
    guild: str
    player: str
    role: Role


class GuildDemote(Request[GuildDemoted], tag="guild.demote", frozen=True, kw_only=True):
    """Make an officer a member; needs ``promote``."""

    guild: Id
    player: Id


class GuildKicked(Reply, tag="guild.kicked", frozen=True, kw_only=True):
    guild: str
    player: str


class GuildKick(Request[GuildKicked], tag="guild.kick", frozen=True, kw_only=True):
    """Remove a member; needs ``kick``."""

    guild: Id
    player: Id


class GuildBanned(Reply, tag="guild.ban_set", frozen=True, kw_only=True):
    guild: str
    player: str


class GuildBan(Request[GuildBanned], tag="guild.ban", frozen=True, kw_only=True):
    """Keep a player out, and remove one who is a member; needs ``kick``. A repeat changes nothing."""

    guild: Id
    player: Id


class GuildUnbanned(Reply, tag="guild.unbanned", frozen=True, kw_only=True):
    guild: str
    player: str


class GuildUnban(Request[GuildUnbanned], tag="guild.unban", frozen=True, kw_only=True):
    """Let a banned player join or apply again; needs ``kick``."""

    guild: Id
    player: Id


class GuildTransferred(Reply, tag="guild.transferred", frozen=True, kw_only=True):
    guild: str
    player: str


class GuildTransfer(Request[GuildTransferred], tag="guild.transfer", frozen=True, kw_only=True):
    """Hand the leadership to another member and be an officer; for the leader."""

    guild: Id
    player: Id


# Settings.
class GuildPermissionsSet(Reply, tag="guild.permissions_set", frozen=True, kw_only=True):
    guild: str
    role: Role
    permissions: list[PermissionName]


class GuildSetPermissions(Request[GuildPermissionsSet], tag="guild.set_permissions", frozen=True, kw_only=True):
    """Say everything that officers, or members, may do; for the leader."""

    guild: Id
    role: Literal["officer", "member"]
    permissions: Annotated[list[PermissionName], Meta(max_length=16)]


class GuildMotdSet(Reply, tag="guild.motd_set", frozen=True, kw_only=True):
    guild: str


class GuildSetMotd(Request[GuildMotdSet], tag="guild.set_motd", frozen=True, kw_only=True):
    """Set the message of the day, or with an empty text take it down; needs ``motd``."""

    guild: Id
    motd: GuildText


class GuildSettingsSaved(Reply, tag="guild.settings_saved", frozen=True, kw_only=True):
    guild: str


class GuildEdit(Request[GuildSettingsSaved], tag="guild.edit", frozen=True, kw_only=True):
    """Change what is given, leave the rest; needs ``settings``."""

    guild: Id
    tag: GuildTag | None = None
    mode: Mode | None = None
    description: GuildText | None = None


class GuildDissolved(Reply, tag="guild.dissolved", frozen=True, kw_only=True):
    guild: str


class GuildDisband(Request[GuildDissolved], tag="guild.disband", frozen=True, kw_only=True):
    """End the guild for ever; for the leader. Its name is free again."""

    guild: Id
