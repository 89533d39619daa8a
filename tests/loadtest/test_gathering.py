"""Ticks of processes become the moments of one run, and say whether the tester was the one who was slow."""

import pytest

from loadtest import outcome
from loadtest.figures import DELIVERY, Meters, State, Tick
from loadtest.running.gathering import Gathering

PROCESSES = 2


def tick(process: int, second: int, *, lag_ms: float = 1.0, cpu: float = 0.3, asked: int = 3) -> Tick:
    """A second of one process."""
    meters = Meters(process)
    meters.counts.asked = asked
    meters.took(DELIVERY, 0.010 * (process + 1))
    return meters.take(second, {State.ONLINE: 10 + process}, lag_ms=lag_ms, cpu=cpu)


def test_a_second_is_closed_when_all_processes_have_spoken() -> None:
    gathering = Gathering(PROCESSES)
    gathering.add(tick(0, 0))
    assert gathering.moments == []

    gathering.add(tick(1, 0))

    [moment] = gathering.moments
    assert moment.second == 0
    assert moment.players == {State.ONLINE: 21}
    assert sum(moment.counts.values()) == 6
    assert moment.took[DELIVERY].count == 2
    assert moment.cpu == [0.3, 0.3]


def test_a_process_that_says_nothing_holds_up_nobody_and_what_it_says_late_counts_for_the_whole() -> None:
    gathering = Gathering(PROCESSES)
    for second in range(4):
        gathering.add(tick(0, second))
    assert [moment.second for moment in gathering.moments] == [0, 1]

    gathering.add(tick(1, 0))
    gathering.finish()

    assert [moment.second for moment in gathering.moments] == [0, 1, 2, 3]
    assert gathering.moments[0].cpu == [0.3, 0.0]
    assert gathering.whole.took[DELIVERY].get_total_count() == 5


def test_latencies_of_the_whole_run_are_those_of_all_seconds_and_processes() -> None:
    gathering = Gathering(PROCESSES)
    for second in range(50):
        for process in range(PROCESSES):
            gathering.add(tick(process, second))
    gathering.finish()

    [delivery] = gathering.kinds()
    assert delivery.kind == DELIVERY
    assert delivery.took.count == 100
    assert delivery.took.p50 == pytest.approx(10, rel=0.01)
    assert delivery.took.p99 == pytest.approx(20, rel=0.01)
    assert dict(delivery.curve)[75] == pytest.approx(20, rel=0.01)


def judged(late: int, *, cpu: float = 0.3, closed_loop: bool = False) -> outcome.Tester:
    """The tester of a run of 100 seconds, in ``late`` of which a timer was 80 ms late."""
    gathering = Gathering(1)
    for second in range(100):
        gathering.add(tick(0, second, lag_ms=80.0 if second < late else 1.0, cpu=cpu))
    gathering.add(tick(0, 100, lag_ms=900.0))  # everybody stops
    return gathering.tester(100.4, closed_loop=closed_loop)


def test_the_tester_is_the_bottleneck_where_it_is_late_in_one_of_ten_seconds_or_its_core_is_full() -> None:
    assert judged(late=0).bottleneck == ""
    assert judged(late=9).bottleneck == ""
    assert judged(late=9).lag_longest_ms == judged(late=9).lag_p99_ms == 80.0
    assert judged(late=11).bottleneck == "a timer of the tester was 80 ms late"
    assert judged(late=0, cpu=0.95).bottleneck == "process 0 takes 95% of a core"


def test_a_closed_loop_takes_all_that_it_can_get() -> None:
    assert judged(late=50, cpu=0.99, closed_loop=True).bottleneck == ""


def test_a_run_that_never_was_has_no_tester_who_was_slow() -> None:
    tester = Gathering(0).tester(0.0, closed_loop=False)

    assert (tester.lag_p99_ms, tester.cpu, tester.bottleneck) == (0.0, [], "")
