"""What a guild promises: who gets in and out, and that its events tell watchers all of it."""

from typing import Any

import pytest

from actors.chat import ChatNotMember, ChatSend
from actors.guild import (
    CAPACITY,
    OPEN_FOR_S,
    Admitted,
    GuildBan,
    GuildDisband,
    GuildGet,
    GuildInvite,
    GuildKick,
    GuildNotFound,
    GuildWatch,
    InviteWithdrawn,
    NameTaken,
    NotAdmitted,
    Resign,
    Vacated,
)
from actors.guild.turns import EXPIRY, may_read
from actors.runtime import Follow
from actors.runtime.context import Keep
from protocol import Request
from storage import Delete, Insert
from tests.rooms.guild_hall import ASKED, GUILD, Hall, admit, founded, opening, refused
from tests.support.room import NOON

WEEK_MS = int(OPEN_FOR_S * 1000)


class TestFounding:
    def test_the_founder_leads_and_the_name_is_taken(self) -> None:
        hall = Hall()

        told = hall.hear("ann", opening())

        assert Admitted(attempt=1, name="Iron Wolves") in told
        assert hall.tags == ["founded", "member_joined", "leader_changed"]
        assert hall.roster.leader == "ann"
        assert hall.chatters == ["ann"]
        row = {"skeleton": "lron vvolves", "guild": "42", "name": "Iron Wolves"}
        assert hall.room.effects_of(Keep) == [Keep(Insert("guild_names", row), NameTaken)]

    def test_a_name_that_another_was_quicker_to_take_leaves_no_guild(self) -> None:
        hall = Hall()

        told = hall.hear("ann", opening(), refused=NameTaken)

        assert told == refused("name_taken")
        assert not hall.roster.exists
        assert hall.events == []
        assert hall.room.effects_of(Keep) == []

    def test_to_be_told_twice_founds_once(self) -> None:
        hall = founded()

        told = hall.hear("ann", opening())

        assert told == [Admitted(attempt=1, name="Iron Wolves")]
        assert hall.tags == ["founded", "member_joined", "leader_changed"]
        assert len(hall.room.effects_of(Keep)) == 1

    def test_nobody_founds_a_guild_that_is_another_players(self) -> None:
        assert founded().hear("bo", opening()) == refused("not_found")


class TestAdmission:
    def test_an_open_guild_takes_in_who_asks(self) -> None:
        hall = founded()

        told = hall.hear("bo", admit())

        assert Admitted(attempt=1, name="Iron Wolves") in told
        assert list(hall.roster.members) == ["ann", "bo"]
        assert hall.chatters == ["ann", "bo"]

    def test_to_be_told_twice_admits_once(self) -> None:
        hall = founded()
        hall.hear("bo", admit())

        told = hall.hear("bo", admit())

        assert told == [Admitted(attempt=1, name="Iron Wolves")]
        assert hall.tags.count("member_joined") == 2  # ann, bo

    def test_a_late_word_of_an_earlier_attempt_is_left_alone(self) -> None:
        hall = founded()
        hall.hear("bo", admit(attempt=7))

        assert hall.hear("bo", admit(attempt=3)) == []
        assert hall.roster.members["bo"].stint == 7

    def test_a_guild_that_never_was_admits_nobody(self) -> None:
        hall = Hall()

        assert hall.hear("bo", admit()) == refused("not_found")
        assert not hall.roster.members

    def test_a_disbanded_guild_refuses_a_join_that_was_under_way(self) -> None:
        hall = founded()
        hall.ask(GuildDisband, "ann")

        assert hall.hear("bo", admit()) == refused("not_found")

    def test_a_full_guild_refuses_even_the_invited(self) -> None:
        hall = founded(*(f"p{n}" for n in range(CAPACITY - 1)))
        hall.ask(GuildInvite, "ann", player="bo")

        assert hall.hear("bo", admit()) == refused("full")
        assert len(hall.roster.members) == CAPACITY

    def test_the_banned_are_refused(self) -> None:
        hall = founded()
        hall.ask(GuildBan, "ann", player="bo")

        assert hall.hear("bo", admit()) == refused("banned")

    @pytest.mark.parametrize(("mode", "why"), [("request", "needs_request"), ("invite", "invite_only")])
    def test_a_guild_that_is_not_open_says_how_to_get_in(self, mode: str, why: str) -> None:
        assert founded(mode=mode).hear("bo", admit()) == refused(why)

    @pytest.mark.parametrize("mode", ["request", "invite"])
    def test_an_invitation_opens_every_mode_once(self, mode: str) -> None:
        hall = founded(mode=mode)
        hall.ask(GuildInvite, "ann", player="bo")

        assert Admitted(attempt=1, name="Iron Wolves") in hall.hear("bo", admit())

        assert not hall.roster.invites
        hall.hear("bo", Resign(stint=1))
        assert isinstance(hall.hear("bo", admit(attempt=2))[0], NotAdmitted)

    def test_an_expired_invitation_opens_nothing(self) -> None:
        hall = founded(mode="invite")
        hall.ask(GuildInvite, "ann", player="bo")
        hall.room.now_ms += WEEK_MS  # the timer has not fired yet

        assert hall.hear("bo", admit()) == refused("invite_only")


class TestLeaving:
    def test_ends_what_the_member_hears(self) -> None:
        hall = founded("bo")

        told = hall.hear("bo", Resign(stint=1))

        assert Vacated(stint=1, reason="left") in told
        assert list(hall.roster.members) == ["ann"]
        assert hall.ends() == ["bo"]
        assert hall.ends("chat:guild:42") == ["bo"]
        assert not may_read(hall.roster, "bo", GUILD)

    def test_is_confirmed_to_one_who_was_kicked_meanwhile(self) -> None:
        hall = founded("bo")
        hall.ask(GuildKick, "ann", player="bo")

        assert hall.hear("bo", Resign(stint=1)) == [Vacated(stint=1, reason="left")]
        assert hall.tags.count("member_left") == 1

    def test_is_possible_and_joining_again_at_once_too(self) -> None:
        hall = founded("bo")
        hall.hear("bo", Resign(stint=1))

        told = hall.hear("bo", admit(attempt=2))

        assert Admitted(attempt=2, name="Iron Wolves") in told
        assert hall.roster.members["bo"].stint == 2

    def test_a_late_word_about_an_earlier_stay_removes_nobody(self) -> None:
        hall = founded("bo")
        hall.hear("bo", Resign(stint=1))
        hall.hear("bo", admit(attempt=2))

        hall.hear("bo", Resign(stint=1))

        assert "bo" in hall.roster.members

    def test_of_the_leader_passes_the_lead_to_the_oldest_officer(self) -> None:
        hall = founded("bo", "cy", "di", officers=["cy", "di"])

        hall.hear("ann", Resign(stint=1))

        assert hall.roster.leader == "cy"
        assert {p: m.role for p, m in hall.roster.members.items()} == {"bo": "member", "cy": "leader", "di": "officer"}

    def test_of_the_leader_without_officers_passes_the_lead_to_the_longest_member(self) -> None:
        hall = founded("bo", "cy")

        hall.hear("ann", Resign(stint=1))

        assert hall.roster.leader == "bo"
        assert hall.tags[-2:] == ["member_left", "leader_changed"]

    def test_of_the_last_one_disbands_the_guild(self) -> None:
        hall = founded()

        hall.hear("ann", Resign(stint=1))

        assert hall.roster.disbanded
        assert hall.tags[-2:] == ["member_left", "disbanded"]
        assert hall.ends() == ["ann"]


class TestDisbanding:
    def test_lets_everybody_go_and_frees_the_name(self) -> None:
        hall = founded("bo", "cy")
        hall.ask(GuildInvite, "ann", player="di")

        hall.ask(GuildDisband, "ann")

        assert hall.told("bo")[-1] == Vacated(stint=1, reason="disbanded")
        assert hall.told("di")[-1] == InviteWithdrawn()
        assert hall.ends() == ["ann", "bo", "cy"]
        assert hall.ends("chat:guild:42") == ["ann", "bo", "cy"]
        assert hall.tags[-4:] == ["disbanded", "member_left", "member_left", "member_left"]
        freed = Delete("guild_names", {"skeleton": "lron vvolves", "guild": "42"})
        assert hall.room.effects_of(Keep)[-1] == Keep(freed, NameTaken)
        assert EXPIRY not in hall.room.actor.draft.timers

    def test_is_for_ever(self) -> None:
        hall = founded("bo")
        hall.ask(GuildDisband, "ann")

        assert hall.hear("bo", opening(attempt=2)) == refused("not_found", attempt=2)
        for request, caller, fields in ASKED:
            with pytest.raises(GuildNotFound):
                hall.ask(request, caller, **fields)
        with pytest.raises(ChatNotMember):
            hall.room.ask(ChatSend(id="line", channel=GUILD, text="hello?"), caller="ann")


class TestReading:
    def test_anybody_may_see_the_card(self) -> None:
        card = founded("bo").ask(GuildGet, "stranger").guild

        assert (card.guild, card.name, card.tag, card.members, card.capacity) == (
            "42",
            "Iron Wolves",
            "IW",
            2,
            CAPACITY,
        )
        assert card.founded_at == NOON

    def test_a_member_sees_everything_and_follows(self) -> None:
        hall = founded("bo")

        reply = hall.ask(GuildWatch, "bo")

        assert reply.guild == hall.view
        assert (reply.epoch, reply.seq) == ("e1", len(hall.events))
        assert hall.room.effects_of(Follow) == [Follow(GUILD, "e1", 4, 4, durable=True)]

    def test_a_member_who_was_away_follows_from_the_cursor(self) -> None:
        hall = founded("bo")

        hall.ask(GuildWatch, "bo", after=("e1", 2))

        assert hall.room.effects_of(Follow) == [Follow(GUILD, "e1", 4, 2, durable=True)]

    def test_reading_saves_nothing(self) -> None:
        hall = founded("bo")
        hall.room.commit()

        hall.ask(GuildGet, "bo")
        hall.ask(GuildWatch, "bo")

        assert hall.room.commit().slices == {}


@pytest.mark.parametrize(("request_", "caller", "fields"), ASKED, ids=lambda v: getattr(v, "__name__", ""))
def test_a_guild_that_never_was_is_not_found(request_: type[Request[Any]], caller: str, fields: dict[str, Any]) -> None:
    hall = Hall()

    with pytest.raises(GuildNotFound):
        hall.ask(request_, caller, **fields)
    assert hall.events == []
