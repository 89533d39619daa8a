"""What a guild keeps, and its rules: pure, no effects.

A rule raises before anything is changed, so a turn asks all its rules first.
"""

from msgspec import Struct

from actors.guild.errors import (
    GuildNotFound,
    NoSuchMember,
    NotMember,
    NotPermitted,
    RankTooLow,
    Refusal,
)
from actors.guild.terms import Mode, Permission, Role, names_of
from actors.guild.view import ApplicationView, GuildCard, GuildView, InviteView, MemberView

CAPACITY = 100  # members of a guild, unless it was given more; a full one refuses
INVITE_LIMIT = 50  # open invitations of a guild; a full list refuses
APPLICATION_LIMIT = 50  # open applications to a guild; a full list refuses
BAN_LIMIT = 200  # players that a guild keeps out; a full list refuses
OPEN_FOR_S = 7 * 24 * 3600.0  # an invitation or application, then it expires

RANKS: dict[Role, int] = {"member": 0, "officer": 1, "leader": 2}
OFFICERS_MAY = int(Permission.INVITE | Permission.ACCEPT | Permission.KICK | Permission.MOTD | Permission.MODERATE_CHAT)
MEMBERS_MAY = 0


class Member(Struct):
    """``stint`` is the player's attempt that was admitted (tells.py)."""

    name: str
    role: Role
    joined_ms: int
    stint: int


class Invite(Struct, frozen=True):
    by: str
    made_ms: int
    expires_ms: int


class Application(Struct):
    """``offered``: an officer has accepted; it lets the player in like an invitation."""

    name: str
    text: str
    expires_ms: int
    offered: bool = False


class Roster(Struct):
    """The ``guild`` slice. One that was never founded is empty; one that was disbanded says so for ever."""

    name: str = ""
    name_key: str = ""
    """The skeleton under which the name was taken."""
    tag: str = ""
    mode: Mode = "open"
    description: str = ""
    motd: str = ""
    founded_ms: int = 0
    capacity: int = CAPACITY
    leader: str = ""
    members: dict[str, Member] = {}
    """By player id, in the order of joining."""
    officers_may: int = OFFICERS_MAY
    members_may: int = MEMBERS_MAY
    """Bits of ``Permission``."""
    invites: dict[str, Invite] = {}
    invited_ms: int = 0
    """``made_ms`` of the newest invitation: no two have the same, so that a rejection hits the one that it is about,
    also while the clock stands still."""
    applications: dict[str, Application] = {}
    banned: list[str] = []
    disbanded: bool = False

    @property
    def exists(self) -> bool:
        """Whether it was founded and not disbanded."""
        return bool(self.founded_ms) and not self.disbanded

    def may(self, player: str, permission: Permission) -> bool:
        """Whether ``player`` is a member whose role has the permission."""
        member = self.members.get(player)
        if member is None:
            return False
        match member.role:
            case "leader":
                return True
            case "officer":
                return bool(self.officers_may & permission)
            case "member":
                return bool(self.members_may & permission)

    def invited(self, player: str, now_ms: int) -> bool:
        """Whether the player has an invitation, or an accepted application, that is still good."""
        invite, application = self.invites.get(player), self.applications.get(player)
        return (invite is not None and invite.expires_ms > now_ms) or (
            application is not None and application.offered and application.expires_ms > now_ms
        )


def require_guild(roster: Roster, actor: str) -> None:
    """Raises GuildNotFound where there is no guild (any more)."""
    if not roster.exists:
        raise GuildNotFound(f"there is no {actor}")


def require_member(roster: Roster, actor: str, player: str) -> Member:
    """The asking player's membership.

    Raises:
        GuildNotFound: see ``require_guild``.
        NotMember: the player has none.
    """
    require_guild(roster, actor)
    member = roster.members.get(player)
    if member is None:
        raise NotMember(f"{player} is not a member of {actor}")
    return member


def require_permission(roster: Roster, actor: str, player: str, permission: Permission) -> Member:
    """The asking player's membership.

    Raises:
        GuildNotFound, NotMember: see ``require_member``.
        NotPermitted: the role lacks ``permission``.
    """
    member = require_member(roster, actor, player)
    if not roster.may(player, permission):
        raise NotPermitted(f"{player}, {member.role} of {actor}, lacks the permission {names_of(permission)[0]}")
    return member


def require_leader(roster: Roster, actor: str, player: str) -> None:
    """Return for the leader.

    Raises:
        GuildNotFound, NotMember: see ``require_member``.
        NotPermitted: the player does not lead.
    """
    if require_member(roster, actor, player).role != "leader":
        raise NotPermitted(f"{player} does not lead {actor}")


def require_rank_above(roster: Roster, me: Member, player: str) -> Member:
    """The membership of ``player``, whom ``me`` is going to act on.

    Raises:
        NoSuchMember: there is none.
        RankTooLow: the rank of ``me`` is not above it; nobody's is above their own.
    """
    target = roster.members.get(player)
    if target is None:
        raise NoSuchMember(f"{player} is not a member")
    if RANKS[me.role] <= RANKS[target.role]:
        raise RankTooLow(f"a {me.role} may not act on a {target.role}")
    return target


def refusal_to_admit(roster: Roster, player: str, now_ms: int) -> Refusal | None:
    """Why ``player``, who is not a member, cannot become one; None: welcome."""
    if not roster.exists:
        return "not_found"
    if player in roster.banned:
        return "banned"
    if len(roster.members) >= roster.capacity:
        return "full"
    if roster.mode == "open" or roster.invited(player, now_ms):
        return None
    return "needs_request" if roster.mode == "request" else "invite_only"


def heir(roster: Roster) -> str:
    """Who leads when the leader is gone: the officer, else the member, who joined first; there must be one."""
    officers = [player for player, member in roster.members.items() if member.role == "officer"]
    return officers[0] if officers else next(iter(roster.members))


def next_expiry_ms(roster: Roster) -> int | None:
    """When the next invitation or application runs out; None where none is open."""
    doors: list[Invite | Application] = [*roster.invites.values(), *roster.applications.values()]
    return min((door.expires_ms for door in doors), default=None)


def card_of(roster: Roster, guild: str) -> GuildCard:
    """What everybody may know."""
    return GuildCard(
        guild=guild,
        name=roster.name,
        tag=roster.tag,
        mode=roster.mode,
        description=roster.description,
        members=len(roster.members),
        capacity=roster.capacity,
        founded_at=roster.founded_ms,
    )


def view_of(roster: Roster, guild: str) -> GuildView:
    """What members see."""
    return GuildView(
        guild=guild,
        name=roster.name,
        tag=roster.tag,
        mode=roster.mode,
        description=roster.description,
        motd=roster.motd,
        capacity=roster.capacity,
        founded_at=roster.founded_ms,
        leader=roster.leader,
        members=[
            MemberView(id=player, name=m.name, role=m.role, joined_at=m.joined_ms)
            for player, m in roster.members.items()
        ],
        officers_may=names_of(roster.officers_may),
        members_may=names_of(roster.members_may),
        invites=[InviteView(player=p, by=i.by, expires_at=i.expires_ms) for p, i in roster.invites.items()],
        applications=[
            ApplicationView(player=p, name=a.name, text=a.text, expires_at=a.expires_ms)
            for p, a in roster.applications.items()
        ],
        banned=list(roster.banned),
        disbanded=roster.disbanded,
    )
