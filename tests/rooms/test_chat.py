"""What a conversation promises to those who belong to it, and to those who do not."""

import pytest
from msgspec import to_builtins

from actors.chat import (
    MEMBER_LIMIT,
    ChannelClosed,
    ChannelOpened,
    ChatFull,
    ChatJoin,
    ChatLeave,
    ChatMemberLeft,
    ChatNotAllowed,
    ChatNotMember,
    ChatSend,
    ChatTyping,
    Conversation,
    add_member,
    channels,
    chat,
    remove_member,
    world,
)
from actors.chat.turns import RECENT
from actors.runtime import Blueprint, Context, Feature, Follow, Unfollow
from protocol import Cursor, Event, Invalid, Reply, Request, Tell
from tests.support.room import NOON, Room, tags
from tests.support.talk import join, page, say, texts

RAID = "room:raid"
DM = "dm:ann:bo"
WORLD = "world:1"


def raid(*members: str) -> Room:
    room = Room(chat, actor=RAID)
    for player in members:
        join(room, player)
    return room


def follows(room: Room) -> list[Follow]:
    return room.effects_of(Follow)


class TestARoom:
    def test_exists_by_being_joined(self) -> None:
        room = raid()

        reply = join(room)

        assert (reply.epoch, reply.seq, reply.recent, reply.members) == ("e1", 0, [], 1)
        assert list(room.state.members) == ["ann"]
        assert [f.topic for f in follows(room)] == ["chat:room:raid"]

    def test_shows_who_joins_its_newest_messages_in_order(self) -> None:
        room = raid("ann")
        lines = [str(n) for n in range(RECENT + 5)]
        say(room, *lines)

        reply = join(room, "bo")

        assert texts(reply.recent) == lines[-RECENT:]
        assert (reply.seq, reply.members) == (RECENT + 5, 2)

    def test_shows_only_messages_as_recent(self) -> None:
        room = raid("ann", "bo")
        say(room, "hello")
        room.ask(ChatLeave(id="l", channel=RAID), caller="bo")

        assert texts(join(room, "cy").recent) == ["hello"]

    def test_goes_on_after_a_cursor_instead_of_showing_recent_messages(self) -> None:
        room = raid("ann")
        say(room, "one", "two", "three")

        reply = join(room, after=("e1", 1))

        assert (reply.seq, reply.recent) == (3, [])
        assert follows(room)[-1].after == 1

    @pytest.mark.parametrize("cursor", [("an older epoch", 1), ("e1", 4)])
    def test_starts_afresh_after_a_cursor_that_is_not_of_its_log(self, cursor: Cursor) -> None:
        room = raid("ann")
        say(room, "one", "two", "three")

        reply = join(room, after=cursor)

        assert texts(reply.recent) == ["one", "two", "three"]
        assert follows(room)[-1].after == 3

    def test_costs_no_write_when_a_member_joins_again(self) -> None:
        room = raid("ann")
        room.commit()

        assert join(room).members == 1

        assert room.actor.draft.empty

    def test_refuses_when_it_is_full_but_lets_its_members_back_in(self) -> None:
        room = raid("ann")
        room.state.members.update({f"p{n}": "" for n in range(MEMBER_LIMIT - 1)})

        with pytest.raises(ChatFull):
            join(room, "one too many")

        assert join(room, "ann").members == MEMBER_LIMIT

    def test_has_a_name_without_further_colons(self) -> None:
        with pytest.raises(Invalid):
            join(Room(chat, actor="room:raid:2"))

    def test_is_put_on_the_lists_of_new_members_as_seen_up_to_here(self) -> None:
        room = raid("ann")
        say(room, "one", "two")

        join(room, "bo")
        join(room, "bo")

        assert room.told == [
            ("player:ann", ChannelOpened(channel=RAID, by="ann", read=0)),
            ("player:bo", ChannelOpened(channel=RAID, by="bo", read=2)),
        ]


class TestALine:
    def test_goes_to_the_topic_with_its_sender_and_op(self) -> None:
        room = raid("ann")

        room.ask(ChatSend(id="a1", channel=RAID, text="hi", data={"emote": 3}), name="Ann")

        assert to_builtins(room.published[-1][1]) == {
            "t": "chat.message",
            "topic": "chat:room:raid",
            "seq": 1,
            "at": NOON,
            "op": "a1",
            "from": {"id": "ann", "name": "Ann"},
            "text": "hi",
            "data": {"emote": 3},
        }

    def test_is_answered_with_its_place_and_time(self) -> None:
        room = raid("ann")

        reply = say(room, "one", "two")

        assert (reply.channel, reply.seq, reply.at) == (RAID, 2, NOON)

    def test_appends_one_event_and_does_not_save_the_members(self) -> None:
        room = raid("ann")
        room.commit()

        say(room, "hi")

        write = room.commit()
        assert len(write.events) == 1
        assert not write.slices

    def test_sent_again_under_its_id_is_said_once(self) -> None:
        room = raid("ann")

        first, second = say(room, "hi"), say(room, "hi")

        assert first == second
        assert tags(room.published) == ["chat.message"]

    @pytest.mark.parametrize("message", [ChatSend(id="1", channel=RAID, text="hi"), ChatTyping(id="1", channel=RAID)])
    def test_of_an_outsider_is_refused(self, message: Request[Reply]) -> None:
        room = raid("ann")

        with pytest.raises(ChatNotMember):
            room.ask(message, caller="eve")

        assert not room.published


class TestTyping:
    def test_is_shown_and_not_kept(self) -> None:
        room = raid("ann")
        room.commit()

        room.ask(ChatTyping(id="1", channel=RAID), name="Ann")

        topic, event = room.published[-1]
        shown = {"t": "chat.typing_shown", "topic": topic, "at": NOON, "from": {"id": "ann", "name": "Ann"}}
        assert to_builtins(event) == shown
        assert room.actor.draft.empty


class TestLeaving:
    def test_a_room_ends_the_members_subscriptions_with_the_event_that_says_so(self) -> None:
        room = raid("ann", "bo")

        room.ask(ChatLeave(id="l", channel=RAID), caller="bo")

        write = room.commit()
        assert [(row.seq, row.ends) for row in write.events] == [(1, "bo")]
        assert isinstance(room.published[-1][1], ChatMemberLeft)
        assert room.told[-1] == ("player:bo", ChannelClosed(channel=RAID))
        assert list(room.state.members) == ["ann"]

    def test_a_room_twice_does_no_harm(self) -> None:
        room = raid("ann")
        for n in ("1", "2"):
            room.ask(ChatLeave(id=n, channel=RAID))

        assert tags(room.published) == ["chat.member_left"]

    def test_a_room_ends_the_right_to_speak_and_listen(self) -> None:
        room = raid("ann")
        room.ask(ChatLeave(id="l", channel=RAID))

        with pytest.raises(ChatNotMember):
            say(room, "hi")
        assert not chat.topics["chat:"](room.state, "ann", RAID)

    def test_a_dm_only_stops_this_session_from_following(self) -> None:
        room = Room(chat, actor=DM)
        join(room)

        room.ask(ChatLeave(id="l", channel=DM))

        assert [u.topic for u in room.effects_of(Unfollow)] == ["chat:dm:ann:bo"]
        assert not room.published
        assert say(room, "still here").seq == 1


class TestHistory:
    def test_gives_the_newest_page_first_and_goes_back_from_there(self) -> None:
        room = raid("ann")
        say(room, *"abcde")

        newest = page(room, limit=2)
        assert (texts(newest.messages), newest.more, newest.next_seq) == (["d", "e"], True, 4)
        older = page(room, limit=3, before=newest.next_seq)
        assert (texts(older.messages), older.more, older.next_seq) == (["a", "b", "c"], False, None)

    def test_goes_forward_from_a_place(self) -> None:
        room = raid("ann")
        say(room, *"abcde")

        first = page(room, limit=2, after=1)
        assert (texts(first.messages), first.more, first.next_seq) == (["b", "c"], True, 3)
        rest = page(room, limit=2, after=first.next_seq)
        assert (texts(rest.messages), rest.more) == (["d", "e"], False)

    def test_gives_what_lies_between_two_places(self) -> None:
        room = raid("ann")
        say(room, *"abcde")

        between = page(room, after=1, before=4)

        assert (texts(between.messages), between.more) == (["b", "c"], False)

    def test_leads_past_any_number_of_departures(self) -> None:
        room = raid("ann", *(f"p{n}" for n in range(70)))
        say(room, "first")
        for n in range(70):
            room.ask(ChatLeave(id="l", channel=RAID), caller=f"p{n}")

        newest = page(room, limit=1)
        assert (newest.messages, newest.more) == ([], True)
        older = page(room, limit=1, before=newest.next_seq)
        assert (texts(older.messages), older.more) == (["first"], False)

    def test_of_a_silent_room_is_empty(self) -> None:
        given = page(raid("ann"))

        assert (given.messages, given.more) == ([], False)

    def test_of_a_dm_is_closed_to_others(self) -> None:
        with pytest.raises(ChatNotAllowed):
            page(Room(chat, actor=DM), "eve")

    def test_of_a_room_is_as_open_as_the_room(self) -> None:
        room = raid("ann")
        say(room, "hello")

        assert texts(page(room, "passer-by").messages) == ["hello"]


class TestADirectConversation:
    def test_needs_no_joining_to_speak(self) -> None:
        room = Room(chat, actor=DM)

        assert say(room, "hi").seq == 1

    def test_is_put_on_both_lists_by_its_first_line_only(self) -> None:
        room = Room(chat, actor=DM)

        say(room, "hi", "there", player="bo")

        assert room.told == [
            ("player:ann", ChannelOpened(channel=DM, by="bo", read=0)),
            ("player:bo", ChannelOpened(channel=DM, by="bo", read=1)),
        ]

    def test_keeps_no_state_of_its_own(self) -> None:
        room = Room(chat, actor=DM)

        assert join(room).members == 2

        assert room.actor.draft.empty

    @pytest.mark.parametrize("message", [ChatJoin(id="1", channel=DM), ChatSend(id="1", channel=DM, text="hi")])
    def test_refuses_everybody_else(self, message: Request[Reply]) -> None:
        with pytest.raises(ChatNotAllowed):
            Room(chat, actor=DM).ask(message, caller="eve")

    @pytest.mark.parametrize("channel", ["dm:bo:ann", "dm:ann:ann", "dm:ann"])
    def test_names_two_different_players_in_order(self, channel: str) -> None:
        room = Room(chat, actor=channel)

        with pytest.raises(Invalid):
            join(room)
        with pytest.raises(Invalid):
            say(room, "hi")

    def test_may_be_followed_by_its_two_players(self) -> None:
        may_read = chat.topics["chat:"]

        assert [p for p in ("ann", "bo", "eve") if may_read(Conversation(), p, DM)] == ["ann", "bo"]


class Enter(Tell, tag="test.enter", frozen=True, kw_only=True):
    player: str


class Expel(Tell, tag="test.expel", frozen=True, kw_only=True):
    player: str


keeper: Feature[Conversation] = Feature(name="keeper", actor="guild", state=Conversation)
"""A room that owns a membership, as the guild does."""


@keeper.hears(Enter)
def enter(ctx: Context, _own: Conversation, msg: Enter) -> None:
    add_member(ctx, ctx.use(chat), msg.player, msg.player.title())


@keeper.hears(Expel)
def expel(ctx: Context, _own: Conversation, msg: Expel) -> None:
    remove_member(ctx, ctx.use(chat), msg.player)


class TestAGuild:
    def guild(self) -> Room:
        return Room([chat, keeper], actor="guild:42")

    def test_lets_only_members_in(self) -> None:
        guild = self.guild()
        guild.hear(Enter(player="ann"), sender="player:ann")

        assert join(guild, "ann").members == 1
        with pytest.raises(ChatNotMember):
            join(guild, "eve")
        with pytest.raises(ChatNotMember):
            say(guild, "hi", player="eve")
        with pytest.raises(ChatNotMember):
            page(guild, "eve")

    def test_admits_a_member_once(self) -> None:
        guild = self.guild()
        for _ in range(2):
            guild.hear(Enter(player="ann"), sender="player:ann")

        assert guild.state.members == {"ann": "Ann"}
        assert len(guild.told) == 1

    def test_that_was_never_founded_looks_like_one_without_the_caller(self) -> None:
        with pytest.raises(ChatNotMember):
            join(self.guild())

    def test_ends_the_subscriptions_of_who_is_removed(self) -> None:
        guild = self.guild()
        guild.hear(Enter(player="ann"), sender="player:ann")
        guild.hear(Expel(player="ann"), sender="guild:42")

        write = guild.commit()
        assert [(row.topic, row.ends) for row in write.events] == [("chat:guild:42", "ann")]
        assert [tell for _, tell in guild.told] == [
            ChannelOpened(channel="guild:42", by="ann", read=0),
            ChannelClosed(channel="guild:42"),
        ]
        with pytest.raises(ChatNotMember):
            say(guild, "hi")

    def test_stays_a_members_when_chat_is_left(self) -> None:
        guild = self.guild()
        guild.hear(Enter(player="ann"), sender="player:ann")

        guild.ask(ChatLeave(id="l", channel="guild:42"))

        assert say(guild, "hi").seq == 1


def test_an_empty_room_still_says_where_it_stands_on_the_wire() -> None:
    """Fields that PROTOCOL.md names are there even when they are zero or empty."""
    room = raid("ann")

    joined = to_builtins(join(room))
    assert {"epoch", "seq", "recent", "members"} <= joined.keys()
    assert {"messages", "more"} <= to_builtins(page(room)).keys()


def test_one_request_type_serves_every_kind_of_channel() -> None:
    blueprint = Blueprint([chat, world, channels])

    turns = {kind: blueprint.kinds[kind].turns[ChatSend].feature.name for kind in ("room", "guild", "dm", "world")}

    assert turns == {"room": "chat", "guild": "chat", "dm": "chat", "world": "world"}
    assert blueprint.addresses[ChatSend](ChatSend(id="1", channel=DM, text="hi"), "ann") == DM


def test_events_and_state_agree_on_who_left() -> None:
    """An old view of the members, with the events since, is the fresh view."""
    room = raid("ann", "bo", "cy")
    stale = dict(room.state.members)

    for player in ("cy", "ann"):
        room.ask(ChatLeave(id="l", channel=RAID), caller=player)

    def apply(view: dict[str, str], event: Event) -> None:
        assert isinstance(event, ChatMemberLeft)
        del view[event.player]

    for _, event in room.published:
        apply(stale, event)
    assert stale == room.state.members
