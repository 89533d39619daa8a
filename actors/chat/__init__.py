"""Chat: conversations of rooms, guilds, two players (dm) and worlds, and each player's list of them.

``chat`` keeps conversations that last, ``world`` those that do not, ``channels`` the list. A room that owns a
membership feeds its conversation with ``add_member`` and ``remove_member``.
"""

from actors.chat.channels import (
    ChannelClosed,
    ChannelOpened,
    ChannelState,
    ChatChannels,
    ChatConversations,
    ChatMarked,
    ChatOpened,
    ChatRead,
    channels,
)
from actors.chat.conversation import MEMBER_LIMIT, Conversation
from actors.chat.messages import (
    ChatErase,
    ChatErased,
    ChatFull,
    ChatHistory,
    ChatJoin,
    ChatJoined,
    ChatLeave,
    ChatLeft,
    ChatMemberLeft,
    ChatMessage,
    ChatMessageDeleted,
    ChatMessages,
    ChatNotAllowed,
    ChatNotMember,
    ChatSend,
    ChatSent,
    ChatTyped,
    ChatTyping,
    ChatTypingShown,
    NoSuchMessage,
    NothingStored,
    Sender,
)
from actors.chat.turns import add_member, chat, remove_member
from actors.chat.world import world

__all__ = [
    "MEMBER_LIMIT",
    "ChannelClosed",
    "ChannelOpened",
    "ChannelState",
    "ChatChannels",
    "ChatConversations",
    "ChatErase",
    "ChatErased",
    "ChatFull",
    "ChatHistory",
    "ChatJoin",
    "ChatJoined",
    "ChatLeave",
    "ChatLeft",
    "ChatMarked",
    "ChatMemberLeft",
    "ChatMessage",
    "ChatMessageDeleted",
    "ChatMessages",
    "ChatNotAllowed",
    "ChatNotMember",
    "ChatOpened",
    "ChatRead",
    "ChatSend",
    "ChatSent",
    "ChatTyped",
    "ChatTyping",
    "ChatTypingShown",
    "Conversation",
    "NoSuchMessage",
    "NothingStored",
    "Sender",
    "add_member",
    "channels",
    "chat",
    "remove_member",
    "world",
]
