"""What is shown of a guild: its card to everyone, its view to members, and how an event changes a view."""

from msgspec import Struct

from actors.guild.events import (
    ApplicationClosed,
    Applied,
    Disbanded,
    Edited,
    Founded,
    GuildEvent,
    InviteClosed,
    InviteOpened,
    LeaderChanged,
    MemberJoined,
    MemberLeft,
    MotdChanged,
    PermissionsChanged,
    PlayerBanned,
    PlayerUnbanned,
    RoleChanged,
)
from actors.guild.terms import Mode, PermissionName, Role


class GuildCard(Struct, kw_only=True):
    """What everybody may know. ``tag`` is the short form of the name, ``founded_at`` milliseconds since the epoch."""

    guild: str
    name: str
    tag: str = ""
    mode: Mode
    description: str = ""
    members: int
    capacity: int
    founded_at: int


class MemberView(Struct, kw_only=True):
    """A member; ``name`` is the display name at joining."""

    id: str
    name: str
    role: Role
    joined_at: int


class InviteView(Struct, kw_only=True):
    """An open invitation by member ``by``; good until ``expires_at``."""

    player: str
    by: str
    expires_at: int


class ApplicationView(Struct, kw_only=True):
    """An open application; it waits until ``expires_at``."""

    player: str
    name: str
    text: str = ""
    expires_at: int


class GuildView(Struct, kw_only=True):
    """What members see; each list is in the order in which its entries came."""

    guild: str
    name: str
    tag: str = ""
    mode: Mode
    description: str = ""
    motd: str = ""
    capacity: int
    founded_at: int
    leader: str
    members: list[MemberView]
    officers_may: list[PermissionName]
    members_may: list[PermissionName]
    invites: list[InviteView]
    applications: list[ApplicationView]
    banned: list[str]
    disbanded: bool = False


def apply(view: GuildView, event: GuildEvent) -> None:  # noqa: C901, PLR0912 - one case an event, none with a decision
    """Bring an old view up to date: with every event after it, in order, it equals a fresh one.

    The reference for clients, and the rule that every turn is tested by. ``at`` of the event is when it happened.
    """
    at = event.at or 0
    match event:
        case Founded():
            view.name, view.tag, view.mode = event.name, event.tag, event.mode
            view.description, view.founded_at = event.description, at
        case MemberJoined(player=player):
            view.members.append(MemberView(id=player, name=event.name, role="member", joined_at=at))
            _close_doors(view, player)
        case MemberLeft(player=player):
            view.members = [m for m in view.members if m.id != player]
        case RoleChanged():
            _set_role(view, event.player, event.role)
        case LeaderChanged():
            _set_role(view, view.leader, "officer")
            _set_role(view, event.player, "leader")
            view.leader = event.player
        case MotdChanged():
            view.motd = event.motd
        case Edited():
            view.tag, view.mode, view.description = event.tag, event.mode, event.description
        case PermissionsChanged(role="officer"):
            view.officers_may = event.permissions
        case PermissionsChanged():
            view.members_may = event.permissions
        case InviteOpened(player=player):
            invite = InviteView(player=player, by=event.by, expires_at=event.expires_at)
            view.invites = [i for i in view.invites if i.player != player] + [invite]
        case InviteClosed(player=player):
            view.invites = [i for i in view.invites if i.player != player]
        case Applied(player=player):
            new = ApplicationView(player=player, name=event.name, text=event.text, expires_at=event.expires_at)
            view.applications = [a for a in view.applications if a.player != player] + [new]
        case ApplicationClosed(player=player):
            view.applications = [a for a in view.applications if a.player != player]
        case PlayerBanned(player=player):
            view.banned.append(player)
            _close_doors(view, player)
        case PlayerUnbanned(player=player):
            view.banned.remove(player)
        case Disbanded():
            view.disbanded = True
            view.invites, view.applications, view.banned = [], [], []


def _close_doors(view: GuildView, player: str) -> None:
    view.invites = [i for i in view.invites if i.player != player]
    view.applications = [a for a in view.applications if a.player != player]


def _set_role(view: GuildView, player: str, role: Role) -> None:
    for member in view.members:
        if member.id == player:
            member.role = role
