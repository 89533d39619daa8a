"""What the guild writes into inboxes: whatever another one did to a player, once, to that player alone."""

from typing import Any

from actors.guild import (
    OPEN_FOR_S,
    GuildBan,
    GuildDemote,
    GuildDisband,
    GuildInvite,
    GuildKick,
    GuildPromote,
    GuildTransfer,
    Resign,
)
from actors.mail import NoticeTold
from protocol import Request
from tests.rooms.guild_hall import Hall, founded
from tests.support.room import NOON

FACTS = {"guild": "42", "name": "Iron Wolves", "by": "ann"}


def letters(hall: Hall) -> list[tuple[str, NoticeTold]]:
    """(player, notice) of everything that was written so far."""
    told = [(to.removeprefix("player:"), tell) for to, tell in hall.room.told]
    return [(player, tell) for player, tell in told if isinstance(tell, NoticeTold)]


def kinds(hall: Hall) -> list[tuple[str, str]]:
    return [(player, notice.kind) for player, notice in letters(hall)]


def letter_of(hall: Hall, request: type[Request[Any]], caller: str, **fields: Any) -> tuple[str, NoticeTold]:
    """The one letter that comes of a request."""
    hall.ask(request, caller, **fields)
    [letter] = letters(hall)
    return letter


def test_an_invitation_is_good_as_long_as_the_letter() -> None:
    player, notice = letter_of(founded(), GuildInvite, "ann", player="bo")

    assert player == "bo"
    assert notice == NoticeTold(
        kind="guild.invited",
        title="Invitation to Iron Wolves",
        body="Ann invites you to join the guild.",
        data=FACTS,
        expires_ms=NOON + int(OPEN_FOR_S * 1000),
    )


def test_who_is_kicked_is_told_by_whom() -> None:
    player, notice = letter_of(founded("bo"), GuildKick, "ann", player="bo")

    assert (player, notice.kind, notice.data, notice.expires_ms) == ("bo", "guild.kicked", FACTS, None)


def test_a_member_who_is_banned_gets_one_letter_and_a_stranger_none() -> None:
    hall = founded("bo")

    hall.ask(GuildBan, "ann", player="bo")
    hall.ask(GuildBan, "ann", player="cy")

    assert kinds(hall) == [("bo", "guild.banned")]


def test_a_change_of_rank_is_told_with_the_new_role() -> None:
    hall = founded("bo")

    hall.ask(GuildPromote, "ann", player="bo")
    hall.ask(GuildDemote, "ann", player="bo")
    hall.ask(GuildTransfer, "ann", player="bo")

    assert [(player, notice.kind, notice.data) for player, notice in letters(hall)] == [
        ("bo", "guild.promoted", {**FACTS, "role": "officer"}),
        ("bo", "guild.demoted", {**FACTS, "role": "member"}),
        ("bo", "guild.promoted", {**FACTS, "role": "leader"}),
    ]


def test_the_heir_of_a_leader_who_left_is_told() -> None:
    hall = founded("bo", "cy", officers=["cy"])

    hall.hear("ann", Resign(stint=1))

    [(player, notice)] = letters(hall)
    assert (player, notice.kind, notice.data) == ("cy", "guild.promoted", {**FACTS, "role": "leader"})


def test_the_end_of_a_guild_is_told_to_all_but_whose_doing_it_was() -> None:
    hall = founded("bo", "cy")

    hall.ask(GuildDisband, "ann")

    assert kinds(hall) == [("bo", "guild.disbanded"), ("cy", "guild.disbanded")]


def test_who_founds_joins_or_leaves_gets_no_letter() -> None:
    hall = founded("bo")

    hall.hear("bo", Resign(stint=1))
    hall.hear("ann", Resign(stint=1))

    assert letters(hall) == []
