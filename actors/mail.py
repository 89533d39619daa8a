"""Mail: the player's inbox, notices that wait for who is away, in one order, each once (PROTOCOL.md, Inbox).

Owns the ``mail`` slice of a player. Publishes to ``player:ID``.

A notice is a durable event of the player's own topic: its place, its replay after a lost connection and its order among
senders are the topic's. Other rooms publish there too, so the seqs of notices have holes, and no difference of seqs
counts them. The slice therefore lists the place and the end of each notice that still stands. A notice stands for
``KEPT_FOR_MS``, or until it expires, and while it is among the newest ``KEPT``; what no longer stands is neither shown
nor counted, though the log may hold it a little longer. The log itself cuts old events by their number, whatever they
are (``actors.player.KEEP_EVENTS``); a notice that was cut does not stand either.

A room sends with ``tell_player``, the server's own parts (staff, a game's backend) with ``InboxDeliver``.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from actors.runtime import CALLER, Context, EventTicket, Feature
from actors.staff import By, audit
from protocol import Event, GuildhallError, Id, IdReused, Invalid, Reply, Request, Tell, clean, digest, settled
from storage import EventRange

KEPT = 500  # notices of a player that stand; one more and the oldest gives way, read or not
KEPT_FOR_MS = 90 * 86_400_000  # after that a notice stands no more, read or not
PAGE_LIMIT = 100  # notices in one page
READ_LIMIT = 500  # events read for one page; a page has fewer notices where they lie further apart
TITLE_LIMIT = 100  # characters, after cleaning
BODY_LIMIT = 2000  # characters, after cleaning
DATA_BYTES = 4096  # of a delivered notice's ``data`` as MessagePack
KEYS_KEPT = 256  # keys of deliveries remembered for a player; the oldest is forgotten first
KEYS_FOR_MS = 86_400_000  # a sender that gets no answer asks again within a day

Seq = Annotated[int, Meta(ge=0, le=2**53)]
Title = Annotated[str, Meta(min_length=1, max_length=TITLE_LIMIT, extra={"text": clean})]
Body = Annotated[str, Meta(max_length=BODY_LIMIT, extra={"text": clean})]
NoticeKey = Annotated[str, Meta(min_length=1, max_length=64)]
EndMs = Annotated[int, Meta(ge=0, le=2**53)]


# What is said to clients.
class InboxNotice(Event, tag="inbox.notice", frozen=True, kw_only=True):
    """Something for the player to know, who may have been away when it happened.

    ``title`` and ``body`` are plain English; a client that knows ``kind`` says it in the player's own language, from
    ``data``.

    Past ``expires_at`` (milliseconds since the Unix epoch), and 90 days after ``at``, it is neither listed nor counted;
    a replay may still hold it. Nor is it with 500 newer ones.
    """

    kind: str
    title: str
    body: str
    data: dict[str, Any] | None = None
    expires_at: int | None = None


class InboxSeen(Event, tag="inbox.seen", frozen=True, kw_only=True):
    """The player has read everything up to ``upto``, on whichever device; ``unread`` notices are left."""

    upto: int
    unread: int


class InboxPage(Reply, tag="inbox.page", frozen=True, kw_only=True):
    """Notices, oldest first. With ``more``, the ``seq`` of the first is the next page's ``before``.

    A page can hold fewer notices than asked for and have more; it is empty only where nothing older stands. ``unread``
    counts the whole inbox.
    """

    notices: list[InboxNotice]
    unread: int
    more: bool


class InboxList(Request[InboxPage], tag="inbox.list", frozen=True, kw_only=True):
    """The newest notices before ``before``, read and unread."""

    before: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = 50


class InboxMarked(Reply, tag="inbox.marked", frozen=True, kw_only=True):
    """What is left to be read."""

    unread: int


class InboxRead(Request[InboxMarked], tag="inbox.read", frozen=True, kw_only=True):
    """Everything up to ``upto``, a ``seq`` of the player's topic, has been read. The mark never goes back."""

    upto: Seq


class ReadAhead(GuildhallError):
    """The mark is beyond the newest event of the player's topic: nobody can have read that far."""

    code = "inbox.read_ahead"


class NoticeExpired(GuildhallError):
    """The notice would expire before anybody could read it."""

    code = "inbox.expired"


# What the server's own parts ask.
class InboxDelivered(Reply, tag="inbox.delivered", frozen=True, kw_only=True):
    """The notice is safe, at ``seq`` of the player's topic since ``at``."""

    seq: int
    at: int


class InboxDeliver(Request[InboxDelivered], tag="inbox.deliver", frozen=True, kw_only=True):
    """Put a notice into the inbox of ``player``, who may never have been here: a game with accounts of its own may
    write before the first sign-in.

    ``notice`` is the sender's idempotency key, for this player: the same notice under it is delivered once, another one
    is refused. It is remembered for a day, and among the newest ``KEYS_KEPT``. ``id`` is not kept for an answer as a
    client's is, but the log never takes it twice from one caller: where it follows from the key, a repeat that comes
    after the key was forgotten is answered ``request.too_old``, and never delivered again.
    """

    player: Id
    notice: NoticeKey
    kind: Id
    title: Title
    body: Body = ""
    data: dict[str, Any] | None = None
    expires_ms: EndMs | None = None
    by: By | None = None
    """Set where staff sends it: the delivery is written down in the audit."""


# What other rooms tell.
class NoticeTold(Tell, tag="inbox.notice_told", frozen=True, kw_only=True):
    """A notice for the player (``tell_player``)."""

    kind: str
    title: str
    body: str
    data: dict[str, Any] | None = None
    expires_ms: int | None = None


# What is kept.
class Slip(Struct, frozen=True, array_like=True):
    """A notice that stands: its place in the topic, and the time from which it stands no more."""

    seq: int
    until_ms: int


class Delivery(Struct, frozen=True, array_like=True):
    """What was delivered under a key."""

    seq: int
    at_ms: int
    digest: bytes


class Inbox(Struct):
    read: int = 0
    """Everything up to this seq of the player's topic has been read."""
    slips: list[Slip] = []
    """Oldest first; those that have ended stay until the next notice."""
    delivered: dict[str, Delivery] = {}
    """By key, the oldest first."""


class MailGreeting(Struct, frozen=True):
    """The inbox's part of the welcome: notices left to be read, and the mark."""

    unread: int
    read: int


class Counts(Struct, frozen=True):
    """Notices that stand, and those among them that have not been read."""

    notices: int
    unread: int


class PageTicket(EventTicket, frozen=True, kw_only=True):
    """The notices at ``seqs``; what lies between them is other rooms'."""

    seqs: list[int]
    unread: int
    more: bool


mail = Feature(name="mail", actor="player", state=Inbox)
mail.publishes(InboxNotice, InboxSeen)


@mail.greeting
def greet(ctx: Context, inbox: Inbox) -> MailGreeting:
    """Say at sign-in what there is to read."""
    return MailGreeting(unread=_unread(inbox, _standing(ctx, inbox)), read=inbox.read)


# What the player asks.
@mail.handles(InboxList, key=CALLER, writes=False)
def show(ctx: Context, inbox: Inbox, msg: InboxList) -> InboxPage | PageTicket:
    """Allow one page to be read: the log is read from its first notice to its last, ``READ_LIMIT`` events at most."""
    standing = _standing(ctx, inbox)
    unread = _unread(inbox, standing)
    older = [slip.seq for slip in standing if msg.before is None or slip.seq < msg.before]
    if not older:
        return InboxPage(notices=[], unread=unread, more=False)
    last = older[-1]
    seqs = [seq for seq in older[-msg.limit :] if seq > last - READ_LIMIT]
    return PageTicket(
        span=EventRange(topic=ctx.actor, after=seqs[0] - 1, before=last + 1, limit=READ_LIMIT),
        seqs=seqs,
        unread=unread,
        more=older[0] < seqs[0],
    )


@mail.answers(PageTicket)
def show_page(ticket: PageTicket, events: Sequence[Event]) -> InboxPage:
    """Make a page of the notices among ``events``."""
    wanted = set(ticket.seqs)
    notices = [event for event in events if isinstance(event, InboxNotice) and event.seq in wanted]
    return InboxPage(notices=notices, unread=ticket.unread, more=ticket.more)


@mail.handles(InboxRead, key=CALLER, writes=False)
def read(ctx: Context, inbox: Inbox, msg: InboxRead) -> InboxMarked:
    """Raise the mark, and let the player's other devices know.

    Raises:
        ReadAhead: the topic has not come that far.
    """
    newest = ctx.position(ctx.actor).seq
    if msg.upto > newest:
        raise ReadAhead(f"{ctx.actor} stands at {newest}")
    standing = _standing(ctx, inbox)
    if msg.upto > inbox.read:
        ctx.use(mail).read = msg.upto
        ctx.publish(ctx.actor, InboxSeen(upto=msg.upto, unread=_unread(inbox, standing)))
    return InboxMarked(unread=_unread(inbox, standing))


# What the server's own parts and other rooms send.
@mail.handles(InboxDeliver, key="player", writes=False, internal=True)
def deliver(ctx: Context, inbox: Inbox, msg: InboxDeliver) -> InboxDelivered:
    """Put the notice into the inbox, once for its key.

    Raises:
        Invalid: a text or ``data`` is out of bounds.
        IdReused: another notice was delivered under the key.
        NoticeExpired: there is nothing left of its time.
    """
    msg = _within_bounds(msg)
    same = digest(msg)
    before = inbox.delivered.get(msg.notice)
    if before is not None and before.at_ms + KEYS_FOR_MS > ctx.now_ms:
        if before.digest != same:
            raise IdReused(f"notice {msg.notice!r} of {ctx.actor} is another one")
        return InboxDelivered(seq=before.seq, at=before.at_ms)
    if msg.expires_ms is not None and msg.expires_ms <= ctx.now_ms:
        raise NoticeExpired
    inbox = ctx.use(mail)
    told = NoticeTold(kind=msg.kind, title=msg.title, body=msg.body, data=msg.data, expires_ms=msg.expires_ms)
    seq = _add(ctx, inbox, told)
    _remember(ctx, inbox, msg.notice, Delivery(seq, ctx.now_ms, same))
    delivered = InboxDelivered(seq=seq, at=ctx.now_ms)
    if msg.by is not None:
        sent = {"kind": msg.kind, "title": msg.title, "body": msg.body, "data": msg.data, "expires_at": msg.expires_ms}
        audit(ctx, msg.by, "player.notified", ctx.actor, before=None, after={"seq": seq, **sent}, reply=delivered)
    return delivered


@mail.hears(NoticeTold, writes=False)
def hear(ctx: Context, _inbox: Inbox, msg: NoticeTold) -> None:
    """Put the notice into the inbox, unless it has expired on its way."""
    if msg.expires_ms is None or msg.expires_ms > ctx.now_ms:
        _add(ctx, ctx.use(mail), msg)


# For other rooms.
def tell_player(
    ctx: Context,
    player: str,
    *,
    kind: str,
    title: str,
    body: str,
    data: dict[str, Any] | None = None,
    expires_ms: int | None = None,
) -> None:
    """Put a notice into the inbox of ``player``, with the commit of this turn, exactly once.

    ``kind`` is ``area.happened`` and part of what clients rely on, as the keys of ``data`` are; keep those few and
    small. ``title`` and ``body`` are plain English, longer ones are cut. With ``expires_ms`` (milliseconds since the
    Unix epoch) it stands until then at most.
    """
    told = NoticeTold(kind=kind, title=title[:TITLE_LIMIT], body=body[:BODY_LIMIT], data=data, expires_ms=expires_ms)
    ctx.tell(f"player:{player}", told)


def counts(ctx: Context, inbox: Inbox) -> Counts:
    """What waits in the inbox now."""
    slips = _standing(ctx, inbox)
    return Counts(len(slips), _unread(inbox, slips))


# Rules.
def _standing(ctx: Context, inbox: Inbox) -> list[Slip]:
    """The notices that are shown and counted now, oldest first."""
    floor = ctx.position(ctx.actor).floor
    return [slip for slip in inbox.slips if slip.until_ms > ctx.now_ms and slip.seq >= floor]


def _unread(inbox: Inbox, standing: Sequence[Slip]) -> int:
    return sum(slip.seq > inbox.read for slip in standing)


def _add(ctx: Context, inbox: Inbox, told: NoticeTold) -> int:
    """Publish the notice and note where it stands; the oldest of too many gives way."""
    notice = InboxNotice(kind=told.kind, title=told.title, body=told.body, data=told.data, expires_at=told.expires_ms)
    until_ms = ctx.now_ms + KEPT_FOR_MS
    if told.expires_ms is not None:
        until_ms = min(until_ms, told.expires_ms)
    seq = ctx.publish(ctx.actor, notice)
    inbox.slips = [*_standing(ctx, inbox), Slip(seq, until_ms)][-KEPT:]
    return seq


def _remember(ctx: Context, inbox: Inbox, key: str, delivery: Delivery) -> None:
    """Keep the key; those that are too old, or too many, are forgotten."""
    recent = {k: d for k, d in inbox.delivered.items() if d.at_ms + KEYS_FOR_MS > ctx.now_ms}
    recent[key] = delivery
    inbox.delivered = dict(list(recent.items())[-KEYS_KEPT:])


def _within_bounds(msg: InboxDeliver) -> InboxDeliver:
    """The request as the codec would have made it; one of the server's own parts has not been through it.

    Raises:
        Invalid: a field is out of bounds.
    """
    try:
        msg = settled(msgspec.convert(msgspec.to_builtins(msg), InboxDeliver))
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None
    if len(msgspec.msgpack.encode(msg.data)) > DATA_BYTES:
        raise Invalid(f"data takes more than {DATA_BYTES} bytes")
    return msg
