"""The slice of a conversation and who belongs to it: pure rules, no effects."""

from msgspec import Struct

from actors.chat.messages import ChatFull, ChatNotAllowed, ChatNotMember
from protocol import Invalid

MEMBER_LIMIT = 5_000  # members of a room; a full one refuses


class Conversation(Struct):
    """Members of a room or guild. Those of a dm stand in its address, so that it keeps nothing at all."""

    members: dict[str, str] = {}
    """Player id to the display name at joining."""


def dm_players(actor: str) -> tuple[str, ...]:
    """The two players of ``dm:A:B``; nobody where the ids are not two, different and sorted, or for other kinds."""
    kind, _, key = actor.partition(":")
    if kind != "dm":
        return ()
    first, _, second = key.partition(":")
    return (first, second) if first < second else ()


def belongs(talk: Conversation, player: str, actor: str) -> bool:
    """Whether ``player`` may speak and listen."""
    return player in talk.members or player in dm_players(actor)


def member_count(talk: Conversation, actor: str) -> int:
    """How many belong."""
    return len(talk.members) or len(dm_players(actor))


def refuse_outsider(talk: Conversation, player: str, actor: str) -> None:
    """Return for one who belongs.

    Raises:
        Invalid: a dm's name is not two different, sorted ids.
        ChatNotAllowed: the dm is between others.
        ChatNotMember: the player has not joined, or is not in the guild, which may not even exist.
    """
    if belongs(talk, player, actor):
        return
    if actor.startswith("dm:"):
        if not dm_players(actor):
            raise Invalid(f"{actor} does not name two different players, in sorted order")
        raise ChatNotAllowed(f"{actor} is not {player}'s conversation")
    raise ChatNotMember(f"{player} is not a member of {actor}")


def refuse_to_show(talk: Conversation, player: str, actor: str) -> None:
    """Return for one who belongs or could join: a room's history is as open as the room.

    Raises:
        Invalid: the channel's name is not one of its kind.
        ChatNotAllowed: the dm is between others.
        ChatNotMember: the guild has no such member.
    """
    if not actor.startswith("room:"):
        refuse_outsider(talk, player, actor)
    elif ":" in actor.removeprefix("room:"):
        raise Invalid(f"{actor} is no name of a room: it has two colons")


def refuse_to_admit(talk: Conversation, player: str, actor: str) -> None:
    """Return for one who belongs or may become a member.

    Raises:
        Invalid, ChatNotAllowed, ChatNotMember: as in ``refuse_to_show``.
        ChatFull: the room has ``MEMBER_LIMIT`` members.
    """
    refuse_to_show(talk, player, actor)
    if len(talk.members) >= MEMBER_LIMIT and actor.startswith("room:") and player not in talk.members:
        raise ChatFull(f"{actor} has {MEMBER_LIMIT} members")
