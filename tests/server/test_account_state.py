"""Refresh tokens: good once, forgiving of a lost answer, unforgiving of a thief."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.account_state import (
    GRACE_MS,
    SIBLINGS,
    Presented,
    RefreshFamily,
    Rotation,
    end,
    open_family,
    rotate,
)

EXPIRES = 1_000_000


@pytest.fixture
def family() -> RefreshFamily:
    state = RefreshFamily()
    open_family(state, "ann", Presented("anchor", "1"), EXPIRES)
    return state


def use(state: RefreshFamily, secret: str, fresh: str, at: int = 0) -> Rotation:
    return rotate(state, Presented("anchor", secret), fresh, now_ms=at, expires_ms=at + EXPIRES)


def test_each_token_gives_the_next(family: RefreshFamily) -> None:
    assert use(family, "1", "2") is Rotation.ROTATED
    assert use(family, "2", "3") is Rotation.ROTATED
    assert family.player == "ann"


def test_a_used_token_ends_the_family_for_thief_and_owner(family: RefreshFamily) -> None:
    use(family, "1", "2")
    use(family, "2", "3")

    assert use(family, "1", "stolen") is Rotation.REUSED
    assert family.ended
    for secret in ("1", "2", "3", "stolen"):
        assert use(family, secret, "x") is Rotation.EXPIRED


def test_a_token_used_up_long_ago_is_still_recognised(family: RefreshFamily) -> None:
    for number in range(1, 500):
        use(family, str(number), str(number + 1))

    assert use(family, "1", "x") is Rotation.REUSED


def test_a_client_that_lost_the_answer_may_ask_again(family: RefreshFamily) -> None:
    use(family, "1", "lost")

    assert use(family, "1", "2", at=GRACE_MS - 1) is Rotation.REPEATED
    assert use(family, "2", "3", at=GRACE_MS - 1) is Rotation.ROTATED


def test_an_answer_that_comes_late_after_all_is_good_too(family: RefreshFamily) -> None:
    use(family, "1", "slow")
    use(family, "1", "2")

    assert use(family, "slow", "3") is Rotation.ROTATED


def test_of_two_answers_to_one_token_only_one_can_be_gone_on_with(family: RefreshFamily) -> None:
    use(family, "1", "owner")
    use(family, "1", "thief")
    use(family, "thief", "thief2")

    assert use(family, "owner", "x") is Rotation.REUSED
    assert use(family, "thief2", "x") is Rotation.EXPIRED


def test_a_repeat_after_the_grace_ends_the_family(family: RefreshFamily) -> None:
    use(family, "1", "2")

    assert use(family, "1", "x", at=GRACE_MS) is Rotation.REUSED


def test_repeats_do_not_stretch_the_grace(family: RefreshFamily) -> None:
    use(family, "1", "2")
    use(family, "1", "3", at=GRACE_MS - 1)

    assert use(family, "1", "4", at=GRACE_MS) is Rotation.REUSED


def test_many_repeats_leave_a_bounded_number_of_good_tokens(family: RefreshFamily) -> None:
    use(family, "1", "f0")
    for number in range(1, 50):
        assert use(family, "1", f"f{number}") is Rotation.REPEATED

    assert len(family.current) == SIBLINGS
    assert use(family, "f49", "next") is Rotation.ROTATED


def test_someone_who_knows_only_the_family_cannot_end_it(family: RefreshFamily) -> None:
    guess = Presented("guessed", "guessed")

    assert rotate(family, guess, "x", now_ms=0, expires_ms=1) is Rotation.UNKNOWN
    assert use(family, "1", "2") is Rotation.ROTATED


def test_a_family_that_was_never_opened_knows_nobody() -> None:
    empty = Presented("", "")

    assert rotate(RefreshFamily(), empty, "x", now_ms=0, expires_ms=1) is Rotation.UNKNOWN


def test_a_token_expires_when_it_is_not_used_and_each_use_starts_anew(
    family: RefreshFamily,
) -> None:
    assert use(family, "1", "2", at=EXPIRES - 1) is Rotation.ROTATED
    assert use(family, "2", "3", at=EXPIRES + 1) is Rotation.ROTATED
    assert use(family, "3", "4", at=3 * EXPIRES) is Rotation.EXPIRED


def test_signing_out_ends_every_token(family: RefreshFamily) -> None:
    end(family)

    assert use(family, "1", "2") is Rotation.EXPIRED


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60_000)), max_size=40))
def test_of_two_copies_the_one_that_goes_on_makes_the_other_worthless(
    steps: list[tuple[bool, int]],
) -> None:
    """Thief and owner use their copies in any order at any time."""
    state = RefreshFamily()
    open_family(state, "ann", Presented("anchor", "0"), 10**12)
    held, now = {True: "0", False: "0"}, 0
    for number, (who, wait) in enumerate(steps, start=1):
        now += wait
        was_ended, fresh = state.ended, str(number)
        outcome = rotate(state, Presented("anchor", held[who]), fresh, now_ms=now, expires_ms=10**12)
        if outcome in {Rotation.ROTATED, Rotation.REPEATED}:
            held[who] = fresh
        if outcome is Rotation.ROTATED:
            assert held[not who] not in state.current
        assert (outcome is Rotation.EXPIRED) == was_ended
        assert state.ended == (was_ended or outcome is Rotation.REUSED)
        assert len(state.current) <= SIBLINGS
