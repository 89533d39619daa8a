"""What is said in conversations (PROTOCOL.md, Chat). One set of types for every kind of channel."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from actors.staff import By
from protocol import ChannelName, Cursor, Event, GuildhallError, Reply, Request, clean

PAGE_LIMIT = 100  # messages in one page of history
TEXT_LIMIT = 2000  # characters of a line, after cleaning

Text = Annotated[str, Meta(min_length=1, max_length=TEXT_LIMIT, extra={"text": clean})]
Seq = Annotated[int, Meta(ge=0, le=2**53)]


class Sender(Struct, frozen=True, kw_only=True):
    """Who wrote a line, under the name of that moment."""

    id: str
    name: str


# Events of ``chat:CHANNEL``.
class ChatMessage(Event, tag="chat.message", frozen=True, kw_only=True):
    """A line, to every member, its sender included; ``op`` is the sender's request id.

    With ``deleted`` it was removed by staff: in replays and history it has no ``data`` any more and an empty ``text``.
    """

    op: str
    sender: Sender = field(name="from")
    text: str
    data: dict[str, Any] | None = None
    deleted: bool = False


class ChatMessageDeleted(Event, tag="chat.message_deleted", frozen=True, kw_only=True):
    """The line with the ``seq`` that ``deleted`` names was removed by staff: nobody is to be shown it any more."""

    deleted: int


class ChatMemberLeft(Event, tag="chat.member_left", frozen=True, kw_only=True):
    """A member is gone and hears nothing after this; ``name`` is the one known at joining."""

    player: str
    name: str


class ChatTypingShown(Event, tag="chat.typing_shown", frozen=True, kw_only=True):
    """Somebody is writing. Ephemeral; clients show it for a few seconds."""

    sender: Sender = field(name="from")


# Requests and their replies.
class ChatJoined(Reply, tag="chat.joined", frozen=True, kw_only=True):
    """From ``seq`` on, or from the cursor that was given, the session hears everything.

    ``recent`` holds the newest messages up to ``seq``, oldest first; it is empty where the missed events follow the
    cursor instead. A ``world:`` channel has no ``epoch`` and no ``seq``.
    """

    channel: str
    epoch: str | None = None
    seq: int | None = None
    recent: list[ChatMessage]
    members: int


class ChatJoin(Request[ChatJoined], tag="chat.join", frozen=True, kw_only=True):
    """Become a member, where that is open to everyone, and follow the channel with this session."""

    channel: ChannelName
    after: Cursor | None = None


class ChatSent(Reply, tag="chat.sent", frozen=True, kw_only=True):
    """The line is safe, and ordered before everything with a higher ``seq``."""

    channel: str
    seq: int | None = None  # none in a ``world:`` channel
    at: int


class ChatSend(Request[ChatSent], tag="chat.send", frozen=True, kw_only=True):
    """Say a line; ``data`` is the game's own and travels unread."""

    channel: ChannelName
    text: Text
    data: dict[str, Any] | None = None


class ChatLeft(Reply, tag="chat.left", frozen=True, kw_only=True):
    channel: str


class ChatLeave(Request[ChatLeft], tag="chat.leave", frozen=True, kw_only=True):
    """A room's or world's member is one no longer; in a guild or dm only this session's subscription ends."""

    channel: ChannelName


class ChatMessages(Reply, tag="chat.messages", frozen=True, kw_only=True):
    """A page of history, oldest first. With ``more``, ``next_seq`` goes on: it is the next page's ``before``, or its
    ``after`` where that was asked for. (A page can hold fewer messages than asked for, even none, and have more.)"""

    channel: str
    messages: list[ChatMessage]
    more: bool
    next_seq: int | None = None


class ChatHistory(Request[ChatMessages], tag="chat.history", frozen=True, kw_only=True):
    """The newest messages before ``before``; with ``after``, the oldest after it."""

    channel: ChannelName
    before: Seq | None = None
    after: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = 50


class ChatTyped(Reply, tag="chat.typed", frozen=True, kw_only=True):
    channel: str


class ChatTyping(Request[ChatTyped], tag="chat.typing", frozen=True, kw_only=True):
    """Show the others that the caller is writing. A client sends it every few seconds at most."""

    channel: ChannelName


class ChatNotMember(GuildhallError):
    """The player is not a member of this channel."""

    code = "chat.not_member"


class ChatNotAllowed(GuildhallError):
    """A direct conversation is open to the two players whom it names, and to nobody else."""

    code = "chat.not_allowed"


class ChatFull(GuildhallError):
    """The channel has as many members as it may have."""

    code = "chat.full"


class NoSuchMessage(GuildhallError):
    """The channel has no such line: there never was one, it is too old to be kept, or it was deleted before."""

    code = "chat.message_not_found"


class NothingStored(GuildhallError):
    """Nothing of this channel is stored, so there is nothing to show or to delete."""

    code = "chat.not_stored"


# What staff asks.
class ChatErased(Reply, tag="chat.erased", frozen=True, kw_only=True):
    channel: str
    deleted: int


class ChatErase(Request[ChatErased], tag="chat.erase", frozen=True, kw_only=True):
    """Remove a line. ``line`` is what the log holds under its ``seq``, read by who asks: a turn reads no log."""

    channel: ChannelName
    line: ChatMessage
    by: By


def by_channel(request: ChatJoin | ChatSend | ChatLeave | ChatHistory | ChatTyping | ChatErase, _caller: str) -> str:
    """A channel's name is its actor's address."""
    return request.channel
