"""Guild: members come and go. The guild admits; the player's seat (seat.py) sees that a player holds at most one.

Owns the ``guild`` slice of a guild and the table ``guild_names``; feeds the guild's conversation. Publishes to
``guild:ID``. More turns of the room: ``doors`` (invitations, applications) and ``offices`` (rank, settings).
"""

from actors.chat import add_member, chat, remove_member
from actors.guild.errors import GuildNotFound, NameTaken
from actors.guild.events import (
    GUILD_EVENTS,
    Disbanded,
    Founded,
    LeaderChanged,
    MemberJoined,
    MemberLeft,
)
from actors.guild.letters import write_promoted, write_removed
from actors.guild.messages import GuildGet, GuildInspect, GuildInspected, GuildShown, GuildWatch, GuildWatched
from actors.guild.roster import (
    Member,
    Roster,
    card_of,
    heir,
    refusal_to_admit,
    require_guild,
    require_member,
    view_of,
)
from actors.guild.tells import Admit, Admitted, InviteWithdrawn, NotAdmitted, Open, Resign, Vacated
from actors.guild.terms import LeaveReason
from actors.runtime import Context, Feature
from protocol import skeleton
from storage import Delete, Insert, Migration

EXPIRY = "guild.expiry"
"""Name of the one timer, set to the next invitation or application that runs out."""

_GUILD_NAMES = """
CREATE TABLE guild_names (
    skeleton VARCHAR(96) NOT NULL PRIMARY KEY,
    guild VARCHAR(64) NOT NULL,
    name VARCHAR(96) NOT NULL
)
"""

guild = Feature(name="guild", actor="guild", state=Roster, migrations=(Migration(1, _GUILD_NAMES.strip()),))
guild.publishes(*GUILD_EVENTS)


@guild.readable("")
def may_read(roster: Roster, player: str, _actor: str) -> bool:
    """Members may follow."""
    return player in roster.members


# What is asked.
@guild.handles(GuildGet, key="guild", writes=False)
def get(ctx: Context, roster: Roster, _msg: GuildGet) -> GuildShown:
    """Show the guild's card to anyone.

    Raises:
        GuildNotFound: there is no such guild.
    """
    require_guild(roster, ctx.actor)
    return GuildShown(guild=card_of(roster, ctx.key))


@guild.handles(GuildInspect, key="guild", writes=False, internal=True)
def inspect(ctx: Context, roster: Roster, _msg: GuildInspect) -> GuildInspected:
    """Show staff everything, member or not.

    Raises:
        GuildNotFound: there never was such a guild.
    """
    if not roster.founded_ms:
        raise GuildNotFound(f"there is no {ctx.actor}")
    return GuildInspected(guild=view_of(roster, ctx.key))


@guild.handles(GuildWatch, key="guild", writes=False)
def watch(ctx: Context, roster: Roster, msg: GuildWatch) -> GuildWatched:
    """Show a member everything, and let the session follow.

    Raises:
        GuildNotFound, NotMember: the caller is not a member of such a guild.
    """
    require_member(roster, ctx.actor, ctx.caller)
    here = ctx.position(ctx.actor)
    ctx.follow(ctx.actor, after=msg.after)
    return GuildWatched(guild=view_of(roster, ctx.key), topic=ctx.actor, epoch=here.epoch, seq=here.seq)


# What seats tell.
@guild.hears(Open)
def found(ctx: Context, roster: Roster, msg: Open) -> None:
    """Begin the guild with its leader, unless the name is taken."""
    player = ctx.sender.partition(":")[2]
    if ctx.refused is not None:
        # The turn ran before, and the name's row undid it: another guild was quicker.
        ctx.tell(ctx.sender, NotAdmitted(attempt=msg.attempt, why="name_taken"))
        return
    if roster.founded_ms:
        _answer_again(ctx, roster, player, msg.attempt)
        return
    roster.name, roster.name_key = msg.name, skeleton(msg.name)
    roster.tag, roster.mode, roster.description = msg.tag, msg.mode, msg.description
    roster.founded_ms = ctx.now_ms
    ctx.keep(Insert("guild_names", {"skeleton": roster.name_key, "guild": ctx.key, "name": msg.name}), taken=NameTaken)
    ctx.publish(ctx.actor, Founded(name=msg.name, tag=msg.tag, mode=msg.mode, description=msg.description))
    _let_in(ctx, roster, player, msg.player_name, msg.attempt)
    _make_leader(ctx, roster, player, by=player)
    ctx.log.info("guild.founded", player=player)


@guild.hears(Admit)
def admit(ctx: Context, roster: Roster, msg: Admit) -> None:
    """Take the player in, or say why not. What has changed since the player asked decides as it is now."""
    player = ctx.sender.partition(":")[2]
    if player in roster.members:
        _answer_again(ctx, roster, player, msg.attempt)
        return
    why = refusal_to_admit(roster, player, ctx.now_ms)
    if why is not None:
        ctx.tell(ctx.sender, NotAdmitted(attempt=msg.attempt, why=why))
        return
    application = roster.applications.get(player)
    name = msg.player_name or (application.name if application else player)
    _let_in(ctx, roster, player, name, msg.attempt)


@guild.hears(Resign)
def resign(ctx: Context, roster: Roster, msg: Resign) -> None:
    """Let the player go; one whose membership has ended already is told again that it has."""
    player = ctx.sender.partition(":")[2]
    member = roster.members.get(player)
    if member is not None and member.stint == msg.stint:
        remove(ctx, roster, player, by=player, reason="left")
    else:
        ctx.tell(ctx.sender, Vacated(stint=msg.stint, reason="left"))


# What the room's other turns use.
def remove(ctx: Context, roster: Roster, player: str, *, by: str, reason: LeaveReason) -> None:
    """End a membership: the topic and the conversation end for the player with it; another leads if the leader goes,
    and the last one out disbands the guild."""
    member = roster.members.pop(player)
    ctx.publish(ctx.actor, MemberLeft(player=player, by=by, reason=reason), ends=player)
    remove_member(ctx, ctx.use(chat), player)
    ctx.tell(f"player:{player}", Vacated(stint=member.stint, reason=reason))
    write_removed(ctx, roster, player, by=by, reason=reason)
    if roster.disbanded:
        return
    if not roster.members:
        disband(ctx, roster, by=by)
    elif player == roster.leader:
        successor = heir(roster)
        _make_leader(ctx, roster, successor, by=by)
        write_promoted(ctx, roster, successor, by=by)


def disband(ctx: Context, roster: Roster, *, by: str) -> None:
    """End the guild for ever: what is left is a slice that refuses everything, and a name that is free again."""
    roster.disbanded = True
    ctx.publish(ctx.actor, Disbanded(by=by))
    for player in roster.invites:
        ctx.tell(f"player:{player}", InviteWithdrawn())
    roster.invites, roster.applications, roster.banned = {}, {}, []
    for player in list(roster.members):
        remove(ctx, roster, player, by=by, reason="disbanded")
    ctx.keep(Delete("guild_names", {"skeleton": roster.name_key, "guild": ctx.key}), taken=NameTaken)
    ctx.cancel(EXPIRY)
    ctx.log.info("guild.disbanded", player=by)


def _let_in(ctx: Context, roster: Roster, player: str, name: str, attempt: int) -> None:
    roster.members[player] = Member(name=name, role="member", joined_ms=ctx.now_ms, stint=attempt)
    roster.invites.pop(player, None)
    roster.applications.pop(player, None)
    ctx.publish(ctx.actor, MemberJoined(player=player, name=name))
    add_member(ctx, ctx.use(chat), player, name)
    ctx.tell(f"player:{player}", Admitted(attempt=attempt, name=roster.name))


def _make_leader(ctx: Context, roster: Roster, player: str, *, by: str) -> None:
    roster.members[player].role = "leader"
    roster.leader = player
    ctx.publish(ctx.actor, LeaderChanged(player=player, by=by))


def _answer_again(ctx: Context, roster: Roster, player: str, attempt: int) -> None:
    """A tell that asks for what has been done, or for a guild that is taken. Older attempts get no answer: the seat
    has gone on."""
    member = roster.members.get(player)
    if member is None:
        ctx.tell(ctx.sender, NotAdmitted(attempt=attempt, why="not_found"))
    elif member.stint <= attempt:
        member.stint = attempt
        ctx.tell(ctx.sender, Admitted(attempt=attempt, name=roster.name))
