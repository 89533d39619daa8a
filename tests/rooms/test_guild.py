"""What a guild promises: who gets in, who may do what, and that its events tell watchers all of it."""

from typing import Any

import pytest

from actors.chat import ChatNotMember, ChatSend
from actors.guild import (
    APPLICATION_LIMIT,
    BAN_LIMIT,
    CAPACITY,
    INVITE_LIMIT,
    OPEN_FOR_S,
    Admit,
    Admitted,
    AlreadyMember,
    BannedFromGuild,
    GuildAccept,
    GuildApply,
    GuildBan,
    GuildDecline,
    GuildDemote,
    GuildDisband,
    GuildEdit,
    GuildFull,
    GuildGet,
    GuildInvite,
    GuildKick,
    GuildNotFound,
    GuildOpen,
    GuildPromote,
    GuildRevokeInvite,
    GuildSetMotd,
    GuildSetPermissions,
    GuildTransfer,
    GuildUnban,
    GuildWatch,
    GuildWithdraw,
    Invited,
    InviteOnly,
    InviteRejected,
    InviteWithdrawn,
    NameTaken,
    NoApplication,
    NoInvite,
    NoSuchMember,
    NotAdmitted,
    NotBanned,
    NotMember,
    NotPermitted,
    RankTooLow,
    Resign,
    RoleAtLimit,
    SeatDeclined,
    SeatOffered,
    TooManyApplications,
    TooManyBans,
    TooManyInvites,
    Vacated,
)
from actors.guild.turns import EXPIRY, may_read
from actors.runtime import Follow
from actors.runtime.context import Keep
from protocol import Request
from storage import Delete, Insert
from tests.rooms.guild_hall import GUILD, Hall, founded, opening
from tests.support.room import NOON

WEEK_MS = int(OPEN_FOR_S * 1000)


def admit(attempt: int = 1, name: str = "Bo") -> Admit:
    return Admit(attempt=attempt, player_name=name)


def refused(why: Any, attempt: int = 1) -> list[NotAdmitted]:
    return [NotAdmitted(attempt=attempt, why=why)]


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


class TestRank:
    def test_the_leader_makes_officers_and_unmakes_them(self) -> None:
        hall = founded("bo")

        assert hall.ask(GuildPromote, "ann", player="bo").role == "officer"
        assert hall.roster.members["bo"].role == "officer"
        assert hall.ask(GuildDemote, "ann", player="bo").role == "member"
        assert hall.roster.members["bo"].role == "member"

    def test_ends_at_officer_and_at_member(self) -> None:
        hall = founded("bo", "cy", officers=["cy"])

        with pytest.raises(RoleAtLimit):
            hall.ask(GuildPromote, "ann", player="cy")
        with pytest.raises(RoleAtLimit):
            hall.ask(GuildDemote, "ann", player="bo")

    def test_the_lead_is_handed_over_and_the_former_leader_is_an_officer(self) -> None:
        hall = founded("bo")

        hall.ask(GuildTransfer, "ann", player="bo")

        assert {p: m.role for p, m in hall.roster.members.items()} == {"ann": "officer", "bo": "leader"}
        with pytest.raises(NotPermitted):
            hall.ask(GuildDisband, "ann")

    @pytest.mark.parametrize("request_", [GuildKick, GuildBan, GuildPromote, GuildDemote, GuildTransfer])
    def test_nobody_acts_on_oneself(self, request_: type[Request[Any]]) -> None:
        hall = founded("bo")

        with pytest.raises(RankTooLow):
            hall.ask(request_, "ann", player="ann")

    @pytest.mark.parametrize("request_", [GuildKick, GuildBan, GuildPromote, GuildDemote])
    @pytest.mark.parametrize("target", ["ann", "cy"])
    def test_an_officer_acts_neither_on_the_leader_nor_on_another_officer(
        self, request_: type[Request[Any]], target: str
    ) -> None:
        hall = founded("bo", "cy", officers=["bo", "cy"])
        hall.ask(GuildSetPermissions, "ann", role="officer", permissions=["kick", "promote"])

        with pytest.raises(RankTooLow):
            hall.ask(request_, "bo", player=target)

    @pytest.mark.parametrize("request_", [GuildKick, GuildPromote, GuildDemote, GuildTransfer])
    def test_only_members_have_one(self, request_: type[Request[Any]]) -> None:
        with pytest.raises(NoSuchMember):
            founded().ask(request_, "ann", player="stranger")


class TestPermissions:
    def test_the_leader_sets_what_officers_and_members_may(self) -> None:
        hall = founded("bo", "cy", officers=["cy"])
        hall.ask(GuildSetPermissions, "ann", role="member", permissions=["motd", "motd"])
        hall.ask(GuildSetPermissions, "ann", role="officer", permissions=[])

        hall.ask(GuildSetMotd, "bo", motd="hi")

        assert hall.view.members_may == ["motd"]
        with pytest.raises(NotPermitted):
            hall.ask(GuildSetMotd, "cy", motd="ho")

    def test_a_role_without_the_permission_is_refused(self) -> None:
        hall = founded("bo", "cy", officers=["cy"])
        hall.ask(GuildSetPermissions, "ann", role="officer", permissions=[])

        for request, _, fields in ASKED_OF_OFFICERS:
            for caller in ("bo", "cy"):
                with pytest.raises(NotPermitted):
                    hall.ask(request, caller, **fields)

    def test_outsiders_are_refused_whatever_they_ask_of_officers(self) -> None:
        hall = founded("bo")
        hall.ask(GuildBan, "ann", player="evil")

        for caller in ("stranger", "evil"):
            for request, _, fields in ASKED_OF_OFFICERS:
                with pytest.raises(NotMember):
                    hall.ask(request, caller, **fields)
            with pytest.raises(NotMember):
                hall.ask(GuildWatch, caller)

    @pytest.mark.parametrize("request_", [GuildSetPermissions, GuildTransfer, GuildDisband])
    def test_some_things_only_the_leader_may(self, request_: type[Request[Any]]) -> None:
        hall = founded("bo", officers=["bo"])
        everything = ["invite", "accept", "kick", "motd", "settings", "promote", "moderate_chat"]
        hall.ask(GuildSetPermissions, "ann", role="officer", permissions=everything)
        fields = next(fields for asked, _, fields in ASKED_OF_OFFICERS if asked is request_)

        with pytest.raises(NotPermitted):
            hall.ask(request_, "bo", **fields)


class TestKickAndBan:
    def test_a_kicked_member_hears_nothing_any_more(self) -> None:
        hall = founded("bo")

        told = hall.heard_by("bo", GuildKick, "ann", player="bo")

        assert told == [Vacated(stint=1, reason="kicked")]
        assert (hall.ends(), hall.ends("chat:guild:42")) == (["bo"], ["bo"])
        assert hall.chatters == ["ann"]

    def test_a_kick_while_the_admission_is_under_way_is_told_after_it(self) -> None:
        hall = founded("bo")

        hall.ask(GuildKick, "ann", player="bo")

        assert hall.told("bo") == [Admitted(attempt=1, name="Iron Wolves"), Vacated(stint=1, reason="kicked")]

    def test_a_ban_removes_the_member_and_every_way_in(self) -> None:
        hall = founded("bo", mode="request")
        hall.ask(GuildApply, "cy")
        hall.ask(GuildInvite, "ann", player="cy")

        assert hall.heard_by("bo", GuildBan, "ann", player="bo") == [Vacated(stint=1, reason="banned")]
        assert hall.heard_by("cy", GuildBan, "ann", player="cy") == [InviteWithdrawn()]

        assert (hall.roster.invites, hall.roster.applications) == ({}, {})
        with pytest.raises(BannedFromGuild):
            hall.ask(GuildApply, "cy")
        with pytest.raises(BannedFromGuild):
            hall.ask(GuildInvite, "ann", player="cy")

    def test_a_repeated_ban_changes_nothing(self) -> None:
        hall = founded()
        hall.ask(GuildBan, "ann", player="bo")
        events = len(hall.events)

        hall.ask(GuildBan, "ann", player="bo")

        assert hall.roster.banned == ["bo"]
        assert len(hall.events) == events

    def test_who_is_unbanned_may_join_again(self) -> None:
        hall = founded()
        hall.ask(GuildBan, "ann", player="bo")

        hall.ask(GuildUnban, "ann", player="bo")

        assert Admitted(attempt=1, name="Iron Wolves") in hall.hear("bo", admit())
        with pytest.raises(NotBanned):
            hall.ask(GuildUnban, "ann", player="bo")

    def test_a_full_list_of_bans_refuses(self) -> None:
        hall = founded("bo")
        hall.roster.banned = [f"p{n}" for n in range(BAN_LIMIT)]

        with pytest.raises(TooManyBans):
            hall.ask(GuildBan, "ann", player="bo")
        assert "bo" in hall.roster.members


class TestApplications:
    def test_wait_for_an_officer_who_offers_a_seat(self) -> None:
        hall = founded("bo", officers=["bo"], mode="request")

        reply = hall.ask(GuildApply, "cy", text="let me in")
        told = hall.heard_by("cy", GuildAccept, "bo", player="cy")

        assert reply.expires_at == NOON + WEEK_MS
        assert told == [SeatOffered()]
        assert "cy" not in hall.roster.members  # the seat decides first

    def test_an_accepted_applicant_gets_in_by_the_name_of_the_application(self) -> None:
        hall = founded(mode="request")
        hall.ask(GuildApply, "cy")
        hall.ask(GuildAccept, "ann", player="cy")

        hall.hear("cy", Admit(attempt=1))

        assert hall.roster.members["cy"].name == "Cy"
        assert not hall.roster.applications

    def test_an_applicant_who_was_not_accepted_stays_out(self) -> None:
        hall = founded(mode="request")
        hall.ask(GuildApply, "cy")

        assert hall.hear("cy", admit()) == refused("needs_request")

    def test_of_one_who_sits_elsewhere_by_now_are_closed(self) -> None:
        hall = founded(mode="request")
        hall.ask(GuildApply, "cy")
        hall.ask(GuildAccept, "ann", player="cy")

        hall.hear("cy", SeatDeclined())
        hall.hear("cy", SeatDeclined())

        assert not hall.roster.applications
        assert hall.tags.count("application_closed") == 1

    def test_wait_on_when_the_guild_has_filled_between_offer_and_admission(self) -> None:
        hall = founded(*(f"p{n}" for n in range(CAPACITY - 2)), mode="request")
        hall.ask(GuildApply, "cy")
        hall.ask(GuildAccept, "ann", player="cy")
        hall.ask(GuildInvite, "ann", player="bo")
        hall.hear("bo", admit())

        assert hall.hear("cy", Admit(attempt=1)) == refused("full")
        assert list(hall.roster.applications) == ["cy"]
        with pytest.raises(GuildFull):
            hall.ask(GuildAccept, "ann", player="cy")

    def test_a_repeat_replaces_the_text_and_keeps_an_offer(self) -> None:
        hall = founded(mode="request")
        hall.ask(GuildApply, "bo", text="one")
        hall.ask(GuildApply, "cy", text="two")
        hall.ask(GuildAccept, "ann", player="bo")

        hall.ask(GuildApply, "bo", text="three")

        assert [(a.player, a.text) for a in hall.view.applications] == [("cy", "two"), ("bo", "three")]
        assert hall.roster.applications["bo"].offered

    def test_can_be_declined_and_withdrawn(self) -> None:
        hall = founded(mode="request")
        hall.ask(GuildApply, "bo")
        hall.ask(GuildApply, "cy")

        hall.ask(GuildDecline, "ann", player="bo")
        hall.ask(GuildWithdraw, "cy")

        assert not hall.roster.applications
        for request, caller, fields in [
            (GuildDecline, "ann", {"player": "bo"}),
            (GuildAccept, "ann", {"player": "bo"}),
            (GuildWithdraw, "cy", {}),
        ]:
            with pytest.raises(NoApplication):
                hall.ask(request, caller, **fields)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("mode", "refusal"), [("open", GuildOpen), ("invite", InviteOnly)])
    def test_are_taken_only_where_that_is_the_way_in(self, mode: str, refusal: type[Exception]) -> None:
        with pytest.raises(refusal):
            founded(mode=mode).ask(GuildApply, "bo")

    def test_are_not_for_members(self) -> None:
        with pytest.raises(AlreadyMember):
            founded(mode="request").ask(GuildApply, "ann")

    def test_are_bounded(self) -> None:
        hall = founded(mode="request")
        for n in range(APPLICATION_LIMIT):
            hall.ask(GuildApply, f"p{n}")

        with pytest.raises(TooManyApplications):
            hall.ask(GuildApply, "bo")
        hall.ask(GuildApply, "p0", text="again")

    def test_expire(self) -> None:
        hall = founded(mode="request")
        hall.ask(GuildApply, "bo")

        hall.room.now_ms += WEEK_MS
        with pytest.raises(NoApplication):
            hall.ask(GuildAccept, "ann", player="bo")
        hall.pass_time(0)

        assert not hall.roster.applications


class TestInvitations:
    def test_reach_the_player(self) -> None:
        hall = founded()

        told = hall.heard_by("bo", GuildInvite, "ann", player="bo")

        assert told == [Invited(name="Iron Wolves", by="ann", made_ms=NOON, expires_ms=NOON + WEEK_MS)]

    def test_can_be_revoked(self) -> None:
        hall = founded(mode="invite")
        hall.ask(GuildInvite, "ann", player="bo")

        assert hall.heard_by("bo", GuildRevokeInvite, "ann", player="bo") == [InviteWithdrawn()]

        assert hall.hear("bo", admit()) == refused("invite_only")
        with pytest.raises(NoInvite):
            hall.ask(GuildRevokeInvite, "ann", player="bo")

    def test_are_closed_by_a_rejection_but_not_by_one_of_an_earlier_invitation(self) -> None:
        hall = founded()
        hall.ask(GuildInvite, "ann", player="bo")
        hall.room.now_ms += 1
        hall.ask(GuildInvite, "ann", player="bo")

        hall.hear("bo", InviteRejected(made_ms=NOON))
        assert "bo" in hall.roster.invites
        hall.hear("bo", InviteRejected(made_ms=NOON + 1))
        assert "bo" not in hall.roster.invites

    def test_are_not_for_members(self) -> None:
        with pytest.raises(AlreadyMember):
            founded("bo").ask(GuildInvite, "ann", player="bo")

    def test_are_bounded(self) -> None:
        hall = founded()
        for n in range(INVITE_LIMIT):
            hall.ask(GuildInvite, "ann", player=f"p{n}")

        with pytest.raises(TooManyInvites):
            hall.ask(GuildInvite, "ann", player="bo")
        hall.ask(GuildInvite, "ann", player="p0")

    def test_expire_each_in_its_time(self) -> None:
        hall = founded()
        hall.ask(GuildInvite, "ann", player="bo")
        hall.room.now_ms += 1000
        hall.ask(GuildInvite, "ann", player="cy")

        hall.pass_time(OPEN_FOR_S - 1)
        assert list(hall.roster.invites) == ["cy"]
        hall.pass_time(1)
        assert not hall.roster.invites
        assert EXPIRY not in hall.room.actor.draft.timers


class TestSettings:
    def test_change_what_is_given_and_leave_the_rest(self) -> None:
        hall = founded()

        hall.ask(GuildEdit, "ann", mode="invite")
        hall.ask(GuildEdit, "ann", tag="", description="Quiet.")

        assert (hall.view.mode, hall.view.tag, hall.view.description) == ("invite", "", "Quiet.")

    def test_the_message_of_the_day_is_shown_to_members(self) -> None:
        hall = founded("bo")

        hall.ask(GuildSetMotd, "ann", motd="Raid at nine")

        assert hall.ask(GuildWatch, "bo").guild.motd == "Raid at nine"


ASKED_OF_OFFICERS: list[tuple[type[Request[Any]], str, dict[str, Any]]] = [
    (GuildAccept, "ann", {"player": "bo"}),
    (GuildDecline, "ann", {"player": "bo"}),
    (GuildInvite, "ann", {"player": "di"}),
    (GuildRevokeInvite, "ann", {"player": "di"}),
    (GuildPromote, "ann", {"player": "bo"}),
    (GuildDemote, "ann", {"player": "bo"}),
    (GuildTransfer, "ann", {"player": "bo"}),
    (GuildKick, "ann", {"player": "bo"}),
    (GuildBan, "ann", {"player": "di"}),
    (GuildUnban, "ann", {"player": "di"}),
    (GuildSetPermissions, "ann", {"role": "member", "permissions": ["kick"]}),
    (GuildSetMotd, "ann", {"motd": "x"}),
    (GuildEdit, "ann", {"mode": "open"}),
    (GuildDisband, "ann", {}),
]
ASKED: list[tuple[type[Request[Any]], str, dict[str, Any]]] = [
    *ASKED_OF_OFFICERS,
    (GuildGet, "cy", {}),
    (GuildWatch, "ann", {}),
    (GuildApply, "cy", {}),
]


@pytest.mark.parametrize(("request_", "caller", "fields"), ASKED, ids=lambda v: getattr(v, "__name__", ""))
def test_a_guild_that_never_was_is_not_found(request_: type[Request[Any]], caller: str, fields: dict[str, Any]) -> None:
    hall = Hall()

    with pytest.raises(GuildNotFound):
        hall.ask(request_, caller, **fields)
    assert hall.events == []
