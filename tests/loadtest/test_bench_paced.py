"""The open loop of the bench: lines are due when they are due, and a server that is late is found to be."""

import asyncio
import os
from itertools import pairwise
from random import Random

import pytest

from loadtest.bench.driver import now
from loadtest.bench.floor import Bare
from loadtest.bench.loads import Place
from loadtest.bench.paced import Interval, paced_chat, schedule

STALL_S = 0.4


def test_the_schedule_has_its_rate_and_its_order_and_ends_in_time() -> None:
    due = list(schedule(400.0, 50.0, Random(1)))

    assert len(due) == pytest.approx(20_000, rel=0.03)
    assert all(earlier < later for earlier, later in pairwise(due))
    assert due[0] > 0
    assert due[-1] < 50.0


def test_the_schedule_bunches_as_people_do_who_know_nothing_of_each_other() -> None:
    """Gaps of a Poisson process: as large a deviation as their mean, 1/e of them longer than it."""
    due = list(schedule(100.0, 200.0, Random(2)))
    gaps = [later - earlier for earlier, later in pairwise(due)]

    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


def test_the_schedule_is_the_same_for_the_same_dice() -> None:
    assert list(schedule(50.0, 2.0, Random(3))) == list(schedule(50.0, 2.0, Random(3)))


def test_what_was_due_outside_of_the_interval_is_not_measured() -> None:
    interval = Interval()
    assert not interval.holds(5.0)
    interval.start, interval.end = 5.0, 6.0

    assert [interval.holds(due) for due in (4.9, 5.0, 5.9, 6.0)] == [False, True, True, False]


class Stalling(Bare):
    """The floor, which stops for a moment at the line in the middle of the interval."""

    heard = 0
    here = 0
    empty: asyncio.Event

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        Stalling.here += 1

    def connection_lost(self, exc: Exception | None) -> None:
        Stalling.here -= 1
        if not Stalling.here:
            Stalling.empty.set()

    def _tell(self, payload: bytes) -> None:
        Stalling.heard += 1
        if Stalling.heard == 150:
            until = now() + STALL_S
            while now() < until:
                pass
        super()._tell(payload)


async def test_a_stall_is_in_the_latencies_of_all_that_was_due_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that waits for a stalled server before it sends would count one slow line, and find a p99 as ever."""
    monkeypatch.setattr(Bare, "rooms", {})
    Stalling.empty = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(Stalling, "127.0.0.1", 0)
    async with server:
        place = Place("127.0.0.1", server.sockets[0].getsockname()[1], os.getpid(), floor=True)

        paced = await paced_chat(place, kind="world", rooms=1, members=10, seconds=1.0, deliveries_per_second=1_000)
        await Stalling.empty.wait()

    assert paced.offered_per_second == pytest.approx(1_000, rel=0.3)
    assert paced.measured.p99_ms > STALL_S * 1000 * 0.9
    assert paced.late_p99_ms > STALL_S * 1000 * 0.8
