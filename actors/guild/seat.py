"""Seat: a player's place in a guild, one at most, and the invitations that were received.

Owns the ``seat`` slice of a player. Publishes to ``player:ID``. Whatever needs the seat begins here: it is reserved,
the guild is asked (tells.py draws how), and the client is answered when the guild has decided.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from actors.guild.errors import REFUSALS, AlreadyMember, GuildNotFound, JoinPending, LeavePending, NoInvite, NotMember
from actors.guild.events import GuildInvited, InviteGone, SeatChanged
from actors.guild.messages import (
    GuildCreate,
    GuildCreated,
    GuildFind,
    GuildFound,
    GuildInvitations,
    GuildInviteRejected,
    GuildInvites,
    GuildJoin,
    GuildJoined,
    GuildLeave,
    GuildLeft,
    GuildRejectInvite,
    ReceivedInvite,
)
from actors.guild.naming import allowed_name
from actors.guild.tells import (
    Admit,
    Admitted,
    Invited,
    InviteRejected,
    InviteWithdrawn,
    NotAdmitted,
    Open,
    Resign,
    SeatDeclined,
    SeatOffered,
    Vacated,
)
from actors.player import note_guild
from actors.runtime import CALLER, Context, Deferred, Feature, OpRef, RowTicket
from protocol import skeleton

RECEIVED_LIMIT = 20  # invitations kept for a player; beyond, the oldest gives way
RETRY_MS = 500  # a guild that is not far behind has answered by then


# What is kept.
class Joining(Struct, frozen=True, kw_only=True):
    """The seat is reserved for ``guild`` until it answers attempt ``attempt``; ``op`` is what waits for it, None where
    the guild began (an application was accepted)."""

    guild: str
    since_ms: int
    kind: Literal["create", "join", "offer"]
    attempt: int
    op: OpRef | None = None


class Standing(Struct, frozen=True):
    """An invitation as received."""

    name: str
    by: str
    made_ms: int
    expires_ms: int


class Seat(Struct):
    """The ``seat`` slice. At most one of ``guild`` and ``joining`` is set."""

    guild: str | None = None
    stint: int = 0
    """The attempt by which the seat was got."""
    attempts: int = 0
    """How often this player has tried to get a seat anywhere."""
    joining: Joining | None = None
    leaving: OpRef | None = None
    """The op that waits for ``guild`` to let the player go."""
    invites: dict[str, Standing] = {}
    """By guild, the oldest first; expired ones stay until the next change."""


class SeatGreeting(Struct, frozen=True):
    """The seat's part of the welcome."""

    guild: str | None


class NameTicket(RowTicket, frozen=True, kw_only=True):
    """Looks a guild up by name."""

    name: str


seat = Feature(name="seat", actor="player", state=Seat)
seat.publishes(SeatChanged, GuildInvited, InviteGone)


@seat.greeting
def greet(_ctx: Context, held: Seat) -> SeatGreeting:
    """Say at sign-in which guild the player is in."""
    return SeatGreeting(held.guild)


# What the player asks.
@seat.handles(GuildCreate, key=CALLER)
def create(ctx: Context, held: Seat, msg: GuildCreate) -> Deferred:
    """Reserve the seat and found a guild; answered with ``guild.created`` or ``guild.name_taken``.

    Raises:
        AlreadyMember, JoinPending, LeavePending: the seat is not free.
        NameNotAllowed: see ``naming``.
    """
    _require_free(held, ctx.caller)
    name = allowed_name(msg.name)
    guild = ctx.new_id()
    attempt = _reserve(ctx, held, guild, "create")
    ctx.tell(
        f"guild:{guild}",
        Open(
            attempt=attempt,
            player_name=ctx.caller_name,
            name=name,
            tag=msg.tag,
            mode=msg.mode,
            description=msg.description,
        ),
    )
    return ctx.later()


@seat.handles(GuildJoin, key=CALLER)
def join(ctx: Context, held: Seat, msg: GuildJoin) -> Deferred:
    """Reserve the seat and ask the guild; answered with ``guild.joined`` or one of ``REFUSALS``.

    Raises:
        AlreadyMember, JoinPending, LeavePending: the seat is not free.
    """
    _require_free(held, ctx.caller)
    attempt = _reserve(ctx, held, msg.guild, "join")
    ctx.tell(f"guild:{msg.guild}", Admit(attempt=attempt, player_name=ctx.caller_name))
    return ctx.later()


@seat.handles(GuildLeave, key=CALLER)
def leave(ctx: Context, held: Seat, _msg: GuildLeave) -> Deferred:
    """Tell the guild; answered with ``guild.left`` when the guild has let the player go.

    Raises:
        NotMember: the player is in no guild.
        JoinPending, LeavePending: that is being settled.
    """
    if held.joining is not None:
        raise JoinPending(f"{ctx.caller} is joining {held.joining.guild}", retry_after_ms=RETRY_MS)
    if held.guild is None:
        raise NotMember(f"{ctx.caller} is in no guild")
    if held.leaving is not None:
        raise LeavePending(f"{ctx.caller} is leaving {held.guild}", retry_after_ms=RETRY_MS)
    held.leaving = ctx.op_ref
    ctx.tell(f"guild:{held.guild}", Resign(stint=held.stint))
    return ctx.later()


@seat.handles(GuildInvites, key=CALLER, writes=False)
def list_invites(ctx: Context, held: Seat, _msg: GuildInvites) -> GuildInvitations:
    """List the invitations that are still good."""
    return GuildInvitations(
        invites=[
            ReceivedInvite(guild=guild, name=i.name, by=i.by, expires_at=i.expires_ms)
            for guild, i in held.invites.items()
            if i.expires_ms > ctx.now_ms
        ]
    )


@seat.handles(GuildRejectInvite, key=CALLER)
def reject_invite(ctx: Context, held: Seat, msg: GuildRejectInvite) -> GuildInviteRejected:
    """Drop an invitation and let the guild know.

    Raises:
        NoInvite: there is none that is still good.
    """
    standing = held.invites.get(msg.guild)
    if standing is None or standing.expires_ms <= ctx.now_ms:
        raise NoInvite(f"{ctx.caller} has no invitation of guild:{msg.guild}")
    _drop_invite(ctx, held, msg.guild)
    ctx.tell(f"guild:{msg.guild}", InviteRejected(made_ms=standing.made_ms))
    return GuildInviteRejected(guild=msg.guild)


@seat.handles(GuildFind, key=CALLER, writes=False)
def find(_ctx: Context, _held: Seat, msg: GuildFind) -> NameTicket:
    """Allow the look-up: names are public."""
    return NameTicket(
        sql="SELECT guild, name FROM guild_names WHERE skeleton = ?", values=(skeleton(msg.name),), name=msg.name
    )


@seat.answers(NameTicket)
def show_found(ticket: NameTicket, rows: Sequence[tuple[Any, ...]]) -> GuildFound:
    """Give the guild that has the name.

    Raises:
        GuildNotFound: none has it.
    """
    if not rows:
        raise GuildNotFound(f"no guild has a name that looks like {ticket.name!r}")
    guild, name = rows[0]
    return GuildFound(guild=guild, name=name)


# What guilds tell.
@seat.hears(Admitted)
def admitted(ctx: Context, held: Seat, msg: Admitted) -> None:
    """Take the reserved seat. A seat that is not waited for is given back, so that both sides agree in the end."""
    guild = ctx.sender.partition(":")[2]
    joining = held.joining
    if joining is None or (joining.guild, joining.attempt) != (guild, msg.attempt):
        if (held.guild, held.stint) != (guild, msg.attempt):
            ctx.tell(ctx.sender, Resign(stint=msg.attempt))
        return
    held.guild, held.stint, held.joining = guild, msg.attempt, None
    held.invites.pop(guild, None)
    note_guild(ctx, guild)
    ctx.publish(ctx.actor, SeatChanged(guild=guild))
    if joining.op is not None:
        reply = GuildCreated if joining.kind == "create" else GuildJoined
        ctx.answer(joining.op, reply(guild=guild, name=msg.name))


@seat.hears(NotAdmitted)
def not_admitted(ctx: Context, held: Seat, msg: NotAdmitted) -> None:
    """Free the reserved seat."""
    guild = ctx.sender.partition(":")[2]
    joining = held.joining
    if joining is None or (joining.guild, joining.attempt) != (guild, msg.attempt):
        return
    held.joining = None
    if joining.op is not None:
        ctx.answer(joining.op, REFUSALS[msg.why](f"{ctx.sender} has not admitted {ctx.key}: {msg.why}"))


@seat.hears(Vacated)
def vacated(ctx: Context, held: Seat, msg: Vacated) -> None:
    """Free the seat, unless the word is about an earlier stay."""
    guild = ctx.sender.partition(":")[2]
    if (held.guild, held.stint) != (guild, msg.stint):
        return
    op = held.leaving
    held.guild, held.leaving = None, None
    note_guild(ctx, None)
    ctx.publish(ctx.actor, SeatChanged(guild=None, left=guild, reason=msg.reason))
    if op is not None:
        # A kick that crossed the leave has the same end, and the player wanted out.
        ctx.answer(op, GuildLeft(guild=guild))


@seat.hears(SeatOffered)
def offered(ctx: Context, held: Seat, _msg: SeatOffered) -> None:
    """Take the offer where the seat is free, by the same way as any join."""
    guild = ctx.sender.partition(":")[2]
    if held.guild is not None or held.joining is not None:
        ctx.tell(ctx.sender, SeatDeclined())
        return
    attempt = _reserve(ctx, held, guild, "offer")
    ctx.tell(ctx.sender, Admit(attempt=attempt))


@seat.hears(Invited)
def invited(ctx: Context, held: Seat, msg: Invited) -> None:
    """Keep the invitation; the oldest of too many gives way."""
    guild = ctx.sender.partition(":")[2]
    if msg.expires_ms <= ctx.now_ms:
        return
    held.invites.pop(guild, None)
    for old in [g for g, i in held.invites.items() if i.expires_ms <= ctx.now_ms]:
        del held.invites[old]
    if len(held.invites) >= RECEIVED_LIMIT:
        _drop_invite(ctx, held, next(iter(held.invites)))
    held.invites[guild] = Standing(msg.name, msg.by, msg.made_ms, msg.expires_ms)
    ctx.publish(ctx.actor, GuildInvited(guild=guild, name=msg.name, by=msg.by, expires_at=msg.expires_ms))


@seat.hears(InviteWithdrawn)
def invite_withdrawn(ctx: Context, held: Seat, _msg: InviteWithdrawn) -> None:
    """Forget the invitation."""
    guild = ctx.sender.partition(":")[2]
    if guild in held.invites:
        _drop_invite(ctx, held, guild)


def _require_free(held: Seat, player: str) -> None:
    if held.leaving is not None:
        raise LeavePending(f"{player} is leaving {held.guild}", retry_after_ms=RETRY_MS)
    if held.guild is not None:
        raise AlreadyMember(f"{player} is a member of {held.guild}")
    if held.joining is not None:
        raise JoinPending(f"{player} is joining {held.joining.guild}", retry_after_ms=RETRY_MS)


def _reserve(ctx: Context, held: Seat, guild: str, kind: Literal["create", "join", "offer"]) -> int:
    held.attempts += 1
    op = None if kind == "offer" else ctx.op_ref
    held.joining = Joining(guild=guild, since_ms=ctx.now_ms, kind=kind, attempt=held.attempts, op=op)
    return held.attempts


def _drop_invite(ctx: Context, held: Seat, guild: str) -> None:
    del held.invites[guild]
    ctx.publish(ctx.actor, InviteGone(guild=guild))
