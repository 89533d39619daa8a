"""What happens in a guild, as its members hear it on ``guild:ID``, and as a player hears it on ``player:ID``."""

from actors.guild.terms import ApplicationEnd, InviteEnd, LeaveReason, Mode, PermissionName, Role
from protocol import Event


# On ``guild:ID``, durable. ``view.apply`` says what each means for the view.
class Founded(Event, tag="guild.founded", frozen=True, kw_only=True):
    """The first event; the founder's ``guild.member_joined`` and ``guild.leader_changed`` follow."""

    name: str
    tag: str = ""
    mode: Mode
    description: str = ""


class MemberJoined(Event, tag="guild.member_joined", frozen=True, kw_only=True):
    """``player`` is a member; an invitation or application of theirs is closed with it."""

    player: str
    name: str


class MemberLeft(Event, tag="guild.member_left", frozen=True, kw_only=True):
    """``player`` is none any more and hears nothing after this; ``by`` is who did it, the player or another."""

    player: str
    by: str
    reason: LeaveReason


class RoleChanged(Event, tag="guild.role_changed", frozen=True, kw_only=True):
    """``by`` has promoted or demoted ``player``."""

    player: str
    role: Role
    by: str


class LeaderChanged(Event, tag="guild.leader_changed", frozen=True, kw_only=True):
    """``player`` leads; a former leader who is still a member is an officer now.

    ``by`` is who handed the leadership over, or left and so passed it on.
    """

    player: str
    by: str


class MotdChanged(Event, tag="guild.motd_changed", frozen=True, kw_only=True):
    """The message of the day; empty: none."""

    motd: str
    by: str


class Edited(Event, tag="guild.edited", frozen=True, kw_only=True):
    """The settings as they are now, changed or not."""

    tag: str = ""
    mode: Mode
    description: str = ""
    by: str


class PermissionsChanged(Event, tag="guild.permissions_changed", frozen=True, kw_only=True):
    """Everything that ``role``, officer or member, may do now."""

    role: Role
    permissions: list[PermissionName]
    by: str


class InviteOpened(Event, tag="guild.invite_opened", frozen=True, kw_only=True):
    """``by`` has invited ``player``; an earlier invitation is replaced."""

    player: str
    by: str
    expires_at: int


class InviteClosed(Event, tag="guild.invite_closed", frozen=True, kw_only=True):
    """The invitation is void. (One that was used is closed by ``guild.member_joined``, one by a ban by that.)"""

    player: str
    reason: InviteEnd


class Applied(Event, tag="guild.applied", frozen=True, kw_only=True):
    """``player`` would like to join; an earlier application is replaced."""

    player: str
    name: str
    text: str = ""
    expires_at: int


class ApplicationClosed(Event, tag="guild.application_closed", frozen=True, kw_only=True):
    """The application is void. (One that led to a membership is closed by ``guild.member_joined``.)"""

    player: str
    reason: ApplicationEnd


class PlayerBanned(Event, tag="guild.player_banned", frozen=True, kw_only=True):
    """``player`` cannot join or apply any more; a member's ``guild.member_left`` came just before."""

    player: str
    by: str


class PlayerUnbanned(Event, tag="guild.player_unbanned", frozen=True, kw_only=True):
    player: str
    by: str


class Disbanded(Event, tag="guild.disbanded", frozen=True, kw_only=True):
    """The guild is no more; only each member's ``guild.member_left`` follows, which ends the topic for that member."""

    by: str


GuildEvent = (
    Founded
    | MemberJoined
    | MemberLeft
    | RoleChanged
    | LeaderChanged
    | MotdChanged
    | Edited
    | PermissionsChanged
    | InviteOpened
    | InviteClosed
    | Applied
    | ApplicationClosed
    | PlayerBanned
    | PlayerUnbanned
    | Disbanded
)

GUILD_EVENTS = (
    Founded,
    MemberJoined,
    MemberLeft,
    RoleChanged,
    LeaderChanged,
    MotdChanged,
    Edited,
    PermissionsChanged,
    InviteOpened,
    InviteClosed,
    Applied,
    ApplicationClosed,
    PlayerBanned,
    PlayerUnbanned,
    Disbanded,
)


# On ``player:ID``, durable.
class SeatChanged(Event, tag="guild.seat_changed", frozen=True, kw_only=True):
    """The player is a member of ``guild`` now, or of none; an invitation of that guild is used up.

    ``left`` is the guild that the player was a member of until now, ``reason`` why no more.
    """

    guild: str | None
    left: str | None = None
    reason: LeaveReason | None = None


class GuildInvited(Event, tag="guild.invited", frozen=True, kw_only=True):
    """A guild invites the player, until ``expires_at``; an earlier invitation of it is replaced."""

    guild: str
    name: str
    by: str
    expires_at: int


class InviteGone(Event, tag="guild.invite_gone", frozen=True, kw_only=True):
    """The invitation of ``guild`` is not in the player's list any more (one that has expired goes silently)."""

    guild: str
