"""World channels: open to everyone, in memory only. The game splits a busy world into numbered instances.

Owns the ``world`` slice of ``world:N``, which is never saved. Publishes ephemeral events to ``chat:world:N``.
"""

from msgspec import Struct

from actors.chat.messages import (
    ChatHistory,
    ChatJoin,
    ChatJoined,
    ChatLeave,
    ChatLeft,
    ChatMessage,
    ChatMessages,
    ChatSend,
    ChatSent,
    ChatTyped,
    ChatTyping,
    ChatTypingShown,
    Sender,
    by_channel,
)
from actors.runtime import Context, Feature
from actors.standing import refuse_muted
from protocol import Invalid

RING_LIMIT = 50  # newest lines, shown to those who join
SEEN_LIMIT = 10_000  # members that are counted; nobody is refused, the one who came first is counted no longer


class World(Struct):
    members: dict[str, None] = {}
    """Who has joined or spoken and not left, in that order. Only counted: to read and to speak takes no membership."""
    ring: list[ChatMessage] = []


world = Feature(name="world", actor="world", state=World, transient=("world",))
world.publishes(ChatMessage, ChatTypingShown)


@world.readable("chat:")
def may_read(_here: World, _player: str, _actor: str) -> bool:
    """A world has no walls."""
    return True


@world.handles(ChatJoin, address=by_channel)
def join(ctx: Context, here: World, _msg: ChatJoin) -> ChatJoined:
    """Have the session follow the world, and show it the newest lines.

    Raises:
        Invalid: the channel's name has two colons.
    """
    _refuse_odd_name(ctx)
    _count(here, ctx.caller)
    ctx.follow(f"chat:{ctx.actor}", durable=False)
    return ChatJoined(channel=ctx.actor, recent=list(here.ring), members=len(here.members))


@world.handles(ChatSend, address=by_channel)
def send(ctx: Context, here: World, msg: ChatSend) -> ChatSent:
    """Say a line to those who listen right now.

    Raises:
        Invalid: the channel's name has two colons.
        ChatMuted: the caller may only read.
    """
    _refuse_odd_name(ctx)
    refuse_muted(ctx)
    _count(here, ctx.caller)
    topic = f"chat:{ctx.actor}"
    me = Sender(id=ctx.caller, name=ctx.caller_name)
    line = ChatMessage(topic=topic, at=ctx.now_ms, op=msg.id, sender=me, text=msg.text, data=msg.data)
    here.ring.append(line)
    del here.ring[:-RING_LIMIT]
    ctx.publish(topic, line, ephemeral=True)
    return ChatSent(channel=ctx.actor, at=ctx.now_ms)


@world.handles(ChatLeave, address=by_channel)
def leave(ctx: Context, here: World, _msg: ChatLeave) -> ChatLeft:
    """Hear the world no more."""
    here.members.pop(ctx.caller, None)
    ctx.unfollow(f"chat:{ctx.actor}")
    return ChatLeft(channel=ctx.actor)


@world.handles(ChatTyping, address=by_channel, writes=False)
def show_typing(ctx: Context, _here: World, _msg: ChatTyping) -> ChatTyped:
    """Show the caller as writing, unless it is muted."""
    _refuse_odd_name(ctx)
    refuse_muted(ctx)
    shown = ChatTypingShown(sender=Sender(id=ctx.caller, name=ctx.caller_name))
    ctx.publish(f"chat:{ctx.actor}", shown, ephemeral=True)
    return ChatTyped(channel=ctx.actor)


@world.handles(ChatHistory, address=by_channel, writes=False)
def history(ctx: Context, here: World, msg: ChatHistory) -> ChatMessages:
    """Give the newest lines there are. Without a ``seq``, ``before`` and ``after`` mean nothing here."""
    return ChatMessages(channel=ctx.actor, messages=here.ring[-msg.limit :], more=False)


def _refuse_odd_name(ctx: Context) -> None:
    if ":" in ctx.key:
        raise Invalid(f"{ctx.actor} is no name of a world: it has two colons")


def _count(here: World, player: str) -> None:
    if player in here.members:
        return
    if len(here.members) >= SEEN_LIMIT:
        del here.members[next(iter(here.members))]
    here.members[player] = None
