"""Moderation: who is banned is out at once and stays out, who is muted only reads, and both end by themselves."""

from typing import Any

import pytest

from actors.guild import seat
from actors.mail import NoticeTold, mail
from actors.moderation import (
    REPEATS_S,
    PlayerBan,
    PlayerInspect,
    PlayerMute,
    PlayerUnban,
    PlayerUnmute,
    SentenceView,
    moderation,
)
from actors.player import PlayerNotFound, SessionOpen, profile, sessions
from actors.runtime import ClosePlayer, MutePlayer, SessionRef
from actors.runtime.context import Keep
from actors.staff import By
from actors.standing import FOR_EVER_MS, AccountBanned, EndInThePast, NotBanned, NotMuted
from protocol import CloseCode
from tests.support.room import NOON, Room

BY = By(key="k1", name="Ann Ops", address="203.0.113.9", op="op-1", digest=b"d" * 32)
HOUR_MS = 3_600_000


def bo(*, known: bool = True) -> Room:
    room = Room([moderation, profile, sessions, seat, mail], actor="player:bo", caller="~server")
    if known:
        sign_in(room)
        room.effects.clear()
    return room


def sign_in(room: Room) -> Any:
    ref = SessionRef(f"s{room.now_ms}", "north", f"g{room.now_ms}")
    return room.ask(SessionOpen(id=ref.generation, player="bo", session=ref, name_hint="Bo Bee"), caller="bo")


def ban(room: Room, **more: Any) -> Any:
    return room.ask(PlayerBan(id="b", player="bo", by=BY, **{"reason": "cheats", **more}))


def mute(room: Room, **more: Any) -> Any:
    return room.ask(PlayerMute(id="m", player="bo", by=BY, **{"reason": "loud", **more}))


def sheet(room: Room) -> Any:
    return room.ask(PlayerInspect(id="i", player="bo"))


def actions(room: Room) -> list[str]:
    rows = [effect.record for effect in room.effects_of(Keep)]
    return [row.values["action"] for row in rows if row.table == "audit"]


# Bans.
def test_a_ban_closes_every_session_and_refuses_the_next() -> None:
    room = bo()

    assert ban(room).until is None

    assert room.effects_of(ClosePlayer) == [ClosePlayer("bo", CloseCode.BANNED, "account.banned")]
    assert actions(room) == ["player.banned"]
    with pytest.raises(AccountBanned):
        sign_in(room)
    room.pass_time(10 * 365 * 86_400)
    with pytest.raises(AccountBanned):
        sign_in(room)


def test_a_ban_with_an_end_runs_out_by_itself() -> None:
    room = bo()
    ban(room, until=NOON + HOUR_MS)
    room.pass_time(3599)
    with pytest.raises(AccountBanned):
        sign_in(room)

    room.pass_time(1)

    assert sign_in(room).name == "Bo Bee"
    assert sheet(room).ban is None
    with pytest.raises(NotBanned):
        room.ask(PlayerUnban(id="u", player="bo", by=BY))


def test_a_ban_that_was_lifted_is_over() -> None:
    room = bo()
    ban(room)

    room.ask(PlayerUnban(id="u", player="bo", by=BY))

    assert sign_in(room)
    assert actions(room) == ["player.banned", "player.unbanned"]


def test_a_second_ban_takes_the_place_of_the_first() -> None:
    room = bo()
    ban(room, until=NOON + HOUR_MS)
    ban(room, reason="worse", until=NOON + 1)
    room.pass_time(0.001)

    assert sign_in(room)


def test_who_was_never_here_cannot_be_banned_or_muted_by_a_typing_error() -> None:
    for order in (ban, mute):
        room = bo(known=False)
        with pytest.raises(PlayerNotFound):
            order(room)
        assert room.effects == []


@pytest.mark.parametrize("order", [ban, mute])
def test_an_end_in_the_past_is_refused(order: Any) -> None:
    room = bo()
    for until in (NOON, NOON - 1, 0):
        with pytest.raises(EndInThePast):
            order(room, until=until)
    assert room.effects == []


# Mutes.
def test_a_mute_reaches_the_sessions_and_the_inbox() -> None:
    room = bo()

    assert mute(room, seconds=60).until == NOON + 60_000

    assert room.effects_of(MutePlayer) == [MutePlayer("bo", NOON + 60_000)]
    [(to, notice)] = room.told
    assert to == "player:bo"
    assert isinstance(notice, NoticeTold)
    assert (notice.kind, notice.data) == ("account.muted", {"until": NOON + 60_000})
    assert actions(room) == ["player.muted"]


def test_a_session_that_opens_later_knows_of_the_mute_until_it_has_run_out() -> None:
    room = bo()
    mute(room, seconds=60)
    assert sign_in(room).muted_until_ms == NOON + 60_000
    assert sheet(room).mute == SentenceView(reason="loud", by="k1", at=NOON, until=NOON + 60_000)

    room.pass_time(60)

    assert sheet(room).mute is None
    with pytest.raises(NotMuted):
        room.ask(PlayerUnmute(id="u", player="bo", by=BY))


def test_a_mute_without_end_stands_until_it_is_lifted() -> None:
    room = bo()
    assert mute(room).until is None
    assert sign_in(room).muted_until_ms == FOR_EVER_MS
    assert sheet(room).mute.until is None

    room.ask(PlayerUnmute(id="u", player="bo", by=BY))

    assert room.effects_of(MutePlayer)[-1] == MutePlayer("bo", 0)
    assert sign_in(room).muted_until_ms == 0
    assert actions(room) == ["player.muted", "player.unmuted"]


def test_ban_and_mute_do_not_touch_each_other() -> None:
    room = bo()
    ban(room)
    mute(room)
    room.ask(PlayerUnban(id="u", player="bo", by=BY))

    assert (sheet(room).ban, sheet(room).mute.reason) == (None, "loud")


# Words that get lost.
def test_sessions_are_told_a_few_times_more_how_the_player_stands() -> None:
    room = bo()
    ban(room)
    for pause in REPEATS_S:
        room.pass_time(pause)
    room.pass_time(3600)

    assert room.effects_of(ClosePlayer) == [ClosePlayer("bo", CloseCode.BANNED, "account.banned")] * 4
    assert room.actor.draft.timers == {}


def test_nobody_is_closed_for_a_ban_that_is_over() -> None:
    room = bo()
    ban(room)
    room.ask(PlayerUnban(id="u", player="bo", by=BY))
    room.pass_time(3600)

    assert len(room.effects_of(ClosePlayer)) == 1
    assert {command.until_ms for command in room.effects_of(MutePlayer)} == {0}


def test_a_mute_that_is_lifted_is_not_told_again() -> None:
    room = bo()
    mute(room)
    room.ask(PlayerUnmute(id="u", player="bo", by=BY))
    for pause in REPEATS_S:
        room.pass_time(pause)

    assert [command.until_ms for command in room.effects_of(MutePlayer)] == [FOR_EVER_MS, 0, 0, 0, 0]


# The sheet.
def test_the_sheet_shows_who_is_here_and_nothing_to_sign_in_with() -> None:
    room = bo()
    shown = sheet(room)

    assert (shown.player, shown.name, shown.created_at, shown.guild) == ("bo", "Bo Bee", NOON, None)
    [session] = shown.sessions
    assert (session.node, session.since) == ("north", NOON)
    assert f"g{NOON}" not in repr(shown)


def test_who_was_never_here_has_a_sheet_once_a_notice_waits() -> None:
    room = bo(known=False)
    with pytest.raises(PlayerNotFound):
        sheet(room)

    room.hear(NoticeTold(kind="k.k", title="t", body=""), sender="guild:1")

    assert (sheet(room).created_at, sheet(room).inbox.unread) == (0, 1)
