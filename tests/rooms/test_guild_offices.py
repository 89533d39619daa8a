"""Who may do what in a guild: rank, permissions, kicks and bans, settings."""

from typing import Any

import pytest

from actors.guild import (
    BAN_LIMIT,
    Admitted,
    BannedFromGuild,
    GuildApply,
    GuildBan,
    GuildDemote,
    GuildDisband,
    GuildEdit,
    GuildInvite,
    GuildKick,
    GuildPromote,
    GuildSetMotd,
    GuildSetPermissions,
    GuildTransfer,
    GuildUnban,
    GuildWatch,
    InviteWithdrawn,
    NoSuchMember,
    NotBanned,
    NotMember,
    NotPermitted,
    RankTooLow,
    RoleAtLimit,
    TooManyBans,
    Vacated,
)
from protocol import Request
from tests.rooms.guild_hall import ASKED_OF_OFFICERS, admit, founded


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
