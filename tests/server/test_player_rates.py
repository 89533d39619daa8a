"""What one player may ask for, over all sessions of the player; time is an argument."""

import pytest

from protocol.errors import RateLimited
from server import player_rates
from server.limits import Rate, RateLimits, SessionRates, SharedRates
from server.player_rates import PlayerRateLimits, PlayerRates

NOW = 5_000_000.0
SESSIONS = SharedRates(SessionRates(requests=Rate(per_s=1_000, burst=1_000), kinds={}))


def players(requests: Rate = Rate(per_s=10, burst=20), **kinds: Rate) -> PlayerRates:  # noqa: B008 - frozen
    return PlayerRates(
        PlayerRateLimits(requests=requests, kinds={tag.replace("_", "."): rate for tag, rate in kinds.items()})
    )


def session(of: PlayerRates, player: str = "ann", now: float = NOW) -> RateLimits:
    """A new session that has signed in."""
    limits = RateLimits(SESSIONS)
    limits.player = of.join(player, now)
    return limits


def passed(limits: RateLimits, tag: str = "x", now: float = NOW, tries: int = 100) -> int:
    """How many of some requests pass."""
    count = 0
    for _ in range(tries):
        try:
            limits.allow(now, tag)
        except RateLimited:
            continue
        count += 1
    return count


def test_sessions_of_one_player_share_what_the_player_may_ask_for() -> None:
    node = players()
    phone, tablet = session(node), session(node)

    assert (passed(phone, tries=15), passed(tablet)) == (15, 5)
    assert passed(session(node, "bo")) == 20


def test_who_reconnects_does_not_get_a_fresh_burst() -> None:
    node = players(chat_send=Rate(per_s=1, burst=5))
    assert passed(session(node), "chat.send") == 5
    node.leave("ann")

    assert passed(session(node), "chat.send") == 0
    assert passed(session(node, now=NOW + 2), "chat.send", NOW + 2) == 2


def test_the_pause_that_was_told_is_long_enough_and_no_longer_than_needed() -> None:
    phone = session(players(Rate(per_s=10, burst=1)))
    phone.allow(NOW, "x")
    with pytest.raises(RateLimited) as refused:
        phone.allow(NOW + 0.03, "x")

    assert refused.value.retry_after_ms == 70
    phone.allow(NOW + 0.1, "x")


def test_what_the_player_is_refused_costs_neither_player_nor_session() -> None:
    node = players(Rate(per_s=10, burst=2), chat_send=Rate(per_s=0.1, burst=1))
    phone = session(node)
    phone.allow(NOW, "chat.send")
    assert passed(phone, "chat.send") == 0

    assert passed(phone, "x") == 1


def test_a_player_on_two_nodes_gets_half_of_the_rate_on_each() -> None:
    north, south = players(), players()
    one, other = session(north), session(south)
    for node in (north, south):
        node.share("ann", 2, NOW)

    assert (passed(one), passed(other)) == (10, 10)
    assert (passed(one, now=NOW + 1), passed(other, now=NOW + 1)) == (5, 5)


def test_a_player_on_five_nodes_can_still_do_what_may_be_done_once() -> None:
    node = players(guild_create=Rate(per_s=0.1, burst=1))
    phone = session(node)
    node.share("ann", 5, NOW)

    assert passed(phone, "guild.create") == 1
    assert passed(phone, "guild.create", NOW + 49) == 0
    assert passed(phone, "guild.create", NOW + 51) == 1


def test_who_is_on_one_node_again_has_the_whole_rate_again() -> None:
    node = players()
    phone = session(node)
    node.share("ann", 2, NOW)
    node.share("ann", 1, NOW)

    assert passed(phone) == 20


def test_the_word_of_a_share_may_come_before_the_session() -> None:
    node = players()
    node.share("ann", 2, NOW)

    assert passed(session(node)) == 10


def test_the_share_of_who_has_left_is_forgotten() -> None:
    node = players()
    session(node)
    node.share("ann", 5, NOW)
    node.leave("ann")

    assert passed(session(node)) == 20


def test_sign_ins_of_a_player_are_counted() -> None:
    node = players(hello=Rate(per_s=0.5, burst=3))
    for _ in range(3):
        node.sign_in("ann", NOW)

    with pytest.raises(RateLimited) as refused:
        node.sign_in("ann", NOW)
    assert refused.value.retry_after_ms == 2_000
    node.sign_in("bo", NOW)
    assert node.limited == {"player_kind": 1}


def test_rates_that_change_hold_for_players_who_are_here() -> None:
    node = players(Rate(per_s=0.001, burst=5), chat_send=Rate(per_s=0.001, burst=1))
    phone, other = session(node), session(node, "bo")
    assert (passed(phone), passed(other, "chat.send")) == (5, 1)

    node.set(PlayerRateLimits(requests=Rate(per_s=10, burst=5), kinds={"chat.send": Rate(per_s=1, burst=1)}))

    assert passed(phone) == 5
    assert passed(other, "chat.send") == 1


def test_players_who_have_left_are_forgotten_once_their_bucket_is_full_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_rates, "SWEEP_FROM", 100)
    node = players()
    stays = session(node, "stays")
    for n in range(1_000):
        passed(session(node, f"p{n}", NOW + n), now=NOW + n, tries=1)
        node.leave(f"p{n}")

    assert len(node) <= 101
    assert node.of("stays", NOW) is stays.player
