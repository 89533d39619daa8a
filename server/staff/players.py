"""Players: look up, write to, mute, ban."""

from secrets import token_hex
from typing import Annotated, Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body, QueryParameter
from msgspec import Meta, Struct

from actors.mail import Body as NoticeBody
from actors.mail import EndMs, InboxDeliver, InboxDelivered, NoticeExpired, Title
from actors.moderation import (
    InboxCounts,
    PlayerBan,
    PlayerBanned,
    PlayerInspect,
    PlayerMute,
    PlayerMuted,
    PlayerSheet,
    PlayerUnban,
    PlayerUnbanned,
    PlayerUnmute,
    PlayerUnmuted,
    Reason,
    SentenceView,
    SessionView,
    UntilMs,
)
from actors.player import PlayerNotFound
from actors.standing import EndInThePast, NotBanned, NotMuted
from protocol import Id, Invalid, settled, skeleton
from server.inspection import recent_ops
from server.staff.access import Endpoints
from server.staff.changes import Changes, request_id
from server.staff.desk import Desk
from server.staff.inputs import Asked, Limit, PlayerId

_FIND = (
    "SELECT player, name, platform, app, locale, guild, seen_ms FROM players"
    " WHERE name_key >= ? AND name_key < ? ORDER BY name_key, player LIMIT ?"
)
_BEHIND_ALL = "\U0010ffff"


# What is sent.
class Notice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A notice for one player's inbox."""

    kind: Annotated[Id, Meta(description="What a client tells it by, as `area.happened`.")]
    title: Title
    body: NoticeBody = ""
    data: Annotated[dict[str, Any] | None, Meta(description="The game's own; at most 4 KiB.")] = None
    expires_at: Annotated[EndMs | None, Meta(description="Milliseconds since the Unix epoch.")] = None


class MuteOrder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``until`` or ``seconds`` or, for a mute without end, neither."""

    reason: Reason
    until: UntilMs | None = None
    seconds: Annotated[int, Meta(ge=1, le=315_360_000)] | None = None


class BanOrder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Without ``until``: a ban without end."""

    reason: Reason
    until: UntilMs | None = None


# What is shown.
class PlayerRow(Struct, frozen=True, kw_only=True):
    """A player as of the last sign-in that was written down; what the client did not say is empty."""

    player: str
    name: str
    platform: str
    app: str
    locale: str
    guild: str
    seen_at: int
    """On the right day, but not the minute; 0: never."""


class PlayersFound(Struct, frozen=True, kw_only=True):
    """In order of the names."""

    players: list[PlayerRow]


class Owner(Struct, frozen=True, kw_only=True):
    """The node that has the player's actor in memory; ``fence`` counts its owners."""

    node: str | None
    fence: int


class PlayerShown(Struct, frozen=True, kw_only=True):
    """All that staff may know of a player; times are milliseconds since the Unix epoch."""

    player: str
    name: str
    created_at: int
    """First sign-in; 0: there was none."""
    sessions: list[SessionView]
    guild: str | None
    ban: SentenceView | None
    mute: SentenceView | None
    inbox: InboxCounts
    owner: Owner | None


class OpsShown(Struct, frozen=True, kw_only=True):
    """The newest first; ``reply`` is the type of the answer."""

    ops: list[dict[str, Any]]


def player_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/players``."""
    return [*_reads(at, desk), *_sentences(at, changes), _notices(at, changes)]


def _reads(at: Endpoints, desk: Desk) -> list[HTTPRouteHandler]:
    @at.show("/v1/players", "players.read")
    async def find(
        name: Annotated[str, QueryParameter(min_length=1, max_length=64, description="How the name begins.")],
        limit: Limit = 20,
    ) -> PlayersFound:
        """Find players by the beginning of their name; case and lookalikes do not matter."""
        key = skeleton(name)
        if not key:
            raise Invalid("nothing is left of the name")
        rows = await desk.select(_FIND, (key, key + _BEHIND_ALL, limit))
        return PlayersFound(players=[PlayerRow(**dict(zip(PlayerRow.__struct_fields__, r, strict=True))) for r in rows])

    @at.show("/v1/players/{player:str}", "players.read", PlayerNotFound)
    async def show(player: PlayerId) -> PlayerShown:
        """Show a player: profile, sessions, guild, ban and mute, inbox."""
        sheet = await desk.ask(PlayerInspect(id=token_hex(12), player=player))
        assert isinstance(sheet, PlayerSheet)
        rows = await desk.select("SELECT owner, fence FROM actors WHERE actor = ?", (f"player:{player}",))
        owner = Owner(node=rows[0][0], fence=rows[0][1]) if rows else None
        fields = {name: getattr(sheet, name) for name in PlayerShown.__struct_fields__ if name != "owner"}
        return PlayerShown(**fields, owner=owner)

    @at.show("/v1/players/{player:str}/ops", "players.read")
    async def ops(player: PlayerId) -> OpsShown:
        """List what the player has asked of the own actor lately."""
        return OpsShown(ops=await recent_ops(desk, f"player:{player}"))

    return [find, show, ops]


def _notices(at: Endpoints, changes: Changes) -> HTTPRouteHandler:
    @at.change("POST", "/v1/players/{player:str}/notices", "players.write", NoticeExpired)
    async def notify(player: PlayerId, data: Annotated[Notice, Body()], request: Asked) -> Response[InboxDelivered]:
        """Put a notice into a player's inbox; one who was never here finds it at the first sign-in."""
        notice = settled(data)
        return await changes.run(
            request,
            lambda id_, by: InboxDeliver(
                id=id_,
                player=player,
                notice=request_id(by),
                kind=notice.kind,
                title=notice.title,
                body=notice.body,
                data=notice.data,
                expires_ms=notice.expires_at,
                by=by,
            ),
        )

    return notify


def _sentences(at: Endpoints, changes: Changes) -> list[HTTPRouteHandler]:
    @at.change("POST", "/v1/players/{player:str}/mute", "players.ban", PlayerNotFound, EndInThePast)
    async def mute(player: PlayerId, data: Annotated[MuteOrder, Body()], request: Asked) -> Response[PlayerMuted]:
        """Keep a player from chatting, at once and on every node."""
        order = settled(data)
        if order.until is not None and order.seconds is not None:
            raise Invalid("until and seconds are both given; allowed: one of them")
        return await changes.run(
            request,
            lambda id_, by: PlayerMute(
                id=id_, player=player, reason=order.reason, until=order.until, seconds=order.seconds, by=by
            ),
        )

    @at.change("DELETE", "/v1/players/{player:str}/mute", "players.ban", NotMuted)
    async def unmute(player: PlayerId, request: Asked) -> Response[PlayerUnmuted]:
        """Let a player chat again."""
        return await changes.run(request, lambda id_, by: PlayerUnmute(id=id_, player=player, by=by))

    @at.change("POST", "/v1/players/{player:str}/ban", "players.ban", PlayerNotFound, EndInThePast)
    async def ban(player: PlayerId, data: Annotated[BanOrder, Body()], request: Asked) -> Response[PlayerBanned]:
        """Shut a player out: sessions end with 4502 on every node, and sign-ins are refused."""
        order = settled(data)
        return await changes.run(
            request,
            lambda id_, by: PlayerBan(id=id_, player=player, reason=order.reason, until=order.until, by=by),
        )

    @at.change("DELETE", "/v1/players/{player:str}/ban", "players.ban", NotBanned)
    async def unban(player: PlayerId, request: Asked) -> Response[PlayerUnbanned]:
        """Let a player sign in again."""
        return await changes.run(request, lambda id_, by: PlayerUnban(id=id_, player=player, by=by))

    @at.change("POST", "/v1/players/{player:str}/unban", "players.ban", NotBanned)
    async def unban_too(player: PlayerId, request: Asked) -> Response[PlayerUnbanned]:
        """Let a player sign in again, where a DELETE is at odds with something."""
        return await changes.run(request, lambda id_, by: PlayerUnban(id=id_, player=player, by=by))

    return [mute, unmute, ban, unban, unban_too]
