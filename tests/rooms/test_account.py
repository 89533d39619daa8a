"""Accounts: one player for a device, and a sign-in that lives as long as its refresh tokens are used once each."""

from actors.account import (
    AccountOpen,
    FamilyOpen,
    FamilyRotate,
    FamilyRotated,
    account,
    family,
)
from actors.account_state import Presented
from tests.support.room import NOON, Room

MONTH_MS = 30 * 24 * 3600 * 1000


def test_a_device_is_the_same_player_for_ever() -> None:
    room = Room(account, actor="account:d1", caller="server")
    first = room.ask(AccountOpen(id="1", device="d1"))
    again = room.ask(AccountOpen(id="2", device="d1"))
    assert first.created
    assert not again.created
    assert again.player == first.player


def test_two_devices_are_two_players() -> None:
    one = Room(account, actor="account:d1", caller="server").ask(AccountOpen(id="1", device="d1"))
    assert len(one.player) <= 64
    assert one.player.isalnum()


def _opened() -> Room:
    room = Room(family, actor="family:f1", caller="server")
    first = Presented("anchor", "one")
    room.ask(FamilyOpen(id="0", family="f1", player="ann", first=first, expires_ms=NOON + MONTH_MS))
    return room


def _rotate(room: Room, number: str, secret: str, fresh: str) -> FamilyRotated:
    reply = room.ask(
        FamilyRotate(
            id=number,
            family="f1",
            presented=Presented("anchor", secret),
            fresh=fresh,
            expires_ms=room.now_ms + MONTH_MS,
        )
    )
    assert isinstance(reply, FamilyRotated)
    return reply


def test_each_refresh_token_is_good_once_and_leads_to_the_next() -> None:
    room = _opened()
    assert _rotate(room, "1", "one", "two") == FamilyRotated(outcome="rotated", player="ann")
    assert _rotate(room, "2", "two", "three").player == "ann"


def test_a_token_that_comes_back_late_ends_the_sign_in_for_thief_and_owner() -> None:
    room = _opened()
    _rotate(room, "1", "one", "two")
    room.pass_time(60)
    assert _rotate(room, "2", "one", "stolen") == FamilyRotated(outcome="reused")
    assert _rotate(room, "3", "two", "three") == FamilyRotated(outcome="expired")


def test_the_state_that_ends_a_family_is_saved_although_the_answer_is_no() -> None:
    room = _opened()
    _rotate(room, "1", "one", "two")
    room.commit()
    room.pass_time(60)
    _rotate(room, "2", "one", "stolen")
    assert "family" in room.commit().slices
