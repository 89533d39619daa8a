"""Announcements: staff speaks to everybody, or to an audience.

Owns the ``broadcasts`` slice of ``broadcasts:all``: what is scheduled, stands or is on its way; what is over is in the
table ``announcements`` alone. Publishes to the topic ``announce``, in which each reader finds its own language.

To everybody: one row and one event; whoever signs in before it expires is told from its own mark (seen.py). To an
audience: a campaign (campaign.py) through inboxes.
"""

from typing import Any

import msgspec
from msgspec import Struct, structs

from actors.broadcasts import campaign
from actors.broadcasts.campaign import WATCH_S, Campaign, CampaignDue, PageCall, PageFound
from actors.broadcasts.crier import TOPIC, Crier
from actors.broadcasts.messages import (
    DATA_BYTES,
    Announced,
    AnnouncementCancel,
    AnnouncementCancelled,
    AnnouncementInPast,
    AnnouncementMade,
    AnnouncementMake,
    AnnouncementNotFound,
    AnnouncementOver,
    AnnouncementsCount,
    AnnouncementsCounted,
    AnnounceMessage,
    AnnounceWithdrawn,
    Audience,
    TooManyAnnouncements,
)
from actors.broadcasts.rules import LIVE_ROWS, in_language, live_of
from actors.mail import tell_player
from actors.runtime import Context, Feature, Reach
from actors.staff import audit
from protocol import Event, Invalid, Tell
from storage import Migration, Upsert

ALL = "broadcasts:all"
OPEN_LIMIT = 200  # announcements that are scheduled, stand or are on their way
OPEN_BYTES = 4 << 20  # of their bodies: the slice holds them, and is saved with every count and page
SENT_LIMIT = 100  # announcements in inboxes whose readers are counted
LASTS_MS = 7 * 86_400_000  # an announcement that does not say when it expires
LONGEST_MS = 366 * 86_400_000
TITLE = "Announcement"  # of a notice whose announcement has no title

_TABLE = """
CREATE TABLE announcements (
    id VARCHAR(16) NOT NULL PRIMARY KEY,
    state VARCHAR(16) NOT NULL,
    made_ms BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    sent BIGINT NOT NULL,
    reached BIGINT NOT NULL,
    readers BIGINT NOT NULL,
    body MEDIUMBLOB NOT NULL
)
"""


class Body(Struct, frozen=True):
    """What is announced, and to whom."""

    texts: dict[str, str]
    titles: dict[str, str] | None = None
    data: dict[str, Any] | None = None
    audience: Audience | None = None


class Announcement(Struct):
    """One that is not over."""

    body: Body
    made_ms: int
    at_ms: int
    expires_ms: int
    state: str = "scheduled"
    seq: int = 0
    """Its place in the topic; 0: it is not there."""
    campaign: Campaign | None = None
    counts: dict[str, tuple[int, int]] = {}
    """(sessions reached, readers) by the life of a node."""
    size: int = 0
    """Bytes of its body."""

    @property
    def reached(self) -> int:
        """Sessions, or players of the audience."""
        return self.campaign.sent if self.campaign else sum(reached for reached, _ in self.counts.values())

    @property
    def readers(self) -> int:
        """Players who have read it."""
        return sum(read for _, read in self.counts.values())


class Announcements(Struct):
    open: dict[str, Announcement] = {}
    """By id."""


# Timers and calls.
class AnnouncementDue(Tell, tag="announcement.due", frozen=True, kw_only=True):
    """It is time to begin."""

    announcement: str


class AnnouncementExpired(Tell, tag="announcement.expired", frozen=True, kw_only=True):
    """It is time to end."""

    announcement: str


class SpreadCall(Tell, tag="announcement.spread", frozen=True, kw_only=True):
    """Have every node know what stands."""


broadcasts = Feature(
    name="broadcasts",
    actor="broadcasts",
    state=Announcements,
    migrations=(
        Migration(1, _TABLE.strip()),
        Migration(2, "CREATE INDEX announcements_by_state ON announcements (state)"),
        Migration(3, "CREATE INDEX announcements_by_time ON announcements (made_ms, id)"),
    ),
)
broadcasts.publishes(AnnounceMessage, AnnounceWithdrawn)
broadcasts.replicates(LIVE_ROWS, live_of)
broadcasts.serves(Crier)
broadcasts.calls(PageCall)(campaign.find_page)


@broadcasts.readable(TOPIC)
def may_read(_kept: Announcements, _player: str, _actor: str) -> bool:
    """It is for everybody."""
    return True


@broadcasts.publishes_as(TOPIC, ALL, Announced)
def render(event: Event, locale: str, now_ms: int) -> Event:
    """Make of what was announced what a reader of ``locale`` gets; what has expired is no more than its place."""
    if not isinstance(event, Announced):
        return event
    if event.expires_at <= now_ms:
        return AnnounceWithdrawn(topic=event.topic, seq=event.seq, at=event.at, announcement=event.announcement)
    return AnnounceMessage(
        topic=event.topic,
        seq=event.seq,
        at=event.at,
        announcement=event.announcement,
        text=in_language(event.texts, locale),
        data=event.data,
        expires_at=event.expires_at,
    )


# What staff asks.
@broadcasts.handles(AnnouncementMake, address=lambda _request, _caller: ALL, internal=True)
def make(ctx: Context, kept: Announcements, msg: AnnouncementMake) -> AnnouncementMade:
    """Announce now, or set a timer for it.

    Raises:
        AnnouncementInPast: it would begin or end before now.
        TooManyAnnouncements: ``OPEN_LIMIT`` are open, or as many as take ``OPEN_BYTES``.
        Invalid: ``data`` is too large, or the audience is nobody's.
        IdReused: the key has used the op before.
    """
    at_ms = ctx.now_ms if msg.at is None else msg.at
    expires_ms = at_ms + LASTS_MS if msg.expires_at is None else msg.expires_at
    if (msg.at is not None and msg.at <= ctx.now_ms) or expires_ms <= at_ms:
        raise AnnouncementInPast
    if expires_ms > ctx.now_ms + LONGEST_MS:
        raise Invalid("an announcement ends within a year")
    unsent = [told for told in kept.open.values() if told.state != "sent"]
    if len(unsent) >= OPEN_LIMIT or sum(told.size for told in unsent) >= OPEN_BYTES:
        raise TooManyAnnouncements(f"{len(unsent)} announcements are scheduled, stand or are on their way")
    if len(msgspec.msgpack.encode(msg.data)) > DATA_BYTES:
        raise Invalid(f"data takes more than {DATA_BYTES} bytes")
    audience = msg.audience if msg.audience != Audience() else None
    body = Body(dict(msg.text), dict(msg.title) if msg.title else None, msg.data, audience)
    size = len(msgspec.msgpack.encode(body))
    announcement, made = ctx.new_id(), Announcement(body, ctx.now_ms, at_ms, expires_ms, size=size)
    kept.open[announcement] = made
    ctx.at(expires_ms, f"expire:{announcement}", AnnouncementExpired(announcement=announcement))
    if msg.at is None:
        _begin(ctx, announcement, made)
    else:
        ctx.at(at_ms, f"begin:{announcement}", AnnouncementDue(announcement=announcement))
        _write(ctx, announcement, made)
    reply = AnnouncementMade(announcement=announcement, state=made.state, at=at_ms, expires_at=expires_ms)
    after = {"text": body.texts, "audience": msgspec.to_builtins(audience), "at": at_ms, "expires_at": expires_ms}
    audit(ctx, msg.by, "announcement.made", f"announcement:{announcement}", before=None, after=after, reply=reply)
    return reply


@broadcasts.handles(AnnouncementCancel, address=lambda _request, _caller: ALL, internal=True)
def cancel(ctx: Context, kept: Announcements, msg: AnnouncementCancel) -> AnnouncementCancelled:
    """End it now: nobody more is told, and those who show it are told to stop.

    Raises:
        AnnouncementOver: it is not open; whether there ever was one is for the server to say.
        IdReused: the key has used the op before.
    """
    told = kept.open.get(msg.announcement)
    if told is None or told.state == "sent":
        raise AnnouncementOver(f"announcement {msg.announcement} is not open")
    before = told.state
    if told.seq:
        withdrawn = AnnounceWithdrawn(announcement=msg.announcement)
        ctx.redact(TOPIC, told.seq, structs.replace(withdrawn, at=told.at_ms))
        ctx.publish(TOPIC, withdrawn)
    _end(ctx, kept, msg.announcement, "cancelled")
    reply = AnnouncementCancelled(announcement=msg.announcement)
    target = f"announcement:{msg.announcement}"
    audit(
        ctx,
        msg.by,
        "announcement.cancelled",
        target,
        before={"state": before},
        after={"state": "cancelled"},
        reply=reply,
    )
    return reply


@broadcasts.handles(AnnouncementsCount, address=lambda _request, _caller: ALL, internal=True)
def count(ctx: Context, kept: Announcements, msg: AnnouncementsCount) -> AnnouncementsCounted:
    """Note what a node has counted; of what is over nothing is counted any more."""
    named = {*msg.reached, *msg.read}
    for announcement in named.intersection(kept.open):
        told = kept.open[announcement]
        reached, read = told.counts.get(msg.node, (0, 0))
        new = max(reached, msg.reached.get(announcement, 0)), max(read, msg.read.get(announcement, 0))
        told.counts[msg.node] = new
        _write(ctx, announcement, told)
    return AnnouncementsCounted(over=sorted(named.difference(kept.open)))


# What time brings.
@broadcasts.hears(AnnouncementDue)
def begin(ctx: Context, kept: Announcements, msg: AnnouncementDue) -> None:
    """Announce what was scheduled; late rather than never, but not past its end."""
    told = kept.open.get(msg.announcement)
    if told is not None and told.state == "scheduled" and told.expires_ms > ctx.now_ms:
        _begin(ctx, msg.announcement, told)


@broadcasts.hears(AnnouncementExpired)
def expire(ctx: Context, kept: Announcements, msg: AnnouncementExpired) -> None:
    """Show it to nobody more."""
    told = kept.open.get(msg.announcement)
    if told is not None:
        _end(ctx, kept, msg.announcement, "sent" if told.state == "sent" else "over")


@broadcasts.calls(SpreadCall)
async def spread(_call: SpreadCall, reach: Reach) -> None:
    """Have every node know what stands."""
    await reach.replicas.spread(broadcasts.name)


# Campaigns.
@broadcasts.hears(PageFound)
def send_page(ctx: Context, kept: Announcements, msg: PageFound) -> None:
    """Tell the players of the page, and go on behind them. A page that comes twice is told once."""
    told = kept.open.get(msg.announcement)
    if told is None or told.campaign is None or told.state != "sending" or told.campaign.after != msg.after:
        return
    body = told.body
    for player, locale in msg.players:
        tell_player(
            ctx,
            player,
            kind="announcement",
            title=in_language(body.titles, locale) if body.titles else TITLE,
            body=in_language(body.texts, locale),
            data={**(body.data or {}), "announcement": msg.announcement},
            expires_ms=told.expires_ms,
        )
    last = msg.players[-1][0] if msg.players else msg.after
    told.campaign = Campaign(last, told.campaign.sent + len(msg.players))
    if msg.last:
        told.state = "sent"
        ctx.cancel(f"campaign:{msg.announcement}")
    else:
        _next_page(ctx, msg.announcement, told)
    _write(ctx, msg.announcement, told)
    sent = [announcement for announcement, one in kept.open.items() if one.state == "sent"]
    for announcement in sent[:-SENT_LIMIT]:
        _end(ctx, kept, announcement, "sent")


@broadcasts.hears(CampaignDue)
def go_on(ctx: Context, kept: Announcements, msg: CampaignDue) -> None:
    """Look for the next page again: whoever was to find it is gone, or slow."""
    told = kept.open.get(msg.announcement)
    if told is not None and told.state == "sending":
        _next_page(ctx, msg.announcement, told)


def _next_page(ctx: Context, announcement: str, told: Announcement) -> None:
    assert told.campaign is not None
    assert told.body.audience is not None
    audience, after = told.body.audience, told.campaign.after
    ctx.call(PageCall(sender=ctx.actor, announcement=announcement, audience=audience, after=after))
    ctx.after(WATCH_S, f"campaign:{announcement}", CampaignDue(announcement=announcement))


# Rules.
def _begin(ctx: Context, announcement: str, told: Announcement) -> None:
    if told.body.audience is not None:
        told.state, told.campaign = "sending", Campaign()
        _next_page(ctx, announcement, told)
    else:
        event = Announced(
            announcement=announcement, texts=told.body.texts, data=told.body.data, expires_at=told.expires_ms
        )
        told.state, told.seq = "live", ctx.publish(TOPIC, event)
        ctx.call(SpreadCall())
    ctx.log.info("announcement.begun", announcement=announcement, state=told.state)
    _write(ctx, announcement, told)


def _end(ctx: Context, kept: Announcements, announcement: str, state: str) -> None:
    told = kept.open.pop(announcement)
    was_live, told.state = told.state == "live", state
    for timer in ("begin", "expire", "campaign"):
        ctx.cancel(f"{timer}:{announcement}")
    if was_live:
        ctx.call(SpreadCall())
    _write(ctx, announcement, told)


def _write(ctx: Context, announcement: str, told: Announcement) -> None:
    row = {
        "id": announcement,
        "state": told.state,
        "made_ms": told.made_ms,
        "at_ms": told.at_ms,
        "expires_ms": told.expires_ms,
        "seq": told.seq,
        "sent": told.campaign.sent if told.campaign else 0,
        "reached": told.reached,
        "readers": told.readers,
        "body": ctx.pack(broadcasts, told.body),
    }
    ctx.keep(Upsert("announcements", row, ("id",)))


__all__ = ["ALL", "AnnouncementNotFound", "Body", "broadcasts"]
