"""What a world channel promises: everybody is heard, nothing is kept."""

import pytest
from msgspec import to_builtins

from actors.chat import ChatLeave, ChatTyping, world
from actors.chat.world import RING_LIMIT, SEEN_LIMIT
from actors.runtime import Follow, Unfollow
from protocol import Invalid
from tests.support.room import NOON, Room, tags
from tests.support.talk import join, page, say, texts

WORLD = "world:1"


def here() -> Room:
    return Room(world, actor=WORLD)


def test_hears_whoever_speaks_and_keeps_nothing() -> None:
    room = here()

    reply = say(room, "hi")

    assert to_builtins(reply) == {"t": "chat.sent", "re": "ann hi", "channel": WORLD, "at": NOON}
    event = to_builtins(room.published[-1][1])
    assert event["topic"] == "chat:world:1"
    assert "seq" not in event
    assert room.actor.draft.empty


def test_shows_who_joins_the_newest_lines() -> None:
    room = here()
    lines = [str(n) for n in range(RING_LIMIT + 3)]
    say(room, *lines)

    reply = to_builtins(join(room, "bo"))

    assert [line["text"] for line in reply["recent"]] == lines[-RING_LIMIT:]
    assert reply["recent"][0]["topic"] == "chat:world:1"
    assert reply["recent"][0]["at"] == NOON
    assert reply["members"] == 2
    assert "seq" not in reply
    assert not room.effects_of(Follow)[-1].durable


def test_answers_history_from_what_it_remembers() -> None:
    room = here()
    say(room, "a", "b", "c")

    given = page(room, limit=2)

    assert (texts(given.messages), given.more) == (["b", "c"], False)


def test_counts_no_longer_who_leaves() -> None:
    room = here()
    join(room, "ann")
    room.ask(ChatLeave(id="l", channel=WORLD))

    assert [u.topic for u in room.effects_of(Unfollow)] == ["chat:world:1"]
    assert join(room, "bo").members == 1


def test_counts_up_to_a_bound_and_refuses_nobody() -> None:
    room = here()
    room.state.members.update({f"p{n}": None for n in range(SEEN_LIMIT)})

    assert join(room, "ann").members == SEEN_LIMIT

    assert "ann" in room.state.members
    assert "p0" not in room.state.members


def test_shows_who_is_typing() -> None:
    room = here()

    room.ask(ChatTyping(id="1", channel=WORLD))

    assert tags(room.published) == ["chat.typing_shown"]


def test_has_a_name_without_further_colons() -> None:
    room = Room(world, actor="world:1:2")
    with pytest.raises(Invalid):
        join(room)
    with pytest.raises(Invalid):
        say(room, "hi")
