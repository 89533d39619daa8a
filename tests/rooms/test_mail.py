"""What the inbox promises: one order, each notice once, and a count that is right whatever else the topic carries."""

from random import Random

import pytest
from msgspec import to_builtins

from actors.mail import (
    BODY_LIMIT,
    KEPT,
    KEPT_FOR_MS,
    READ_LIMIT,
    TITLE_LIMIT,
    InboxRead,
    InboxSeen,
    MailGreeting,
    ReadAhead,
    tell_player,
)
from actors.runtime import Context
from storage import Snapshot
from tests.rooms.inbox import TOPIC, bo, chatter, deliver, greeting, noise, page, read, send, titles, told
from tests.support.room import NOON, tags


class TestANotice:
    def test_is_an_event_of_the_players_topic(self) -> None:
        room = bo()

        send(room, "Invitation", body="Come in", data={"guild": "42"}, expires_ms=NOON + 5)

        [(topic, event)] = room.published
        assert (topic, to_builtins(event)) == (
            TOPIC,
            {
                "t": "inbox.notice",
                "topic": TOPIC,
                "seq": 1,
                "at": NOON,
                "kind": "test.hello",
                "title": "Invitation",
                "body": "Come in",
                "data": {"guild": "42"},
                "expires_at": NOON + 5,
            },
        )

    def test_has_a_body_even_if_it_is_empty_and_nothing_else_that_was_not_given(self) -> None:
        room = bo()

        send(room, "Hello")

        shown = to_builtins(room.published[0][1])
        assert shown.keys() == {"t", "topic", "seq", "at", "kind", "title", "body"}

    def test_told_twice_over_comes_once(self) -> None:
        room = bo()
        for _ in range(2):
            room.hear(told(), sender="guild:42", number=1)

        assert tags(room.published) == ["inbox.notice"]
        assert greeting(room).unread == 1

    def test_that_expires_on_its_way_costs_nothing(self) -> None:
        room = bo()
        room.commit()

        send(room, "late", expires_ms=NOON)

        assert not room.published
        assert not room.commit().slices

    def test_of_another_room_is_told_with_its_texts_cut_to_their_bounds(self) -> None:
        ctx = Context("guild:42", bo().actor, Random(1))

        tell_player(ctx, "bo", kind="guild.kicked", title="t" * 200, body="b" * 3000, data={"by": "ann"})

        expected = told("t" * TITLE_LIMIT, kind="guild.kicked", body="b" * BODY_LIMIT, data={"by": "ann"})
        assert [(e.to, e.message) for e in ctx.effects] == [(TOPIC, expected)]  # type: ignore[union-attr]


class TestTheList:
    def test_is_empty_at_first(self) -> None:
        assert to_builtins(page(bo())) == {"t": "inbox.page", "notices": [], "unread": 0, "more": False}

    def test_gives_the_newest_first_page_and_goes_back_from_there(self) -> None:
        room = bo()
        send(room, *"abcde")

        newest = page(room, limit=2)
        assert (titles(newest), newest.more, newest.unread) == (["d", "e"], True, 5)
        older = page(room, limit=3, before=newest.notices[0].seq)
        assert (titles(older), older.more, older.unread) == (["a", "b", "c"], False, 5)
        assert titles(page(room, before=1)) == []

    def test_holds_no_events_of_other_rooms(self) -> None:
        room = bo()
        for title in "abc":
            chatter(room, 20)
            send(room, title)

        given = page(room, limit=2)
        assert (titles(given), given.more) == (["b", "c"], True)

    def test_leads_past_any_number_of_other_events(self) -> None:
        """A page that would have the log read too far back is shorter, and there is more."""
        room = bo()
        for title in "abc":
            send(room, title)
            chatter(room, 400)

        newest = page(room)
        assert (titles(newest), newest.more) == (["b", "c"], True)
        older = page(room, before=newest.notices[0].seq)
        assert (titles(older), older.more) == (["a"], False)

    def test_is_read_from_a_bounded_stretch_of_the_log(self) -> None:
        room = bo()
        send(room, "a")
        chatter(room, READ_LIMIT - 1)
        send(room, "b")

        newest = page(room)
        assert (titles(newest), newest.more) == (["b"], True)
        older = page(room, before=newest.notices[0].seq)
        assert (titles(older), older.more) == (["a"], False)

    def test_shows_nothing_that_has_expired(self) -> None:
        room = bo()
        send(room, "short", expires_ms=NOON + 10)
        send(room, "long")
        room.now_ms += 10

        assert (titles(page(room)), page(room).unread) == (["long"], 1)

    def test_costs_no_write(self) -> None:
        room = bo()
        send(room, "a")
        room.commit()

        page(room)

        assert room.actor.draft.empty


class TestTheMark:
    def test_counts_down_what_is_unread_and_the_welcome_says_so(self) -> None:
        room = bo()
        send(room, *"abc")

        assert greeting(room) == MailGreeting(unread=3, read=0)
        assert to_builtins(room.ask(InboxRead(id="r", upto=2))) == {"t": "inbox.marked", "re": "r", "unread": 1}
        assert greeting(room) == MailGreeting(unread=1, read=2)
        assert page(room).unread == 1

    def test_reaches_the_players_other_devices(self) -> None:
        room = bo()
        send(room, *"abc")

        read(room, 2)

        assert room.published[-1] == (TOPIC, InboxSeen(topic=TOPIC, seq=4, at=NOON, upto=2, unread=1))

    def test_never_goes_back(self) -> None:
        room = bo()
        send(room, *"abc")
        read(room, 3)
        room.commit()

        assert read(room, 1) == 0

        assert room.state.read == 3
        assert tags(room.published).count("inbox.seen") == 1
        assert not room.commit().slices

    def test_may_stand_at_an_event_of_another_room(self) -> None:
        room = bo()
        send(room, "a")
        chatter(room)
        send(room, "b")

        assert read(room, 2) == 1

    def test_beyond_the_newest_event_is_refused(self) -> None:
        room = bo()
        send(room, "a")

        with pytest.raises(ReadAhead) as refusal:
            read(room, 2)

        assert (refusal.value.code, refusal.value.retry) == ("inbox.read_ahead", "never")
        assert room.state.read == 0

    def test_set_again_under_its_id_is_set_once(self) -> None:
        room = bo()
        send(room, *"ab")
        replies = []
        for _ in range(2):
            replies.append(room.ask(InboxRead(id="same", upto=1)))
            send(room, "more")

        assert replies[0] == replies[1]
        assert tags(room.published).count("inbox.seen") == 1


class TestWhatStands:
    def test_is_bounded_in_number_and_the_oldest_gives_way(self) -> None:
        room = bo()
        send(room, *map(str, range(KEPT + 3)))

        assert greeting(room).unread == KEPT
        oldest = page(room, before=5)
        assert (titles(oldest), oldest.more) == (["3"], False)

    def test_is_bounded_in_age_without_anybody_doing_anything(self) -> None:
        room = bo()
        send(room, "old")
        room.now_ms += 1
        send(room, "new")
        room.now_ms = NOON + KEPT_FOR_MS

        assert greeting(room).unread == 1
        assert titles(page(room)) == ["new"]

    def test_does_not_outlive_its_age_for_a_later_expiry(self) -> None:
        room = bo()
        send(room, "old", expires_ms=NOON + 2 * KEPT_FOR_MS)
        room.now_ms += KEPT_FOR_MS

        assert greeting(room).unread == 0

    def test_is_what_the_log_still_holds(self) -> None:
        """Where other rooms have filled the log, a notice that was cut with it is not counted either."""
        room = bo()
        send(room, "a")
        chatter(room, noise.keep_events + 100)
        send(room, "b")

        assert room.actor.position_of(TOPIC).floor > 1
        assert greeting(room).unread == 1
        assert (titles(page(room)), page(room).more) == (["b"], False)

    def test_is_the_same_after_the_actor_was_loaded_again(self) -> None:
        room = bo()
        send(room, *"abc")
        delivered = deliver(room)
        read(room, 1)
        write = room.commit()

        again = bo(Snapshot(actor=TOPIC, fence=2, version=1, told=0, slices=write.slices, topics=write.topics))

        assert greeting(again) == MailGreeting(unread=3, read=1)
        assert deliver(again) == delivered
