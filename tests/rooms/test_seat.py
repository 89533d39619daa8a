"""What a player's seat promises: one guild at most, and every request answered when the guild has decided."""

from typing import Any

import pytest

from actors.guild import (
    RECEIVED_LIMIT,
    REFUSALS,
    Admit,
    Admitted,
    AlreadyMember,
    GuildCreate,
    GuildCreated,
    GuildFind,
    GuildFound,
    GuildInvited,
    GuildInvites,
    GuildJoin,
    GuildJoined,
    GuildLeave,
    GuildLeft,
    GuildNotFound,
    GuildRejectInvite,
    Invited,
    InviteGone,
    InviteRejected,
    InviteWithdrawn,
    JoinPending,
    LeavePending,
    NameNotAllowed,
    NoInvite,
    NotAdmitted,
    NotMember,
    Open,
    Resign,
    SeatChanged,
    SeatDeclined,
    SeatOffered,
    Vacated,
    seat,
)
from actors.guild.seat import NameTicket, SeatGreeting
from actors.runtime import Deferred, OpRef
from actors.runtime.context import AnswerOp
from protocol import Tell
from tests.rooms.guild_hall import opening
from tests.support.room import NOON, Room

LATER = NOON + 1000


def ann() -> Room:
    """Ann's actor; guilds tell it under ``guild:42`` and others."""
    return Room(seat, actor="player:ann", caller="ann", name="Ann")


def seated() -> Room:
    """Ann, a member of guild 42 by her first attempt."""
    room = ann()
    room.ask(GuildJoin(id="joined", guild="42"))
    tell(room, Admitted(attempt=1, name="Wolves"))
    return room


def tell(room: Room, message: Tell, guild: str = "42") -> list[tuple[str, Tell]]:
    """What comes of a tell of the guild."""
    before = len(room.told)
    room.hear(message, sender=f"guild:{guild}")
    return room.told[before:]


def answers(room: Room) -> list[Any]:
    """(op, reply or refusal) of every op that was answered late."""
    return [(effect.ref.op, effect.reply) for effect in room.effects_of(AnswerOp)]


def own_events(room: Room) -> list[Any]:
    assert all(topic == "player:ann" for topic, _ in room.published)
    return [event for _, event in room.published]


def invite(expires_ms: int = LATER, made_ms: int = NOON) -> Invited:
    return Invited(name="Wolves", by="bo", made_ms=made_ms, expires_ms=expires_ms)


class TestJoining:
    def test_reserves_the_seat_and_asks_the_guild(self) -> None:
        room = ann()

        reply = room.ask(GuildJoin(id="j1", guild="42"))

        assert isinstance(reply, Deferred)
        assert room.told == [("guild:42", Admit(attempt=1, player_name="Ann"))]
        assert (room.state.joining.guild, room.state.joining.op) == ("42", OpRef("ann", "j1"))
        assert room.state.guild is None

    def test_is_answered_when_the_guild_has_admitted(self) -> None:
        room = seated()

        assert room.state.guild == "42"
        assert room.state.joining is None
        assert answers(room) == [("joined", GuildJoined(re="joined", guild="42", name="Wolves"))]
        assert [(e.guild, e.left) for e in own_events(room)] == [("42", None)]

    @pytest.mark.parametrize("why", REFUSALS)
    def test_is_answered_with_the_guilds_refusal_and_the_seat_is_free_again(self, why: Any) -> None:
        room = ann()
        room.ask(GuildJoin(id="j1", guild="42"))

        tell(room, NotAdmitted(attempt=1, why=why))

        [(op, refusal)] = answers(room)
        assert (op, type(refusal)) == ("j1", REFUSALS[why])
        room.ask(GuildJoin(id="j2", guild="7"))

    def test_two_guilds_at_once_asks_only_the_first(self) -> None:
        room = ann()
        room.ask(GuildJoin(id="j1", guild="42"))

        with pytest.raises(JoinPending) as refusal:
            room.ask(GuildJoin(id="j2", guild="7"))

        assert refusal.value.retry == "later"
        assert refusal.value.retry_after_ms
        assert len(room.told) == 1

    @pytest.mark.parametrize("guild", ["42", "7"])
    def test_is_refused_to_one_who_has_a_seat_there_or_elsewhere(self, guild: str) -> None:
        room = seated()

        with pytest.raises(AlreadyMember):
            room.ask(GuildJoin(id="j2", guild=guild))
        with pytest.raises(AlreadyMember):
            room.ask(GuildCreate(id="c2", name="Bears"))

    def test_the_same_request_again_waits_with_the_first_and_then_gets_its_reply(self) -> None:
        room = ann()
        request = GuildJoin(id="j1", guild="42")
        room.ask(request)
        assert isinstance(room.ask(request), Deferred)
        assert len(room.told) == 1

        tell(room, Admitted(attempt=1, name="Wolves"))

        assert room.ask(request) == GuildJoined(re="j1", guild="42", name="Wolves")

    def test_a_seat_that_is_not_waited_for_is_given_back(self) -> None:
        room = ann()

        assert tell(room, Admitted(attempt=9, name="Wolves")) == [("guild:42", Resign(stint=9))]
        assert room.state.guild is None

    def test_to_be_told_twice_seats_once(self) -> None:
        room = seated()

        assert tell(room, Admitted(attempt=1, name="Wolves")) == []
        assert len(own_events(room)) == 1

    def test_a_refusal_of_an_earlier_attempt_does_not_end_the_present_one(self) -> None:
        room = ann()
        room.ask(GuildJoin(id="j1", guild="42"))
        tell(room, NotAdmitted(attempt=1, why="full"))
        room.ask(GuildJoin(id="j2", guild="42"))

        tell(room, NotAdmitted(attempt=1, why="full"))

        assert room.state.joining.op == OpRef("ann", "j2")


class TestCreating:
    def test_founds_under_a_new_id_and_is_answered_when_that_is_done(self) -> None:
        room = ann()
        room.ask(GuildCreate(id="c1", name="Iron Wolves", tag="IW", description="We howl."))
        [(to, asked)] = room.told
        assert asked == opening()

        tell(room, Admitted(attempt=1, name="Iron Wolves"), guild=to.removeprefix("guild:"))

        new = to.removeprefix("guild:")
        assert answers(room) == [("c1", GuildCreated(re="c1", guild=new, name="Iron Wolves"))]
        assert room.state.guild == new

    def test_a_taken_name_frees_the_seat(self) -> None:
        room = ann()
        room.ask(GuildCreate(id="c1", name="Wolves"))
        [(to, _)] = room.told

        tell(room, NotAdmitted(attempt=1, why="name_taken"), guild=to.removeprefix("guild:"))

        assert [(op, refusal.code) for op, refusal in answers(room)] == [("c1", "guild.name_taken")]
        assert room.state.joining is None

    @pytest.mark.parametrize(
        "name",
        [
            "ab",
            "x" * 25,
            "...",
            "Wolves\n",
            " Wolves",
            "A  B",
            "admin",
            "G-U-I-L-D H.A.L.L",
            "\u0455\u0443\u0455t\u0435m",
            "\U0001d538dmin",
            "Adm1n",
        ],
    )
    def test_a_name_that_is_not_fit_is_refused_at_once(self, name: str) -> None:
        room = ann()

        with pytest.raises(NameNotAllowed):
            room.ask(GuildCreate(id="c1", name=name))
        assert room.told == []

    @pytest.mark.parametrize("name", ["Abc", "Ö'Brien's 5", "龍の巣窟", "Администрация", "Admins United", "x" * 24])
    def test_names_of_all_languages_are_fit(self, name: str) -> None:
        room = ann()

        room.ask(GuildCreate(id="c1", name=name))

        assert isinstance(room.told[0][1], Open)


class TestLeaving:
    def test_waits_for_the_guild_and_then_frees_the_seat(self) -> None:
        room = seated()

        assert isinstance(room.ask(GuildLeave(id="l1")), Deferred)
        assert room.told[-1] == ("guild:42", Resign(stint=1))
        assert room.state.guild == "42"
        tell(room, Vacated(stint=1, reason="left"))

        assert room.state.guild is None
        assert answers(room)[-1] == ("l1", GuildLeft(re="l1", guild="42"))
        last = own_events(room)[-1]
        assert (last.guild, last.left, last.reason) == (None, "42", "left")

    def test_needs_a_seat(self) -> None:
        room = ann()
        with pytest.raises(NotMember):
            room.ask(GuildLeave(id="l1"))

        room.ask(GuildJoin(id="j1", guild="42"))
        with pytest.raises(JoinPending):
            room.ask(GuildLeave(id="l2"))

    def test_nothing_else_begins_before_it_is_done(self) -> None:
        room = seated()
        room.ask(GuildLeave(id="l1"))

        for request in (GuildLeave(id="l2"), GuildJoin(id="j2", guild="42"), GuildCreate(id="c2", name="Bears")):
            with pytest.raises(LeavePending):
                room.ask(request)

    def test_a_kick_that_crosses_it_has_the_same_end(self) -> None:
        room = seated()
        room.ask(GuildLeave(id="l1"))

        tell(room, Vacated(stint=1, reason="kicked"))
        tell(room, Vacated(stint=1, reason="left"))  # the guild's word on the leave

        assert room.state.leaving is None
        assert answers(room)[-1] == ("l1", GuildLeft(re="l1", guild="42"))
        assert [e.guild for e in own_events(room)] == ["42", None]

    def test_a_late_word_about_an_earlier_stay_frees_nothing(self) -> None:
        room = seated()
        tell(room, Vacated(stint=1, reason="kicked"))
        room.ask(GuildJoin(id="j2", guild="42"))
        tell(room, Admitted(attempt=2, name="Wolves"))

        tell(room, Vacated(stint=1, reason="left"))

        assert room.state.guild == "42"

    def test_a_kicked_player_is_told_why_on_the_own_topic(self) -> None:
        room = seated()

        tell(room, Vacated(stint=1, reason="banned"))

        assert own_events(room)[-1].reason == "banned"
        assert room.state.guild is None


class TestOffers:
    def test_are_taken_by_the_way_of_any_join(self) -> None:
        room = ann()

        assert tell(room, SeatOffered()) == [("guild:42", Admit(attempt=1))]
        tell(room, Admitted(attempt=1, name="Wolves"))

        assert room.state.guild == "42"
        assert answers(room) == []

    def test_are_declined_by_one_who_has_a_seat(self) -> None:
        assert tell(seated(), SeatOffered(), guild="7") == [("guild:7", SeatDeclined())]

    def test_are_declined_while_another_join_is_under_way(self) -> None:
        room = ann()
        room.ask(GuildJoin(id="j1", guild="7"))

        assert tell(room, SeatOffered()) == [("guild:42", SeatDeclined())]
        assert room.state.joining.guild == "7"

    def test_leave_the_seat_free_when_the_guild_has_filled_meanwhile(self) -> None:
        room = ann()
        tell(room, SeatOffered())

        tell(room, NotAdmitted(attempt=1, why="full"))

        assert room.state.joining is None
        assert own_events(room) == []


class TestInvitations:
    def test_are_listed_until_they_expire(self) -> None:
        room = ann()
        tell(room, invite())

        [listed] = room.ask(GuildInvites(id="i1")).invites
        assert (listed.guild, listed.name, listed.by, listed.expires_at) == ("42", "Wolves", "bo", LATER)
        room.now_ms = LATER
        assert room.ask(GuildInvites(id="i2")).invites == []
        with pytest.raises(NoInvite):
            room.ask(GuildRejectInvite(id="r1", guild="42"))

    def test_are_announced_on_the_players_own_topic(self) -> None:
        room = ann()
        tell(room, invite())

        [event] = own_events(room)
        assert isinstance(event, GuildInvited)
        assert (event.guild, event.name, event.by, event.expires_at) == ("42", "Wolves", "bo", LATER)

    def test_a_rejected_one_is_gone_and_the_guild_knows_which(self) -> None:
        room = ann()
        tell(room, invite(made_ms=NOON - 5))

        room.ask(GuildRejectInvite(id="r1", guild="42"))

        assert room.told == [("guild:42", InviteRejected(made_ms=NOON - 5))]
        with pytest.raises(NoInvite):
            room.ask(GuildRejectInvite(id="r2", guild="42"))

    def test_a_withdrawn_one_is_gone(self) -> None:
        room = ann()
        tell(room, invite())

        tell(room, InviteWithdrawn())
        tell(room, InviteWithdrawn())

        assert room.ask(GuildInvites(id="i1")).invites == []
        assert [type(e) for e in own_events(room)] == [GuildInvited, InviteGone]

    def test_one_that_led_to_the_seat_is_gone(self) -> None:
        room = ann()
        tell(room, invite())
        room.ask(GuildJoin(id="j1", guild="42"))
        tell(room, Admitted(attempt=1, name="Wolves"))

        assert room.state.invites == {}

    def test_the_oldest_of_too_many_gives_way(self) -> None:
        room = ann()
        for n in range(RECEIVED_LIMIT + 1):
            tell(room, invite(), guild=f"g{n}")

        listed = [i.guild for i in room.ask(GuildInvites(id="i1")).invites]
        assert listed == [f"g{n}" for n in range(1, RECEIVED_LIMIT + 1)]

    def test_expired_ones_give_way_first(self) -> None:
        room = ann()
        for n in range(RECEIVED_LIMIT - 1):
            tell(room, invite(expires_ms=LATER + 1), guild=f"g{n}")
        tell(room, invite(), guild="soon over")

        room.now_ms = LATER
        tell(room, invite(expires_ms=LATER + 1), guild="new")

        assert len(room.ask(GuildInvites(id="i1")).invites) == RECEIVED_LIMIT

    def test_events_and_list_agree(self) -> None:
        room = ann()
        for n in range(RECEIVED_LIMIT + 3):
            tell(room, invite(), guild=f"g{n}")
        tell(room, invite(expires_ms=LATER + 5), guild="g9")
        tell(room, InviteWithdrawn(), guild="g10")
        room.ask(GuildRejectInvite(id="r", guild="g11"))
        room.ask(GuildJoin(id="j", guild="g12"))
        tell(room, Admitted(attempt=1, name="Wolves"), guild="g12")

        rebuilt: dict[str, int] = {}
        for event in own_events(room):
            if isinstance(event, GuildInvited):
                rebuilt.pop(event.guild, None)
                rebuilt[event.guild] = event.expires_at
            elif isinstance(event, InviteGone | SeatChanged):
                rebuilt.pop(event.guild or "", None)

        listed = room.ask(GuildInvites(id="i")).invites
        assert list(rebuilt.items()) == [(i.guild, i.expires_at) for i in listed]


class TestLooking:
    def test_the_welcome_says_which_guild(self) -> None:
        assert seated().actor.greetings() == {"seat": SeatGreeting("42")}
        assert ann().actor.greetings() == {"seat": SeatGreeting(None)}

    def test_a_guild_is_found_by_a_name_that_looks_the_same(self) -> None:
        ticket = ann().ask(GuildFind(id="f1", name="IRON W0LVES"))

        assert isinstance(ticket, NameTicket)
        assert list(ticket.values) == ["lron vvolves"]
        found = seat.queries[NameTicket](ticket, [("42", "Iron Wolves")])
        assert found == GuildFound(guild="42", name="Iron Wolves")
        with pytest.raises(GuildNotFound):
            seat.queries[NameTicket](ticket, [])


def test_refusals_of_guilds_have_codes_of_their_own() -> None:
    codes = [refusal.code for refusal in REFUSALS.values()]

    assert all(code.startswith("guild.") for code in codes)
    assert len(set(codes)) == len(codes)
    assert {refusal.retry for refusal in REFUSALS.values()} == {"never"}, "a kept refusal is what a repeat gets, too"
