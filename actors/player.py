"""Player: who a player is to others, and by which sessions the player is here.

Owns two slices of a player: ``profile``, which is kept, and ``sessions``, which is not: it holds live connections.
Publishes to ``player:ID``, the player's own inbox topic. What players are searched by (staff, audiences of
announcements) is also a row of the table ``players``; a sign-in writes it where the client has changed, and once a day.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from actors.runtime import CALLER, Context, Feature, SessionRef, TopicOpened
from actors.standing import AccountBanned, standing
from protocol import (
    DISPLAY_NAME_MAX,
    DISPLAY_NAME_MIN,
    ClientInfo,
    CloseCode,
    Event,
    GuildhallError,
    Id,
    Reply,
    Request,
    display_name,
    skeleton,
)
from storage import Migration, Upsert

MAX_SESSIONS = 5  # live sessions of a player; one more closes the one that was opened first
LATE_MS = 30_000  # by which a sign-in may come late, longer than it is tried; past that the nodes' clocks disagree
DAY_MS = 86_400_000
_VERSION = re.compile(r"v?(\d{1,5})(?:\.(\d{1,5}))?(?:\.(\d{1,5}))?(?:[.+-].*)?", re.ASCII)
PLAYERS = """
CREATE TABLE players (
    player VARCHAR(64) NOT NULL PRIMARY KEY,
    name VARCHAR(64) NOT NULL DEFAULT '',
    name_key VARCHAR(96) NOT NULL DEFAULT '',
    platform VARCHAR(32) NOT NULL DEFAULT '',
    app VARCHAR(32) NOT NULL DEFAULT '',
    app_order BIGINT NOT NULL DEFAULT 0,
    locale VARCHAR(35) NOT NULL DEFAULT '',
    guild VARCHAR(64) NOT NULL DEFAULT '',
    seen_ms BIGINT NOT NULL DEFAULT 0
)
"""
"""``name_key`` is the skeleton of the name, ``app_order`` the number of the version, and ``seen_ms`` lies on the day of
the last sign-in."""
KEEP_EVENTS = 20_000  # of player:ID; 220 a day for the 90 days that a notice of the inbox lasts (actors/mail.py)


# What is said to clients.
class PlayerProfile(Reply, tag="player.profile", frozen=True, kw_only=True):
    """The caller's own profile; ``created_at`` is the first sign-in, in milliseconds since the Unix epoch."""

    id: str
    name: str
    created_at: int


class PlayerGet(Request[PlayerProfile], tag="player.get", frozen=True, kw_only=True):
    """The cheapest read there is: nothing is stored, nothing else is asked."""


class PlayerView(Reply, tag="player.view", frozen=True, kw_only=True):
    """What everybody may know of a player."""

    id: str
    name: str


class PlayerLook(Request[PlayerView], tag="player.look", frozen=True, kw_only=True):
    """Look somebody up by id."""

    player: Id


class PlayerNamed(Reply, tag="player.named", frozen=True, kw_only=True):
    name: str


class PlayerRename(Request[PlayerNamed], tag="player.rename", frozen=True, kw_only=True):
    """Choose a display name: ``protocol.DisplayName`` has the rules. Two players may have the same one."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]


class PlayerRenamed(Event, tag="player.renamed", frozen=True, kw_only=True):
    """The player goes by another name, on every device."""

    name: str


class PlayerNotFound(GuildhallError):
    """Nobody with this id has ever signed in."""

    code = "player.not_found"


class NameNotAllowed(GuildhallError):
    """The display name is too short, too long, or holds what a name may not hold."""

    code = "player.name_not_allowed"


# What the gateway asks.
class SessionOpened(Reply, tag="session.opened", frozen=True, kw_only=True):
    """``session`` is the id to be known by: the resumed one's, or the one that was proposed. ``inbox`` is where the
    player's own topic stands, with what the rooms say; None from a node of an older release."""

    session: str
    name: str
    created: bool
    muted_until_ms: int = 0
    inbox: TopicOpened | None = None


class SessionOpen(Request[SessionOpened], tag="session.open", frozen=True, kw_only=True):
    """A connection has shown a good token of ``player``.

    ``session`` carries a fresh id; ``resumes`` names the session that the client would like to go on with, or nothing.
    ``name_hint`` is the name of a player who is new, where the token knows one. ``hello_ms`` is when the client said
    hello, by its node's clock: requests of two connections may come in the wrong order. 0: not said, take it for now.
    """

    player: Id
    session: SessionRef
    resumes: str = ""
    name_hint: str = ""
    client: ClientInfo = ClientInfo()
    hello_ms: int = 0


class SessionSuperseded(GuildhallError):
    """A later connection of the same client has taken the session over. Whoever is still there comes back."""

    code = "session.superseded"
    retry = "now"


class SessionClosed(Reply, tag="session.closed", frozen=True, kw_only=True):
    """The session is not among the live ones (any more, or under this generation)."""


class SessionClose(Request[SessionClosed], tag="session.close", frozen=True, kw_only=True):
    """A connection has ended."""

    player: Id
    session: SessionRef


# What is kept.
class Profile(Struct):
    name: str = ""
    created_ms: int = 0
    """First sign-in; 0 for an id that nobody has signed in with."""
    client: ClientInfo = ClientInfo()
    """As it was at the last sign-in that was written down."""
    seen_ms: int = 0
    """When that was."""


class OpenSession(Struct, frozen=True):
    """A live connection and what its client said of itself."""

    ref: SessionRef
    since_ms: int
    """When its client said hello."""
    client: ClientInfo


class Sessions(Struct):
    live: dict[str, OpenSession] = {}
    """By session id, the one opened longest ago first."""


class Greeting(Struct, frozen=True):
    """The profile's part of the welcome."""

    name: str


profile = Feature(
    name="profile",
    actor="player",
    state=Profile,
    keep_events=KEEP_EVENTS,
    migrations=(
        Migration(1, PLAYERS.strip()),
        Migration(2, "CREATE INDEX players_by_name ON players (name_key, player)"),
        Migration(3, "CREATE INDEX players_by_guild ON players (guild, player)"),
    ),
)
sessions = Feature(name="sessions", actor="player", state=Sessions, transient=("player",))
profile.publishes(PlayerRenamed)


@profile.readable("")
def may_read(_who: Profile, player: str, actor: str) -> bool:
    """A player's inbox is the player's own."""
    return actor == f"player:{player}"


@profile.greeting
def greet(_ctx: Context, who: Profile) -> Greeting:
    """Say at sign-in what the player is called."""
    return Greeting(who.name)


# What happens.
@profile.handles(PlayerGet, key=CALLER, writes=False)
def get(ctx: Context, who: Profile, _msg: PlayerGet) -> PlayerProfile:
    """Give the caller's own profile."""
    return PlayerProfile(id=ctx.key, name=who.name or ctx.key, created_at=who.created_ms)


@profile.handles(PlayerLook, key="player", writes=False)
def look(ctx: Context, who: Profile, _msg: PlayerLook) -> PlayerView:
    """Give what anybody may see of this player.

    Raises:
        PlayerNotFound: nobody has signed in with this id.
    """
    if not who.created_ms:
        raise PlayerNotFound(f"nobody has signed in as {ctx.key}")
    return PlayerView(id=ctx.key, name=who.name)


@profile.handles(PlayerRename, key=CALLER, writes=False)
def rename(ctx: Context, who: Profile, msg: PlayerRename) -> PlayerNamed:
    """Change the name, and have the lines of every live session carry it from now on.

    Raises:
        NameNotAllowed: it is not fit to be a name.
    """
    name = allowed_name(msg.name)
    if name != who.name:
        ctx.use(profile).name = name
        _write_down(ctx, name=name, name_key=skeleton(name))
        ctx.publish(ctx.actor, PlayerRenamed(name=name))
        for session in ctx.look(sessions).live.values():
            ctx.rename_session(session.ref, name)
    return PlayerNamed(name=name)


@sessions.handles(SessionOpen, key="player", internal=True)
def open_session(ctx: Context, here: Sessions, msg: SessionOpen) -> SessionOpened:
    """Take a connection in. A player's first one creates the profile; the others write only what the client says of
    itself, where that has changed, and once a day that the player was here.

    A live session that is resumed goes on here, under its id, and its old connection is closed: the resume wins.

    Raises:
        AccountBanned: the player may not sign in now.
        SessionSuperseded: this connection is older than the one that has the session; it came late.
    """
    stands = ctx.look(standing)
    if stands.banned_until_ms > ctx.now_ms:
        raise AccountBanned(f"{ctx.key} is banned until {stands.banned_until_ms}")
    ref = structs.replace(msg.session, session=msg.resumes) if msg.resumes in here.live else msg.session
    before = here.live.get(ref.session)
    hello_ms = msg.hello_ms or ctx.now_ms
    if before and before.ref != ref and before.since_ms - LATE_MS < hello_ms < before.since_ms:
        raise SessionSuperseded(f"a later connection has the session {ref.session}")
    who = ctx.look(profile)
    created = not who.created_ms
    if created:
        who = ctx.use(profile)
        who.name = _first_name(ctx.key, msg.name_hint)
        who.created_ms = ctx.now_ms
    if created or who.client != msg.client or who.seen_ms // DAY_MS != ctx.now_ms // DAY_MS:
        who = ctx.use(profile)
        who.client, who.seen_ms = msg.client, ctx.now_ms
        _write_down(
            ctx,
            name=who.name,
            name_key=skeleton(who.name),
            platform=msg.client.platform,
            app=msg.client.app,
            app_order=app_order(msg.client.app),
            locale=msg.client.locale,
            seen_ms=ctx.now_ms,
        )
    nodes = _nodes_of(here)
    here.live.pop(ref.session, None)
    if before and before.ref != ref:
        ctx.close_session(before.ref, CloseCode.SIGNED_IN_ELSEWHERE, "resumed elsewhere")
    if len(here.live) >= MAX_SESSIONS:
        oldest = here.live.pop(next(iter(here.live)))
        ctx.close_session(oldest.ref, CloseCode.SIGNED_IN_ELSEWHERE, f"more than {MAX_SESSIONS} sessions")
    here.live[ref.session] = OpenSession(ref, hello_ms, msg.client)
    _share_rates(ctx, here, nodes, ref)
    return SessionOpened(
        session=ref.session,
        name=who.name,
        created=created,
        muted_until_ms=stands.muted_until_ms,
        inbox=ctx.opened(),
    )


@sessions.handles(SessionClose, key="player", internal=True)
def close_session(ctx: Context, here: Sessions, msg: SessionClose) -> SessionClosed:
    """Forget a connection; a late word about an old one does not hit the one that resumed its session."""
    known = here.live.get(msg.session.session)
    if known and known.ref.generation == msg.session.generation:
        nodes = _nodes_of(here)
        del here.live[msg.session.session]
        _share_rates(ctx, here, nodes)
    return SessionClosed()


def _nodes_of(here: Sessions) -> dict[str, SessionRef]:
    """A session on each node that has any."""
    return {opened.ref.node: opened.ref for opened in here.live.values()}


def _share_rates(ctx: Context, here: Sessions, before: Collection[str], opened: SessionRef | None = None) -> None:
    """Have the nodes that have sessions divide what the player may ask for, where that is not one and was not."""
    nodes = _nodes_of(here)
    told = nodes
    if nodes.keys() == set(before):
        told = {opened.node: opened} if opened is not None and len(nodes) > 1 else {}
    elif len(nodes) == 1 and not before:
        told = {}
    for ref in told.values():
        ctx.share_rates(ref, ctx.key, len(nodes))


# For other rooms.
def note_guild(ctx: Context, guild: str | None) -> None:
    """Have the player be found as a member of ``guild``, or of none."""
    _write_down(ctx, guild=guild or "")


@lru_cache(maxsize=1024)  # a game has few versions out, and each sign-in of a day names one
def app_order(version: str) -> int:
    """A number that orders versions as ``1.4.2``: three parts, each up to 99,999; 0 for what has no such form."""
    parts = _VERSION.fullmatch(version)
    if parts is None:
        return 0
    major, minor, patch = (int(part or 0) for part in parts.groups())
    return (major * 100_000 + minor) * 100_000 + patch


def allowed_name(text: str) -> str:
    """``text`` as a display name, cleaned.

    Raises:
        NameNotAllowed: it is not fit to be one.
    """
    try:
        name = display_name(text)
    except ValueError as error:
        raise NameNotAllowed(str(error)) from None
    if not DISPLAY_NAME_MIN <= len(name) <= DISPLAY_NAME_MAX:
        raise NameNotAllowed(f"a name has {DISPLAY_NAME_MIN} to {DISPLAY_NAME_MAX} characters")
    return name


def _write_down(ctx: Context, **columns: Any) -> None:
    ctx.keep(Upsert("players", {"player": ctx.key, **columns}, ("player",)))


def _first_name(player: str, hint: str) -> str:
    """The token's name for the player where it is fit to be one, else the id."""
    try:
        return allowed_name(hint) if hint else player
    except NameNotAllowed:
        return player
