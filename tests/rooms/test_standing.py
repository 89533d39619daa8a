"""Standing: what the sign-in and the chat look at; who changes it is in test_moderation.py."""

import pytest

from actors.chat import ChatJoin, ChatSend, ChatTyping, channels, chat
from actors.runtime import Caller
from actors.standing import FOR_EVER_MS, ChatMuted, StandingGreeting, standing
from tests.support.room import NOON, Room


@pytest.mark.parametrize(("end", "shown"), [(0, 0), (NOON + 1, NOON + 1), (FOR_EVER_MS, FOR_EVER_MS)])
def test_the_welcome_says_until_when_the_player_may_not_chat(end: int, shown: int) -> None:
    room = Room(standing, actor="player:bo", caller="bo")
    room.actor.context.now_ms = NOON
    room.state.muted_until_ms = end

    assert room.actor.greetings()["standing"] == StandingGreeting(muted_until=shown)


@pytest.mark.parametrize(("until", "muted"), [(0, False), (NOON, False), (NOON + 1, True), (FOR_EVER_MS, True)])
def test_who_is_muted_reads_and_does_not_write(until: int, *, muted: bool) -> None:
    room = Room([chat, channels], actor="room:lobby", caller="bo")
    caller = Caller("bo", "Bo", room.session, until)
    room.actor.ask(ChatJoin(id="j", channel="room:lobby"), caller, NOON)
    for request in (ChatSend(id="s", channel="room:lobby", text="hello"), ChatTyping(id="t", channel="room:lobby")):
        if muted:
            with pytest.raises(ChatMuted):
                room.actor.ask(request, caller, NOON)
        else:
            room.actor.ask(request, caller, NOON)
