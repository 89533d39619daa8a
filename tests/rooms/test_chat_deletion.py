"""Staff deletes a line: the log holds it emptied, and a client that shows it is told, in the order of the channel."""

from typing import Any

import pytest
from msgspec import structs

from actors.chat import (
    ChatErase,
    ChatJoin,
    ChatMessage,
    ChatMessageDeleted,
    ChatSend,
    NoSuchMessage,
    channels,
    chat,
)
from actors.runtime.context import Keep, Redact
from actors.staff import By
from tests.support.room import NOON, Room

BY = By(key="k1", name="Ann Ops", address="203.0.113.9", op="op-1", digest=b"d" * 32)
TOPIC = "chat:room:lobby"


def lobby(*lines: str) -> Room:
    room = Room([chat, channels], actor="room:lobby", caller="ann", name="Ann")
    room.ask(ChatJoin(id="j", channel="room:lobby"))
    for n, text in enumerate(lines, 1):
        room.ask(ChatSend(id=f"s{n}", channel="room:lobby", text=text, data={"n": n}))
    return room


def line(room: Room, seq: int) -> Any:
    return next(event for _, event in room.published if event.seq == seq)


def delete(room: Room, wanted: ChatMessage) -> Any:
    return room.ask(ChatErase(id="d", channel="room:lobby", line=wanted, by=BY), caller="~server")


def test_the_line_is_emptied_and_its_readers_are_told() -> None:
    room = lobby("one", "rude")
    rude = line(room, 2)

    assert delete(room, rude).deleted == 2

    [redacted] = room.effects_of(Redact)
    assert (redacted.topic, redacted.seq) == (TOPIC, 2)
    assert redacted.event == structs.replace(rude, text="", data=None, deleted=True)
    assert room.published[-1] == (TOPIC, ChatMessageDeleted(topic=TOPIC, seq=3, at=NOON, deleted=2))
    assert "rude" not in repr(room.published[-1])


def test_the_audit_keeps_what_was_said() -> None:
    room = lobby("rude")
    delete(room, line(room, 1))
    [row] = [effect.record for effect in room.effects_of(Keep)]

    assert (row.values["action"], row.values["target"]) == ("chat.message_deleted", "room:lobby#1")
    assert '"text":"rude"' in row.values["old_value"]


@pytest.mark.parametrize(
    "change",
    [{"seq": 9}, {"seq": 0}, {"seq": None}, {"topic": "chat:room:other"}, {"deleted": True}],
    ids=str,
)
def test_what_is_no_line_of_the_channel_is_refused(change: dict[str, Any]) -> None:
    room = lobby("one")
    before = len(room.effects)

    with pytest.raises(NoSuchMessage):
        delete(room, structs.replace(line(room, 1), **change))

    assert len(room.effects) == before
