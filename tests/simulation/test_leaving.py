"""Players of a node that drains: they leave one after the other, and are elsewhere within a second or so."""

from unittest import mock

from loadtest.history import Lost, Welcomed
from server import gateway
from tests.simulation.faults import Fault, Plan
from tests.simulation.run import Run, Size, simulate

NETWORK_S = 1.0
"""What the simulated network may take for the three ways of a new connection: its slowest lines take 0.3 s a way."""
PLAN = Plan(14.0, (Fault(at=8.0, kind="drain"),))


def moved(run: Run) -> list[tuple[int, int]]:
    """(when, for how long) players were without a connection, in milliseconds."""
    lost: dict[str, int] = {}
    away = []
    for record in run.records:
        if isinstance(record, Lost):
            lost[record.player] = record.at
        elif isinstance(record, Welcomed) and record.player in lost:
            away.append((lost[record.player], record.at - lost.pop(record.player)))
    return sorted(away)


def test_they_leave_one_after_the_other_and_are_elsewhere_soon() -> None:
    with mock.patch.multiple(gateway, DRAIN_SLICE=1, LEAVING_PER_S=10):
        run = simulate(3, Size(seconds=PLAN.seconds), PLAN)
    away = moved(run)

    assert not run.defects
    assert len(away) >= 5
    assert away[-1][0] - away[0][0] > (len(away) - 2) * 1000 / 10 - NETWORK_S * 1000 / 2
    assert max(took for _, took in away) < 1000 * (gateway.AGAIN_S + 0.5 + NETWORK_S)
