"""How figures of a run add up."""

from random import Random

import pytest

from loadtest.figures import QUANTILES, bottleneck, histogram, quantiles_ms


@pytest.mark.parametrize("count", [1, 2, 3, 10, 999, 1_000, 1_001])
def test_quantiles_taken_in_one_pass_are_those_of_the_histogram(count: int) -> None:
    random, kept = Random(count), histogram()
    for _ in range(count):
        kept.record_value(max(1, round(1_000_000 * random.lognormvariate(-4.0, 2.0))))

    assert quantiles_ms(kept) == [kept.get_value_at_percentile(percent) / 1000 for percent in QUANTILES]


@pytest.mark.parametrize(
    ("lag_ms", "cpu", "says"),
    [
        (49.9, {0: 0.89, 1: 0.5}, ""),
        (1.0, {0: 0.5, 1: 0.9}, "process 1 takes 90% of a core"),
        (50.0, {0: 0.5}, "a timer of the tester was 50 ms late"),
    ],
)
def test_a_tester_that_is_busy_or_late_is_the_bottleneck(lag_ms: float, cpu: dict[int, float], says: str) -> None:
    assert bottleneck(lag_ms, cpu) == says
