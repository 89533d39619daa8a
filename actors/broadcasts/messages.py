"""What is said about announcements (PROTOCOL.md, Leaderboards, inbox and announcements), and what staff asks."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from actors.staff import By
from protocol import Event, GuildhallError, Id, Reply, Request, clean

TEXT_LIMIT = 2000  # characters in one language, after cleaning
TITLE_LIMIT = 100  # characters in one language, after cleaning
LANGUAGES = 50  # languages of one announcement
DATA_BYTES = 4096  # of ``data`` as MessagePack
LISTED = 1000  # players in one audience

AnnouncementId = Annotated[str, Meta(pattern=r"\A[a-z2-7]{16}\Z")]
Locale = Annotated[str, Meta(pattern=r"\A[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_LIMIT, extra={"text": clean})]
Title = Annotated[str, Meta(min_length=1, max_length=TITLE_LIMIT, extra={"text": clean})]
Texts = Annotated[dict[Locale, Text], Meta(min_length=1, max_length=LANGUAGES)]
Titles = Annotated[dict[Locale, Title], Meta(min_length=1, max_length=LANGUAGES)]
TimeMs = Annotated[int, Meta(ge=0, le=2**53)]
Version = Annotated[str, Meta(pattern=r"\Av?\d{1,5}(\.\d{1,5}){0,2}\Z")]
Few = Meta(min_length=1, max_length=50)


# To clients.
class AnnounceMessage(Event, tag="announce.message", frozen=True, kw_only=True):
    """For everybody. ``text`` is in the language that comes nearest to the client's locale."""

    announcement: str
    text: str
    data: dict[str, Any] | None = None
    expires_at: int | None = None


class AnnounceWithdrawn(Event, tag="announce.withdrawn", frozen=True, kw_only=True):
    """The announcement is not to be shown any more; whoever has not shown it need not know what it was.

    It also stands in the place of an announcement that was cancelled, or has expired, before the client came.
    """

    announcement: str


class AnnounceMarked(Reply, tag="announce.marked", frozen=True, kw_only=True):
    announcement: str


class AnnounceRead(Request[AnnounceMarked], tag="announce.read", frozen=True, kw_only=True):
    """The player has seen the announcement, or put it away; staff sees how many have."""

    announcement: AnnouncementId


class AnnouncementInPast(GuildhallError):
    """The announcement would begin, or expire, before anybody could see it."""

    code = "announcement.in_past"


class AnnouncementNotFound(GuildhallError):
    """There is no such announcement."""

    code = "announcement.not_found"


class AnnouncementOver(GuildhallError):
    """The announcement has been cancelled, or is over: nothing is left to be cancelled."""

    code = "announcement.over"


class TooManyAnnouncements(GuildhallError):
    """As many announcements are waiting or under way as may be."""

    code = "announcement.too_many"


# In the log: each reader gets it in its own language.
class Announced(Event, tag="announce.announced", frozen=True, kw_only=True):
    """An announcement in all its languages; never sent as it is."""

    announcement: str
    texts: dict[str, str]
    data: dict[str, Any] | None = None
    expires_at: int


# What staff asks.
class Audience(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom an announcement is for: who has signed in before, and meets all that is named here."""

    platforms: Annotated[list[Annotated[str, Meta(min_length=1, max_length=32)]], Few] | None = None
    """As clients name theirs."""
    app_min: Version | None = None
    """Lowest version of the app, e.g. ``1.4``."""
    app_max: Version | None = None
    """Highest version, e.g. ``1.4.99``; it belongs to the range."""
    locales: Annotated[list[Locale], Few] | None = None
    """A language (``tr``) stands for all its regions."""
    guild: Id | None = None
    """Members of this guild."""
    players: Annotated[list[Id], Meta(min_length=1, max_length=LISTED)] | None = None
    """These players."""


class AnnouncementMade(Reply, tag="announcement.made", frozen=True, kw_only=True):
    """``state``: ``scheduled``, ``live`` (said, and told to whoever comes before it expires) or ``sending`` (on its way
    into inboxes)."""

    announcement: str
    state: str
    at: int
    expires_at: int


class AnnouncementMake(Request[AnnouncementMade], tag="announcement.make", frozen=True, kw_only=True):
    """Announce now, or at ``at``; to everybody, or into the inboxes of an audience."""

    text: Texts
    title: Titles | None = None
    data: dict[str, Any] | None = None
    audience: Audience | None = None
    at: TimeMs | None = None
    expires_at: TimeMs | None = None
    by: By


class AnnouncementCancelled(Reply, tag="announcement.cancelled", frozen=True, kw_only=True):
    """It goes to nobody any more; what is in inboxes stays there."""

    announcement: str


class AnnouncementCancel(Request[AnnouncementCancelled], tag="announcement.cancel", frozen=True, kw_only=True):
    """Stop an announcement, before or while it is told."""

    announcement: AnnouncementId
    by: By


# What nodes report.
class AnnouncementsCounted(Reply, tag="announcement.counted", frozen=True, kw_only=True):
    """The counts are noted; of ``over`` nothing is counted any more."""

    over: list[str] = []


class AnnouncementsCount(Request[AnnouncementsCounted], tag="announcement.count", frozen=True, kw_only=True):
    """By announcement: sessions that it has reached, and players who have read it, on a node since its start. A report
    may come twice, or be overtaken by a later one."""

    node: str
    """One life of a node."""
    reached: dict[str, int]
    read: dict[str, int]
