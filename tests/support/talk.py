"""Speaking in a conversation under test, and reading its log the way that storage would."""

from collections.abc import Sequence
from typing import Any

from actors.chat import ChatHistory, ChatJoin, ChatMessage, ChatSend
from actors.runtime import EventTicket
from protocol import Cursor
from tests.support.room import Room


def join(room: Room, player: str = "ann", after: Cursor | None = None) -> Any:
    return redeem(room, room.ask(ChatJoin(id=f"join {player}", channel=room.actor.address, after=after), caller=player))


def say(room: Room, *texts: str, player: str = "ann") -> Any:
    reply = None
    for text in texts:
        reply = room.ask(ChatSend(id=f"{player} {text}", channel=room.actor.address, text=text), caller=player)
    return reply


def page(room: Room, player: str = "ann", **asked: Any) -> Any:
    return redeem(room, room.ask(ChatHistory(id="h", channel=room.actor.address, **asked), caller=player))


def redeem(room: Room, given: Any) -> Any:
    """The reply that a ticket leads to, read from the log of all that the room has published."""
    if not isinstance(given, EventTicket):
        return given
    span = given.span
    end = span.before or float("inf")
    found = [e for topic, e in room.published if topic == span.topic and e.seq and span.after < e.seq < end]
    return room.features[0].queries[type(given)](given, found[-span.limit :] if span.newest else found[: span.limit])


def texts(messages: Sequence[ChatMessage]) -> list[str]:
    return [line.text for line in messages]
