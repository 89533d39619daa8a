"""Player and guild agree in the end, whatever dies half-way and in whatever order it is heard."""

from typing import Any

import pytest

from actors.chat import channels, chat
from actors.guild import (
    GuildAccept,
    GuildApply,
    GuildBan,
    GuildCreate,
    GuildDisband,
    GuildInvite,
    GuildJoin,
    GuildKick,
    GuildLeave,
    GuildPromote,
    GuildRejectInvite,
    GuildRevokeInvite,
    GuildTransfer,
    GuildUnban,
    guild,
    seat,
)
from actors.mail import mail
from actors.runtime import Feature
from protocol import Request
from tests.support.post import PostOffice

GUILD_ROOM: list[Feature[Any]] = [guild, chat, channels, seat]
PLAYER_ROOM: list[Feature[Any]] = [seat, channels, mail, guild, chat]
PLAYERS = ["ann", "bo", "cy", "di"]
NAMES = ["Wolves", "W0lves", "Bears"]


def office(seed: int) -> PostOffice:
    return PostOffice({"guild": GUILD_ROOM, "player": PLAYER_ROOM}, seed, unique={"guild_names": "skeleton"})


def any_request(post: PostOffice, op: str) -> tuple[str, Request[Any]]:
    """Something that somebody could ask for, and who: mostly what makes sense just now."""
    random = post.random
    guilds = [(key, room.state) for key, room in post.actors("guild") if room.state.exists]
    player = random.choice(PLAYERS)
    if not guilds or random.random() < 0.08:
        return player, GuildCreate(id=op, name=random.choice(NAMES), mode=random.choice(["open", "request", "invite"]))
    key, roster = random.choice(guilds)
    if random.random() < 0.5:
        request: Any = random.choice([GuildJoin, GuildJoin, GuildApply, GuildApply, GuildRejectInvite, GuildLeave])
        return player, GuildLeave(id=op) if request is GuildLeave else request(id=op, guild=key)
    if random.random() < 0.05:
        return roster.leader, GuildDisband(id=op, guild=key)
    if roster.applications and random.random() < 0.5:
        return roster.leader, GuildAccept(id=op, guild=key, player=random.choice(list(roster.applications)))
    request = random.choice(
        [GuildInvite, GuildInvite, GuildKick, GuildKick, GuildBan, GuildUnban, GuildPromote, GuildTransfer]
    )
    target = random.choice(PLAYERS + list(roster.members))
    return roster.leader, request(id=op, guild=key, player=target)


def assert_agreement(post: PostOffice) -> None:
    """Nothing is under way, and every seat is on exactly the roster that it names."""
    seats: dict[str, tuple[str, int]] = {}
    rosters: dict[str, tuple[str, int]] = {}
    talks: dict[str, list[str]] = {}
    for player, room in post.actors("player"):
        assert room.state.joining is None, f"{player} waits for ever"
        assert room.state.leaving is None, f"{player} leaves for ever"
        if room.state.guild is not None:
            seats[player] = (room.state.guild, room.state.stint)
    for key, room in post.actors("guild"):
        for player, member in room.state.members.items():
            assert player not in rosters, f"{player} is on two rosters"
            rosters[player] = (key, member.stint)
        for player in room.actor.states()["chat"].members:  # type: ignore[attr-defined]
            talks.setdefault(player, []).append(key)
        leaders = [p for p, m in room.state.members.items() if m.role == "leader"]
        assert leaders == ([room.state.leader] if room.state.members else [])
        assert room.state.exists == bool(room.state.members)
    assert seats == rosters
    assert talks == {player: [key] for player, (key, _) in seats.items()}
    assert_invitations_agree(post)
    named = {row["guild"] for row in post.tables["guild_names"].values()}
    assert named == {key for key, room in post.actors("guild") if room.state.exists}


def assert_invitations_agree(post: PostOffice) -> None:
    """What a player holds is open at the guild; a guild's may have given way to newer ones of others."""
    guilds = dict(post.actors("guild"))
    for player, room in post.actors("player"):
        for key, held in room.state.invites.items():
            opened = guilds[key].state.invites.get(player)
            assert opened is not None, f"{player} holds an invitation that guild:{key} does not know"
            assert opened.made_ms == held.made_ms


@pytest.mark.parametrize("seed", range(40))
def test_player_and_guild_agree_in_the_end_whatever_dies_half_way(seed: int) -> None:
    post = office(seed)
    for n in range(150):
        caller, request = any_request(post, f"op{n}")
        post.ask(request, caller=caller)
        for _ in range(post.random.randrange(4)):
            post.step()
        if post.random.random() < 0.15:
            post.crash_one()
    post.settle()

    assert_agreement(post)
    for player, _ in post.actors("player"):
        assert all(op.reply is not None for op in post.ops(f"player:{player}")), "an op was kept and never answered"


@pytest.mark.parametrize("seed", range(10))
def test_of_two_guilds_founded_at_once_under_one_name_one_gets_it(seed: int) -> None:
    post = office(seed)
    post.ask(GuildCreate(id="c", name="Wolves"), caller="ann")
    post.ask(GuildCreate(id="c", name="W0LVES"), caller="bo")
    post.settle()

    assert_agreement(post)
    kinds = sorted(type(reply).__name__ for reply in post.answers.values())
    assert kinds == ["ErrorReply", "GuildCreated"]


@pytest.mark.parametrize("seed", range(20))
def test_of_two_guilds_joined_at_once_on_two_devices_a_player_sits_in_one(seed: int) -> None:
    post = office(seed)
    for op, founder in (("c1", "ann"), ("c2", "bo")):
        post.ask(GuildCreate(id=op, name=f"Wolves of {founder}"), caller=founder)
    post.settle()
    wolves, bears = [key for key, _ in post.actors("guild")]

    for op, key in (("j1", wolves), ("j2", bears)):
        post.ask(GuildJoin(id=op, guild=key), caller="cy")
        for _ in range(seed % 3):
            post.step()
        if seed % 2:
            post.crash_one()
    post.settle()
    for op, key in (("j1", wolves), ("j2", bears)):  # what died before its commit is asked again
        post.ask(GuildJoin(id=op, guild=key), caller="cy")
    post.settle()

    assert_agreement(post)
    sizes = sorted(len(room.state.members) for _, room in post.actors("guild"))
    assert sizes == [1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_a_disbanding_and_a_join_at_once_leave_nobody_behind(seed: int) -> None:
    post = office(seed)
    post.ask(GuildCreate(id="c", name="Wolves"), caller="ann")
    post.settle()
    [(key, _)] = post.actors("guild")

    post.ask(GuildJoin(id="j", guild=key), caller="bo")
    for _ in range(seed % 4):
        post.step()
    post.ask(GuildDisband(id="d", guild=key), caller="ann")
    post.settle()

    assert_agreement(post)
    assert [room.state.guild for _, room in post.actors("player")] == [None, None]
    assert ("bo", "j") in post.answers


@pytest.mark.parametrize("seed", range(20))
def test_a_rejection_never_hits_an_invitation_made_after_it_in_the_same_millisecond(seed: int) -> None:
    """An actor's clock stands still while its node's was set back. The rejection of the first invitation closed the
    second one at the guild, and the player kept an invitation that let nobody in."""
    post = office(seed)
    post.ask(GuildCreate(id="c", name="Wolves", mode="invite"), caller="ann")
    post.settle()
    [(key, _)] = post.actors("guild")
    post.ask(GuildInvite(id="i1", guild=key, player="bo"), caller="ann")
    post.settle()

    post.ask(GuildRejectInvite(id="r", guild=key), caller="bo")
    post.ask(GuildRevokeInvite(id="v", guild=key, player="bo"), caller="ann")
    post.ask(GuildInvite(id="i2", guild=key, player="bo"), caller="ann")
    post.settle()

    assert_agreement(post)
    assert list(post.room("player:bo").state.invites) == [key]
