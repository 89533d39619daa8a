"""Moderation: staff bans and mutes a player, and looks at what the player's actor holds.

Turns on the ``standing`` slice of a player (``actors.standing``). A ban ends the player's sessions on every node and
has every sign-in refused; a mute has every chat line refused. Both run out by themselves where they have an end.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from actors.guild import seat
from actors.mail import counts, mail, tell_player
from actors.player import PlayerNotFound, profile, sessions
from actors.runtime import Context
from actors.staff import By, audit
from actors.standing import FOR_EVER_MS, AccountBanned, EndInThePast, NotBanned, NotMuted, Standing, standing
from protocol import ClientInfo, CloseCode, Id, Reply, Request, Tell, clean

REPEATS_S = (2.0, 10.0, 60.0)  # pauses before sessions are told again: a word on the bus may be lost
REPEAT = "standing.repeat"
"""Name of the timer for that."""
REASON_LIMIT = 500  # characters, after cleaning

Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=REASON_LIMIT,
        description="For staff and the audit; the player is not told.",
        extra={"text": clean},
    ),
]
UntilMs = Annotated[
    int, Meta(ge=0, le=2**53, description="When it runs out, milliseconds since the Unix epoch; without it: never.")
]

moderation = standing
"""The feature of ``actors.standing``, with the turns below."""


# What staff asks.
class PlayerBanned(Reply, tag="moderation.banned", frozen=True, kw_only=True):
    """The player is banned; ``until`` is left out where that has no end."""

    player: str
    until: int | None = None


class PlayerBan(Request[PlayerBanned], tag="moderation.ban", frozen=True, kw_only=True):
    """Ban ``player``. One who is banned gets the new end and reason."""

    player: Id
    reason: Reason
    until: UntilMs | None = None
    by: By


class PlayerUnbanned(Reply, tag="moderation.unbanned", frozen=True, kw_only=True):
    player: str


class PlayerUnban(Request[PlayerUnbanned], tag="moderation.unban", frozen=True, kw_only=True):
    """Lift the ban."""

    player: Id
    by: By


class PlayerMuted(Reply, tag="moderation.muted", frozen=True, kw_only=True):
    """The player may not chat; ``until`` is left out where that has no end."""

    player: str
    until: int | None = None


class PlayerMute(Request[PlayerMuted], tag="moderation.mute", frozen=True, kw_only=True):
    """Mute ``player``, for ``seconds`` or until ``until``. One who is muted gets the new end and reason."""

    player: Id
    reason: Reason
    until: UntilMs | None = None
    seconds: int | None = None
    by: By


class PlayerUnmuted(Reply, tag="moderation.unmuted", frozen=True, kw_only=True):
    player: str


class PlayerUnmute(Request[PlayerUnmuted], tag="moderation.unmute", frozen=True, kw_only=True):
    """Lift the mute."""

    player: Id
    by: By


class StandingRepeat(Tell, tag="moderation.repeat", frozen=True, kw_only=True):
    """Time to tell the player's sessions again."""

    told: int


class SessionView(Struct, frozen=True, kw_only=True):
    """A live session: on which node, since when, by which client. Nothing to sign in with."""

    node: str
    since: int
    client: ClientInfo


class SentenceView(Struct, frozen=True, kw_only=True):
    """A ban or mute that stands."""

    reason: str
    by: str
    at: int
    until: int | None = None


class InboxCounts(Struct, frozen=True, kw_only=True):
    """Notices that stand, and those among them that have not been read."""

    notices: int
    unread: int


class PlayerSheet(Reply, tag="moderation.sheet", frozen=True, kw_only=True):
    """What a player's actor holds, for staff."""

    player: str
    name: str
    created_at: int
    """First sign-in, milliseconds since the Unix epoch; 0: there was none."""
    sessions: list[SessionView]
    guild: str | None = None
    ban: SentenceView | None = None
    mute: SentenceView | None = None
    inbox: InboxCounts


class PlayerInspect(Request[PlayerSheet], tag="moderation.inspect", frozen=True, kw_only=True):
    """Look at a player."""

    player: Id


# What happens.
@moderation.handles(PlayerBan, key="player", internal=True)
def ban(ctx: Context, kept: Standing, msg: PlayerBan) -> PlayerBanned:
    """Shut the player out, at once and on every node.

    Raises:
        PlayerNotFound: nobody has signed in with this id.
        EndInThePast: it would have run out already.
    """
    _refuse_unknown(ctx)
    end = _end(ctx, msg.until)
    before = _ban_of(ctx, kept)
    kept.banned_until_ms, kept.ban_reason = end, msg.reason
    kept.banned_by, kept.banned_at_ms = msg.by.key, ctx.now_ms
    _tell_sessions(ctx, kept, told=0)
    reply = PlayerBanned(player=ctx.key, until=msg.until)
    audit(ctx, msg.by, "player.banned", ctx.actor, before=before, after=_ban_of(ctx, kept), reply=reply)
    ctx.log.info("player.banned", by=msg.by.key)
    return reply


@moderation.handles(PlayerUnban, key="player", internal=True)
def unban(ctx: Context, kept: Standing, msg: PlayerUnban) -> PlayerUnbanned:
    """Let the player sign in again.

    Raises:
        NotBanned: the player can.
    """
    before = _ban_of(ctx, kept)
    if before is None:
        raise NotBanned(f"{ctx.key} is not banned")
    kept.banned_until_ms = 0
    reply = PlayerUnbanned(player=ctx.key)
    audit(ctx, msg.by, "player.unbanned", ctx.actor, before=before, after=None, reply=reply)
    ctx.log.info("player.unbanned", by=msg.by.key)
    return reply


@moderation.handles(PlayerMute, key="player", internal=True)
def mute(ctx: Context, kept: Standing, msg: PlayerMute) -> PlayerMuted:
    """Silence the player, at once and on every node, and leave word in the inbox.

    Raises:
        PlayerNotFound: nobody has signed in with this id.
        EndInThePast: it would have run out already.
    """
    _refuse_unknown(ctx)
    until = msg.until if msg.seconds is None else ctx.now_ms + msg.seconds * 1000
    end = _end(ctx, until)
    before = _mute_of(ctx, kept)
    kept.muted_until_ms, kept.mute_reason = end, msg.reason
    kept.muted_by, kept.muted_at_ms = msg.by.key, ctx.now_ms
    _tell_sessions(ctx, kept, told=0)
    _write(ctx, "account.muted", "You may read, but not chat, for now", {"until": end})
    reply = PlayerMuted(player=ctx.key, until=until)
    audit(ctx, msg.by, "player.muted", ctx.actor, before=before, after=_mute_of(ctx, kept), reply=reply)
    ctx.log.info("player.muted", by=msg.by.key)
    return reply


@moderation.handles(PlayerUnmute, key="player", internal=True)
def unmute(ctx: Context, kept: Standing, msg: PlayerUnmute) -> PlayerUnmuted:
    """Let the player chat again.

    Raises:
        NotMuted: the player may.
    """
    before = _mute_of(ctx, kept)
    if before is None:
        raise NotMuted(f"{ctx.key} is not muted")
    kept.muted_until_ms = 0
    _tell_sessions(ctx, kept, told=0)
    _write(ctx, "account.unmuted", "You may chat again", None)
    reply = PlayerUnmuted(player=ctx.key)
    audit(ctx, msg.by, "player.unmuted", ctx.actor, before=before, after=None, reply=reply)
    ctx.log.info("player.unmuted", by=msg.by.key)
    return reply


@moderation.hears(StandingRepeat, writes=False)
def repeat(ctx: Context, kept: Standing, msg: StandingRepeat) -> None:
    """Tell the sessions once more how the player stands by now."""
    _tell_sessions(ctx, kept, told=msg.told)


@moderation.handles(PlayerInspect, key="player", writes=False, internal=True)
def inspect(ctx: Context, kept: Standing, _msg: PlayerInspect) -> PlayerSheet:
    """Show what staff may know.

    Raises:
        PlayerNotFound: nobody has signed in with this id, and no notice waits for it.
    """
    who, inbox = ctx.look(profile), counts(ctx, ctx.look(mail))
    if not who.created_ms and not inbox.notices:
        raise PlayerNotFound(f"nobody has signed in as {ctx.key}")
    live = ctx.look(sessions).live.values()
    return PlayerSheet(
        player=ctx.key,
        name=who.name or ctx.key,
        created_at=who.created_ms,
        sessions=[SessionView(node=each.ref.node, since=each.since_ms, client=each.client) for each in live],
        guild=ctx.look(seat).guild,
        ban=_ban_of(ctx, kept),
        mute=_mute_of(ctx, kept),
        inbox=InboxCounts(notices=inbox.notices, unread=inbox.unread),
    )


def _tell_sessions(ctx: Context, kept: Standing, *, told: int) -> None:
    """Close the sessions of who is banned, let those of others know of a mute; ``told``: how often that was done."""
    if kept.banned_until_ms > ctx.now_ms:
        ctx.close_player(ctx.key, CloseCode.BANNED, AccountBanned.code)
    else:
        ctx.mute_player(ctx.key, kept.muted_until_ms if kept.muted_until_ms > ctx.now_ms else 0)
    if told < len(REPEATS_S):
        ctx.after(REPEATS_S[told], REPEAT, StandingRepeat(told=told + 1))


def _refuse_unknown(ctx: Context) -> None:
    """A typing error must not ban nobody in silence."""
    if not ctx.look(profile).created_ms:
        raise PlayerNotFound(f"nobody has signed in as {ctx.key}")


def _end(ctx: Context, until_ms: int | None) -> int:
    if until_ms is None:
        return FOR_EVER_MS
    if until_ms <= ctx.now_ms:
        raise EndInThePast
    return until_ms


def _ban_of(ctx: Context, kept: Standing) -> SentenceView | None:
    return _view(ctx, kept.banned_until_ms, kept.ban_reason, kept.banned_by, kept.banned_at_ms)


def _mute_of(ctx: Context, kept: Standing) -> SentenceView | None:
    return _view(ctx, kept.muted_until_ms, kept.mute_reason, kept.muted_by, kept.muted_at_ms)


def _view(ctx: Context, end_ms: int, reason: str, by: str, at_ms: int) -> SentenceView | None:
    if end_ms <= ctx.now_ms:
        return None
    return SentenceView(reason=reason, by=by, at=at_ms, until=None if end_ms >= FOR_EVER_MS else end_ms)


def _write(ctx: Context, kind: str, title: str, data: dict[str, Any] | None) -> None:
    tell_player(ctx, ctx.key, kind=kind, title=title, body="", data=data)
