"""What a player's list of conversations promises."""

import pytest

from actors.chat import (
    ChannelClosed,
    ChannelOpened,
    ChannelState,
    ChatChannels,
    ChatOpened,
    ChatRead,
    channels,
)
from actors.chat.channels import CHANNEL_LIMIT
from actors.runtime import RowTicket
from protocol import Invalid
from tests.support.room import Room

RAID = "room:raid"
DM = "dm:ann:bo"


def listed() -> Room:
    return Room(channels, actor="player:ann")


def states(player: Room, rows: list[tuple[str, int]]) -> list[ChannelState]:
    ticket = player.ask(ChatChannels(id="list"))
    assert isinstance(ticket, RowTicket)
    assert ticket.sql.count("?") == len(ticket.values)
    return list(channels.queries[type(ticket)](ticket, rows).channels)  # type: ignore[attr-defined]


def test_the_list_is_empty_at_first() -> None:
    assert listed().ask(ChatChannels(id="1")).channels == []


def test_the_list_counts_what_is_unread() -> None:
    ann = listed()
    ann.hear(ChannelOpened(channel=RAID, by="ann", read=3), sender=RAID)
    ann.hear(ChannelOpened(channel=DM, by="ann", read=0), sender=DM)

    assert states(ann, [("chat:room:raid", 10)]) == [
        ChannelState(channel=RAID, seq=10, read=3, unread=7),
        ChannelState(channel=DM, seq=0, read=0, unread=0),
    ]


def test_marks_never_go_back() -> None:
    ann = listed()
    ann.hear(ChannelOpened(channel=RAID, by="ann", read=3), sender=RAID)

    marks = [ann.ask(ChatRead(id=f"r{seq}", channel=RAID, seq=seq)).seq for seq in (2, 8, 5)]

    assert marks == [3, 8, 8]


def test_a_mark_is_kept_that_comes_before_the_tell_of_the_join() -> None:
    ann = listed()
    ann.ask(ChatRead(id="r", channel=RAID, seq=5))
    assert ann.ask(ChatChannels(id="1")).channels == []

    ann.hear(ChannelOpened(channel=RAID, by="ann", read=4), sender=RAID)

    assert states(ann, [("chat:room:raid", 6)]) == [ChannelState(channel=RAID, seq=6, read=5, unread=1)]


def test_worlds_have_no_marks() -> None:
    with pytest.raises(Invalid):
        listed().ask(ChatRead(id="r", channel="world:1", seq=1))


def test_the_list_tells_the_player_of_conversations_that_another_began() -> None:
    ann = listed()

    ann.hear(ChannelOpened(channel=DM, by="bo", read=0), sender=DM)
    ann.hear(ChannelOpened(channel=RAID, by="ann", read=0), sender=RAID)

    (topic, event), *others = ann.published
    assert topic == "player:ann"
    assert isinstance(event, ChatOpened)
    assert (event.channel, event.by) == (DM, "bo")
    assert not others


def test_the_list_drops_what_the_player_no_longer_belongs_to() -> None:
    ann = listed()
    ann.hear(ChannelOpened(channel=RAID, by="ann", read=0), sender=RAID)
    ann.hear(ChannelClosed(channel=RAID), sender=RAID)

    assert ann.ask(ChatChannels(id="1")).channels == []


def test_the_list_is_bounded_and_loses_the_oldest_but_stray_marks_first() -> None:
    ann = listed()
    for n in range(CHANNEL_LIMIT - 1):
        ann.hear(ChannelOpened(channel=f"room:{n}", by="ann", read=0), sender=f"room:{n}")
        ann.pass_time(1)
    ann.ask(ChatRead(id="stray", channel="room:nowhere", seq=1))

    ann.hear(ChannelOpened(channel="room:x", by="ann", read=0), sender="room:x")
    assert "room:nowhere" not in ann.state.marks
    ann.hear(ChannelOpened(channel="room:y", by="ann", read=0), sender="room:y")
    assert "room:0" not in ann.state.marks
    assert len(ann.state.marks) == CHANNEL_LIMIT
