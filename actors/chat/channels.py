"""Channels: the list of a player's conversations, with what has been read of each.

Owns the ``channels`` slice of a player, fed by tells of the conversations. Publishes to ``player:ID``.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from actors.chat.messages import Seq
from actors.runtime import CALLER, Context, Feature, RowTicket
from protocol import ChannelName, Event, Invalid, Reply, Request, Tell

CHANNEL_LIMIT = 200  # conversations listed for a player; beyond, the one opened longest ago gives way


# What is said.
class ChatOpened(Event, tag="chat.opened", frozen=True, kw_only=True):
    """Another player has begun a conversation with this one, who may join ``channel`` to hear it."""

    channel: str
    by: str


class ChatMarked(Reply, tag="chat.marked", frozen=True, kw_only=True):
    """``seq`` is the mark as it stands now."""

    channel: str
    seq: int


class ChatRead(Request[ChatMarked], tag="chat.read", frozen=True, kw_only=True):
    """Everything up to ``seq`` has been read. A mark never goes back."""

    channel: ChannelName
    seq: Seq


class ChannelState(Struct, frozen=True, kw_only=True):
    """One conversation: its newest ``seq``, up to where it was ``read``, and the difference (the player's own lines
    count too, until they are marked)."""

    channel: str
    seq: int
    read: int
    unread: int


class ChatConversations(Reply, tag="chat.conversations", frozen=True, kw_only=True):
    channels: list[ChannelState]


class ChatChannels(Request[ChatConversations], tag="chat.channels", frozen=True, kw_only=True):
    """The caller's conversations. ``world:`` channels are not among them: nothing of those is kept."""


# What conversations tell.
class ChannelOpened(Tell, tag="chat.channel_opened", frozen=True, kw_only=True):
    """The player belongs to ``channel`` from now on and has seen it up to ``read``."""

    channel: str
    by: str
    read: int


class ChannelClosed(Tell, tag="chat.channel_closed", frozen=True, kw_only=True):
    """The player no longer belongs to ``channel``."""

    channel: str


# What is kept.
class Mark(Struct, frozen=True):
    """``since_ms`` is 0 until the conversation has told that the player belongs to it: a mark may come before."""

    read: int
    since_ms: int


class ChannelList(Struct):
    marks: dict[str, Mark] = {}


channels = Feature(name="channels", actor="player", state=ChannelList)
channels.publishes(ChatOpened)


class ChannelsTicket(RowTicket, frozen=True, kw_only=True):
    """Asks where the topics of the conversations stand."""

    read: dict[str, int]


# What happens.
@channels.hears(ChannelOpened)
def opened(ctx: Context, book: ChannelList, msg: ChannelOpened) -> None:
    """List the conversation, and let the player's sessions know when it was another's doing."""
    mark = book.marks.get(msg.channel)
    _put(book, msg.channel, Mark(max(msg.read, mark.read if mark else 0), ctx.now_ms))
    if msg.by != ctx.key:
        ctx.publish(ctx.actor, ChatOpened(channel=msg.channel, by=msg.by))


@channels.hears(ChannelClosed)
def closed(_ctx: Context, book: ChannelList, msg: ChannelClosed) -> None:
    """Forget the conversation and its mark."""
    book.marks.pop(msg.channel, None)


@channels.handles(ChatRead, key=CALLER, writes=False)
def read(ctx: Context, book: ChannelList, msg: ChatRead) -> ChatMarked:
    """Raise the mark. It is kept for a channel that is not listed too: the tell of a join may still be on its way.

    Raises:
        Invalid: ``world:`` channels have no ``seq``.
    """
    if msg.channel.startswith("world:"):
        raise Invalid("a world channel has no seq to mark")
    mark = book.marks.get(msg.channel, Mark(0, 0))
    if msg.seq > mark.read:
        mark = Mark(msg.seq, mark.since_ms)
        _put(ctx.use(channels), msg.channel, mark)
    return ChatMarked(channel=msg.channel, seq=mark.read)


@channels.handles(ChatChannels, key=CALLER, writes=False)
def listed(_ctx: Context, book: ChannelList, _msg: ChatChannels) -> ChatConversations | ChannelsTicket:
    """Give the conversations in the order in which they were opened."""
    marks = {channel: mark.read for channel, mark in book.marks.items() if mark.since_ms}
    if not marks:
        return ChatConversations(channels=[])
    places = ", ".join("?" * len(marks))
    return ChannelsTicket(
        sql=f"SELECT topic, seq FROM topics WHERE topic IN ({places})",  # noqa: S608 - only question marks
        values=[f"chat:{channel}" for channel in marks],
        read=marks,
    )


@channels.answers(ChannelsTicket)
def count_unread(ticket: ChannelsTicket, rows: Sequence[tuple[Any, ...]]) -> ChatConversations:
    """Put what was read beside what there is; nobody has written yet where a topic has no row."""
    newest: dict[str, int] = dict(rows)
    states = []
    for channel, mark in ticket.read.items():
        seq = newest.get(f"chat:{channel}", 0)
        states.append(ChannelState(channel=channel, seq=seq, read=mark, unread=max(0, seq - mark)))
    return ChatConversations(channels=states)


def _put(book: ChannelList, channel: str, mark: Mark) -> None:
    if channel not in book.marks and len(book.marks) >= CHANNEL_LIMIT:
        # Marks of channels that never told of themselves have since_ms 0 and so go first.
        del book.marks[min(book.marks, key=lambda name: book.marks[name].since_ms)]
    book.marks[channel] = mark
