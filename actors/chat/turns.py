"""Chat in channels that are kept: ``room:``, ``guild:`` and ``dm:``.

Owns the ``chat`` slice of those actors. Publishes to ``chat:CHANNEL``; a line is one event and leaves the slice alone.
"""

from collections.abc import Sequence

from msgspec import structs

from actors.chat.channels import ChannelClosed, ChannelOpened
from actors.chat.conversation import (
    Conversation,
    belongs,
    dm_players,
    member_count,
    refuse_outsider,
    refuse_to_admit,
    refuse_to_show,
)
from actors.chat.messages import (
    ChatErase,
    ChatErased,
    ChatHistory,
    ChatJoin,
    ChatJoined,
    ChatLeave,
    ChatLeft,
    ChatMemberLeft,
    ChatMessage,
    ChatMessageDeleted,
    ChatMessages,
    ChatSend,
    ChatSent,
    ChatTyped,
    ChatTyping,
    ChatTypingShown,
    NoSuchMessage,
    Sender,
    by_channel,
)
from actors.runtime import Context, EventTicket, Feature
from actors.staff import audit
from actors.standing import refuse_muted
from protocol import Cursor, Event
from storage import EventRange, Position

RECENT = 50  # messages in the reply to a join
SPARE = 50  # events read beyond the messages asked for: a log also holds departures, which no page shows

chat = Feature(name="chat", actor=("room", "guild", "dm"), state=Conversation)
chat.publishes(ChatMessage, ChatMessageDeleted, ChatMemberLeft, ChatTypingShown)


class JoinTicket(EventTicket, frozen=True, kw_only=True):
    """A join that is to be told the newest messages."""

    channel: str
    epoch: str
    seq: int
    members: int


class HistoryTicket(EventTicket, frozen=True, kw_only=True):
    """A page of history; events ``first`` to ``last`` are there to be asked for."""

    channel: str
    limit: int
    first: int
    last: int


@chat.readable("chat:")
def may_read(talk: Conversation, player: str, actor: str) -> bool:
    """Those who belong may follow."""
    return belongs(talk, player, actor)


# A turn that is declared ``writes=False`` and calls ``ctx.use(chat)`` saves the slice only when it does: a member who
# joins again, as everybody does after a lost connection, costs no write.
@chat.handles(ChatJoin, address=by_channel, writes=False)
def join(ctx: Context, talk: Conversation, msg: ChatJoin) -> ChatJoined | JoinTicket:
    """Make the caller a member of a room, and have the session follow the conversation.

    Raises:
        Invalid: the channel's name is not one of its kind.
        ChatFull: the room has all the members that it may have.
        ChatNotAllowed: the dm is between others.
        ChatNotMember: the guild has no such member.
    """
    refuse_to_admit(talk, ctx.caller, ctx.actor)
    if not belongs(talk, ctx.caller, ctx.actor):
        add_member(ctx, ctx.use(chat), ctx.caller, ctx.caller_name)
    topic = f"chat:{ctx.actor}"
    here = ctx.position(topic)
    ctx.follow(topic, after=msg.after)
    members = member_count(talk, ctx.actor)
    if here.seq == 0 or _reaches_back(here, msg.after):
        return ChatJoined(channel=ctx.actor, epoch=here.epoch, seq=here.seq, recent=[], members=members)
    return JoinTicket(
        span=EventRange(topic=topic, before=here.seq + 1, limit=RECENT + SPARE, newest=True),
        channel=ctx.actor,
        epoch=here.epoch,
        seq=here.seq,
        members=members,
    )


@chat.answers(JoinTicket)
def show_recent(ticket: JoinTicket, events: Sequence[Event]) -> ChatJoined:
    """Give the newest messages with the join."""
    lines = [event for event in events if isinstance(event, ChatMessage)]
    return ChatJoined(
        channel=ticket.channel,
        epoch=ticket.epoch,
        seq=ticket.seq,
        recent=lines[-RECENT:],
        members=ticket.members,
    )


@chat.handles(ChatSend, address=by_channel, writes=False)
def send(ctx: Context, talk: Conversation, msg: ChatSend) -> ChatSent:
    """Say a line. The first one of a dm puts the conversation on both players' lists.

    Raises:
        ChatNotMember, ChatNotAllowed, Invalid: the caller does not belong here.
        ChatMuted: the caller may only read.
    """
    me = ctx.caller
    if me not in talk.members:
        refuse_outsider(talk, me, ctx.actor)
    refuse_muted(ctx)
    line = ChatMessage(op=msg.id, sender=Sender(id=me, name=ctx.caller_name), text=msg.text, data=msg.data)
    seq = ctx.publish(f"chat:{ctx.actor}", line)
    if seq == 1:
        for player in dm_players(ctx.actor):
            opened = ChannelOpened(channel=ctx.actor, by=me, read=int(player == me))
            ctx.tell(f"player:{player}", opened)
    return ChatSent(channel=ctx.actor, seq=seq, at=ctx.now_ms)


@chat.handles(ChatLeave, address=by_channel, writes=False)
def leave(ctx: Context, talk: Conversation, _msg: ChatLeave) -> ChatLeft:
    """Leave a room, or stop following what the caller belongs to by other ties. Repeating it does no harm."""
    if ctx.actor.startswith("room:") and ctx.caller in talk.members:
        remove_member(ctx, ctx.use(chat), ctx.caller)
    else:
        ctx.unfollow(f"chat:{ctx.actor}")
    return ChatLeft(channel=ctx.actor)


@chat.handles(ChatTyping, address=by_channel, writes=False)
def show_typing(ctx: Context, talk: Conversation, _msg: ChatTyping) -> ChatTyped:
    """Show the caller as writing, to those who listen right now.

    Raises:
        ChatNotMember, ChatNotAllowed, Invalid: the caller does not belong here.
        ChatMuted: the caller may only read.
    """
    refuse_outsider(talk, ctx.caller, ctx.actor)
    refuse_muted(ctx)
    shown = ChatTypingShown(sender=Sender(id=ctx.caller, name=ctx.caller_name))
    ctx.publish(f"chat:{ctx.actor}", shown, ephemeral=True)
    return ChatTyped(channel=ctx.actor)


@chat.handles(ChatHistory, address=by_channel, writes=False)
def history(ctx: Context, talk: Conversation, msg: ChatHistory) -> ChatMessages | HistoryTicket:
    """Allow one page to be read.

    Raises:
        ChatNotMember, ChatNotAllowed, Invalid: the caller could not join either.
    """
    refuse_to_show(talk, ctx.caller, ctx.actor)
    topic = f"chat:{ctx.actor}"
    here = ctx.position(topic)
    after = msg.after or 0
    end = here.seq + 1 if msg.before is None else min(msg.before, here.seq + 1)
    if after + 1 >= end:
        return ChatMessages(channel=ctx.actor, messages=[], more=False)
    return HistoryTicket(
        span=EventRange(topic=topic, after=after, before=end, limit=msg.limit + SPARE, newest=msg.after is None),
        channel=ctx.actor,
        limit=msg.limit,
        first=max(after + 1, here.floor),
        last=end - 1,
    )


@chat.answers(HistoryTicket)
def show_page(ticket: HistoryTicket, events: Sequence[Event]) -> ChatMessages:
    """Make a page of the messages among ``events``."""
    if not events:
        return ChatMessages(channel=ticket.channel, messages=[], more=False)
    lines = [event for event in events if isinstance(event, ChatMessage)]
    backwards = ticket.span.newest
    cut = len(lines) > ticket.limit
    if backwards:
        page = lines[-ticket.limit :]
        edge = (page if cut else events)[0].seq or 0
        more = edge > ticket.first
    else:
        page = lines[: ticket.limit]
        edge = (page if cut else events)[-1].seq or 0
        more = edge < ticket.last
    return ChatMessages(channel=ticket.channel, messages=page, more=more, next_seq=edge if more else None)


@chat.handles(ChatErase, address=by_channel, writes=False, internal=True)
def delete(ctx: Context, _talk: Conversation, msg: ChatErase) -> ChatErased:
    """Empty the line where it is kept, and let those who have seen it know. The audit keeps what it said.

    Raises:
        NoSuchMessage: the channel has no such line, or it was deleted before.
    """
    topic, line, seq = f"chat:{ctx.actor}", msg.line, msg.line.seq or 0
    here = ctx.position(topic)
    if line.topic != topic or line.deleted or not here.floor <= seq <= here.seq:
        raise NoSuchMessage(f"{ctx.actor} has no line {seq}")
    ctx.redact(topic, seq, structs.replace(line, text="", data=None, deleted=True))
    ctx.publish(topic, ChatMessageDeleted(deleted=seq))
    reply = ChatErased(channel=ctx.actor, deleted=seq)
    said = {"at": line.at, "from": line.sender.id, "text": line.text, "data": line.data}
    target = f"{ctx.actor}#{seq}"
    audit(ctx, msg.by, "chat.message_deleted", target, before=said, after=None, reply=reply)
    return reply


# For rooms that own a membership (guild): with ``talk = ctx.use(chat)``.
def add_member(ctx: Context, talk: Conversation, player: str, name: str) -> None:
    """Let ``player`` speak and listen from now on; nothing happens where that is so already."""
    if player in talk.members:
        return
    talk.members[player] = name
    read = ctx.position(f"chat:{ctx.actor}").seq
    ctx.tell(f"player:{player}", ChannelOpened(channel=ctx.actor, by=player, read=read))


def remove_member(ctx: Context, talk: Conversation, player: str) -> None:
    """End the membership: the player's subscriptions end everywhere with the event that says so."""
    name = talk.members.pop(player, None)
    if name is None:
        return
    ctx.publish(f"chat:{ctx.actor}", ChatMemberLeft(player=player, name=name), ends=player)
    ctx.tell(f"player:{player}", ChannelClosed(channel=ctx.actor))


def _reaches_back(here: Position, after: Cursor | None) -> bool:
    """Whether everything after the cursor is still in the log (the rule of ``Context.follow``)."""
    return after is not None and after[0] == here.epoch and here.floor - 1 <= after[1] <= here.seq
