"""How often somebody may try to sign in, by address and by account."""

import pytest

from protocol.errors import RateLimited
from server import sign_in_rates
from server.limits import Rate
from server.sign_in_rates import Buckets, SignInLimits, SignInRates

NOW = 5_000_000.0
HERE, THERE = "192.0.2.1", "198.51.100.7"
LIMITS = SignInLimits(
    attempts_per_address=Rate(per_s=1, burst=10),
    failures_per_address=Rate(per_s=0.5, burst=4),
    attempts_per_account=Rate(per_s=0.1, burst=3),
    failures_per_account=Rate(per_s=0.1, burst=2),
)


def pause(rates: SignInRates, address: str, account: str | None = None, now: float = NOW) -> int:
    """Milliseconds until a try is allowed, 0 if it is."""
    try:
        if account is None:
            rates.knock(now, address)
        else:
            rates.attempt(now, address, account)
    except RateLimited as refused:
        assert refused.retry_after_ms is not None
        return refused.retry_after_ms
    return 0


def test_one_address_may_try_so_often_whatever_it_tries() -> None:
    rates = SignInRates(LIMITS)
    assert [pause(rates, HERE, f"a{n}") for n in range(11)] == [0] * 10 + [1_000]

    assert pause(rates, THERE, "a11") == 0
    assert pause(rates, HERE, "a11", NOW + 1) == 0


def test_one_account_may_be_tried_so_often_from_wherever() -> None:
    rates = SignInRates(LIMITS)
    assert [pause(rates, f"192.0.2.{n}", "ann") for n in range(4)] == [0, 0, 0, 10_000]

    assert pause(rates, HERE, "bo") == 0


def test_wrong_tokens_of_an_address_end_its_sign_ins_and_nobody_elses() -> None:
    rates = SignInRates(LIMITS)
    for _ in range(4):
        assert pause(rates, HERE) == 0
        rates.failed(NOW, HERE)

    assert pause(rates, HERE) == 2_000
    assert pause(rates, THERE) == 0
    assert pause(rates, HERE, now=NOW + 2) == 0


def test_who_guesses_at_one_account_from_many_addresses_is_stopped_too() -> None:
    rates = SignInRates(LIMITS)
    for n in range(2):
        rates.failed(NOW, f"192.0.2.{n}", "ann")

    assert pause(rates, THERE, "ann") == 10_000
    assert pause(rates, THERE, "bo") == 0


def test_a_network_of_ipv6_is_one_address() -> None:
    rates = SignInRates(LIMITS)
    for n in range(4):
        rates.failed(NOW, f"2001:db8:1:2::{n}")

    assert pause(rates, "2001:db8:1:2:ffff::1") > 0
    assert pause(rates, "2001:db8:1:3::1") == 0


def test_what_is_refused_costs_nothing_and_is_counted() -> None:
    rates = SignInRates(LIMITS)
    for _ in range(3):
        rates.attempt(NOW, HERE, "ann")
    for _ in range(50):
        assert pause(rates, HERE, "ann") == 10_000

    assert [pause(rates, HERE, f"b{n}") for n in range(7)] == [0] * 7
    assert rates._limited == {"sign_in": 50}


def test_limits_that_change_hold_at_once() -> None:
    rates = SignInRates(LIMITS)
    for _ in range(4):
        rates.failed(NOW, HERE)
    assert pause(rates, HERE)

    rates.set(SignInLimits(failures_per_address=Rate(per_s=100, burst=100)))
    assert pause(rates, HERE) == 0


def test_more_addresses_than_can_be_remembered_wait_and_those_known_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_rates, "MOST", 100)
    buckets = Buckets(Rate(per_s=0.01, burst=2))
    for n in range(200):
        buckets.take(NOW, f"a{n}")

    assert len(buckets) == 100
    assert buckets.wait(NOW, "a0") <= 0
    assert buckets.wait(NOW, "new") == 60.0
    assert buckets.wait(NOW + 101, "new") <= 0
