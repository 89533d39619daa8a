"""What a session may ask and what a node takes in; time is an argument, so nothing here waits."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RateLimited
from server.limits import (
    SWEEP_FROM,
    Admission,
    AdmissionLimits,
    Rate,
    RateLimits,
    Refusal,
    SessionRates,
    session_limits,
)

NOW = 5_000_000.0  # seconds; a machine that has been up for two months


def rates(requests: Rate, **kinds: Rate) -> SessionRates:
    return SessionRates(
        requests=requests,
        kinds={tag.replace("_", "."): rate for tag, rate in kinds.items()},
        abuse_refusals=3,
        abuse_s=10.0,
    )


def refusal(limits: RateLimits, now: float, tag: str) -> RateLimited:
    with pytest.raises(RateLimited) as refused:
        limits.allow(now, tag)
    return refused.value


# One session.
def test_a_burst_is_allowed_whole_and_the_next_one_is_told_when_to_come_back() -> None:
    limits = RateLimits(rates(Rate(per_s=10, burst=20)))
    for _ in range(20):
        limits.allow(NOW, "profile.get")

    assert refusal(limits, NOW, "profile.get").retry_after_ms == 100


def test_the_pause_that_was_told_is_long_enough_and_no_longer_than_needed() -> None:
    limits = RateLimits(rates(Rate(per_s=10, burst=1)))
    limits.allow(NOW, "profile.get")
    pause_ms = refusal(limits, NOW + 0.03, "profile.get").retry_after_ms

    assert pause_ms == 70
    limits.allow(NOW + 0.03 + pause_ms / 1000, "profile.get")


def test_a_quiet_session_gets_its_burst_back_but_not_more() -> None:
    limits = RateLimits(rates(Rate(per_s=10, burst=5)))
    for _ in range(5):
        limits.allow(NOW, "profile.get")

    for _ in range(5):
        limits.allow(NOW + 3600, "profile.get")
    refusal(limits, NOW + 3600, "profile.get")


def test_a_kind_has_its_own_rate_and_leaves_others_alone() -> None:
    limits = RateLimits(rates(Rate(per_s=100, burst=100), guild_create=Rate(per_s=0.1, burst=1)))
    limits.allow(NOW, "guild.create")

    refused = refusal(limits, NOW, "guild.create")
    assert refused.retry_after_ms == 10_000
    assert str(refused) == "guild.create may do 1 at once and one in 10 s"
    limits.allow(NOW, "guild.get")


def test_a_kind_with_its_own_rate_counts_against_the_session_too() -> None:
    limits = RateLimits(rates(Rate(per_s=1, burst=2), chat_send=Rate(per_s=10, burst=20)))
    limits.allow(NOW, "chat.send")
    limits.allow(NOW, "chat.send")

    assert refusal(limits, NOW, "chat.send").retry_after_ms == 1000


def test_what_is_refused_costs_nothing() -> None:
    limits = RateLimits(rates(Rate(per_s=1, burst=2), chat_send=Rate(per_s=0.5, burst=1)))
    limits.allow(NOW, "chat.send")
    for _ in range(50):
        refusal(limits, NOW, "chat.send")

    limits.allow(NOW, "profile.get")
    assert refusal(limits, NOW, "profile.get").retry_after_ms == 1000
    assert refusal(limits, NOW + 1, "chat.send").retry_after_ms == 1000
    limits.allow(NOW + 2, "chat.send")


def test_the_longer_of_two_pauses_is_told() -> None:
    limits = RateLimits(rates(Rate(per_s=0.1, burst=1), chat_send=Rate(per_s=1, burst=1)))
    limits.allow(NOW, "chat.send")

    assert refusal(limits, NOW, "chat.send").retry_after_ms == 10_000


def test_a_few_refusals_are_no_abuse() -> None:
    limits = RateLimits(rates(Rate(per_s=1, burst=1)))
    limits.allow(NOW, "x")
    for _ in range(3):
        refusal(limits, NOW, "x")

    assert not limits.abused


def test_a_session_that_keeps_on_after_refusals_is_abusive_for_good() -> None:
    limits = RateLimits(rates(Rate(per_s=1, burst=1)))
    limits.allow(NOW, "x")
    for _ in range(4):
        refusal(limits, NOW, "x")
    limits.allow(NOW + 3600, "x")

    assert limits.abused


def test_refusals_that_are_far_apart_are_no_abuse() -> None:
    limits = RateLimits(rates(Rate(per_s=0.0001, burst=1)))
    limits.allow(NOW, "x")
    for n in range(100):
        refusal(limits, NOW + 3.4 * n, "x")  # three within 10 s, never four

    assert not limits.abused


def test_two_sessions_do_not_share_their_buckets() -> None:
    shared = rates(Rate(per_s=1, burst=1), chat_send=Rate(per_s=1, burst=1))
    first, second = RateLimits(shared), RateLimits(shared)

    first.allow(NOW, "chat.send")
    second.allow(NOW, "chat.send")


def test_switched_off_everything_is_allowed() -> None:
    limits = session_limits(rates(Rate(per_s=1, burst=1)), enabled=False)
    for _ in range(1000):
        limits.allow(NOW, "guild.create")

    assert not limits.abused


def test_switched_on_the_rates_hold() -> None:
    limits = session_limits(rates(Rate(per_s=1, burst=1)), enabled=True)
    limits.allow(NOW, "x")

    with pytest.raises(RateLimited):
        limits.allow(NOW, "x")


@given(
    per_s=st.floats(0.01, 1000),
    burst=st.integers(1, 200),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=100),
)
def test_no_more_than_burst_and_rate_ever_pass(per_s: float, burst: int, gaps: list[float]) -> None:
    limits = RateLimits(rates(Rate(per_s=per_s, burst=burst)))
    now, passed = NOW, 0
    for gap in gaps:
        now += gap
        try:
            limits.allow(now, "x")
            passed += 1
        except RateLimited as refused:
            assert refused.retry_after_ms is not None
            assert refused.retry_after_ms > 0

    assert passed <= burst + (now - NOW) * per_s + 0.01


def test_rates_are_read_from_configuration_with_their_bounds() -> None:
    read = msgspec.convert({"kinds": {"chat.send": {"per_s": 1, "burst": 2}}}, SessionRates)
    assert read.kinds == {"chat.send": Rate(per_s=1, burst=2)}

    for wrong in ({"per_s": 0, "burst": 1}, {"per_s": 1, "burst": 0}, {"per_s": 1}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"requests": wrong}, SessionRates)


# One node.
def admission(
    *,
    connections: int = 1000,
    per_address: int = 100,
    handshakes: Rate = Rate(per_s=1000, burst=1000),  # noqa: B008 - frozen
    per_address_rate: Rate = Rate(per_s=1000, burst=1000),  # noqa: B008 - frozen
) -> Admission:
    return Admission(
        AdmissionLimits(
            connections=connections,
            connections_per_address=per_address,
            handshakes=handshakes,
            handshakes_per_address=per_address_rate,
            full_retry_s=10,
            longest_retry_s=30,
        )
    )


def test_a_full_node_refuses_until_a_connection_has_ended() -> None:
    node = admission(connections=2)
    assert node.admit(NOW, "192.0.2.1") is None
    assert node.admit(NOW, "192.0.2.2") is None

    assert node.admit(NOW, "192.0.2.3") == Refusal("node_full", 10)
    node.release("192.0.2.1")
    assert node.admit(NOW, "192.0.2.3") is None
    assert node.connections == 2


def test_one_address_cannot_take_all_connections() -> None:
    node = admission(per_address=2)
    node.admit(NOW, "192.0.2.1")
    node.admit(NOW, "192.0.2.1")

    assert node.admit(NOW, "192.0.2.1") == Refusal("address_full", 10)
    assert node.admit(NOW, "192.0.2.2") is None
    node.release("192.0.2.1")
    assert node.admit(NOW, "192.0.2.1") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
    ids=["one /64 network", "IPv4 within IPv6", "link-local zones"],
)
def test_addresses_of_one_place_count_together(one: str, other: str) -> None:
    node = admission(per_address=1)
    node.admit(NOW, one)

    assert node.admit(NOW, other) == Refusal("address_full", 10)
    node.release(other)
    assert node.admit(NOW, one) is None


def test_a_proxys_connection_counts_for_the_node_and_for_nobody_until_it_is_named() -> None:
    node = admission(connections=3, per_address=1)
    assert [node.admit(NOW, None) for _ in range(4)] == [None, None, None, Refusal("node_full", 10)]

    assert node.name(NOW, "192.0.2.1") is None
    assert node.name(NOW, "192.0.2.1") == Refusal("address_full", 10)
    assert node.name(NOW, "192.0.2.2") is None
    assert node.connections == 3
    for address in ("192.0.2.1", None, "192.0.2.2"):
        node.release(address)
    assert node.connections == 0
    assert node.admit(NOW, "192.0.2.1") is None


def test_a_client_behind_a_proxy_that_comes_too_fast_is_refused_when_it_is_named() -> None:
    node = admission(per_address_rate=Rate(per_s=1, burst=2))
    for _ in range(3):
        assert node.admit(NOW, None) is None

    assert [node.name(NOW, "192.0.2.1") for _ in range(3)] == [None, None, Refusal("address_too_fast", 1)]
    assert node.name(NOW + 1, "192.0.2.1") is None  # what was refused cost nothing


def test_other_networks_count_apart() -> None:
    node = admission(per_address=1)
    node.admit(NOW, "2001:db8:1:2::1")

    assert node.admit(NOW, "2001:db8:1:3::1") is None


def test_handshakes_that_come_too_fast_are_spread_over_the_time_they_need() -> None:
    """A node died and 100 players come at once to one that takes 10 a second."""
    node = admission(handshakes=Rate(per_s=10, burst=10))
    answers = [node.admit(NOW, f"192.0.2.{n}") for n in range(110)]

    assert answers[:10] == [None] * 10
    pauses = [answer.retry_after_s for answer in answers[10:] if answer is not None]
    assert len(pauses) == 100
    assert {pause: pauses.count(pause) for pause in pauses} == dict.fromkeys(range(1, 11), 10)


def test_nobody_is_sent_away_for_longer_than_the_longest_pause() -> None:
    node = admission(handshakes=Rate(per_s=1, burst=1))
    answers = [node.admit(NOW, f"192.0.2.{n}") for n in range(200)]

    assert answers[-1] == Refusal("too_fast", 30)


def test_one_address_cannot_use_up_the_handshakes_of_all() -> None:
    node = admission(handshakes=Rate(per_s=10, burst=10), per_address_rate=Rate(per_s=1, burst=5))
    for _ in range(5):
        assert node.admit(NOW, "192.0.2.1") is None
        node.release("192.0.2.1")

    for _ in range(100):
        assert node.admit(NOW, "192.0.2.1") == Refusal("address_too_fast", 1)
    assert node.admit(NOW, "192.0.2.2") is None


def test_addresses_that_are_gone_are_forgotten() -> None:
    node = admission(handshakes=Rate(per_s=1e6, burst=10**6))
    for n in range(20 * SWEEP_FROM):
        address = f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"
        assert node.admit(NOW + n, address) is None
        node.release(address)

    assert len(node._full_at_by_address) <= SWEEP_FROM + 1
    assert not node._by_address
    assert node.connections == 0
