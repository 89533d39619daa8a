"""What invitations and applications promise: bounded, with an end, and good for one way in."""

import pytest

from actors.guild import (
    APPLICATION_LIMIT,
    CAPACITY,
    INVITE_LIMIT,
    OPEN_FOR_S,
    Admit,
    AlreadyMember,
    GuildAccept,
    GuildApply,
    GuildDecline,
    GuildFull,
    GuildInvite,
    GuildOpen,
    GuildRevokeInvite,
    GuildWithdraw,
    Invited,
    InviteOnly,
    InviteRejected,
    InviteWithdrawn,
    NoApplication,
    NoInvite,
    SeatDeclined,
    SeatOffered,
    TooManyApplications,
    TooManyInvites,
)
from actors.guild.turns import EXPIRY
from tests.rooms.guild_hall import admit, founded, refused
from tests.support.room import NOON

WEEK_MS = int(OPEN_FOR_S * 1000)


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
