"""The simulated loop: what asyncio promises within a process, and what an operating system does to one."""

import asyncio
from collections.abc import Iterator
from random import Random

import pytest

from tests.simulation.loop import Process, SimulatedLoop, Stuck


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    """A loop that runs when told to."""
    made = SimulatedLoop(Random(1))
    yield made
    made.close()


def run(loop: SimulatedLoop, seconds: float) -> None:
    """Let time pass."""
    loop.run_until_complete(asyncio.sleep(seconds))


def test_time_passes_only_when_nobody_has_anything_to_do(loop: SimulatedLoop) -> None:
    run(loop, 3600)

    assert loop.time() == 3600


def test_a_process_runs_its_callbacks_in_their_order(loop: SimulatedLoop) -> None:
    process = Process("a")
    done: list[int] = []
    for n in range(20):
        process.context.run(loop.call_soon, done.append, n, context=process.context)
    run(loop, 0)

    assert done == list(range(20))


def test_what_different_processes_do_at_once_has_no_order_but_the_seeds() -> None:
    orders = set()
    for seed in range(20):
        loop = SimulatedLoop(Random(seed))
        done: list[str] = []
        for name in "abc":
            loop.deliver(Process(name), 1.0, done.append, name)
        run(loop, 2)
        loop.close()
        orders.add("".join(done))

    assert len(orders) > 3


def test_a_paused_process_does_late_what_came_meanwhile(loop: SimulatedLoop) -> None:
    process = Process("a")
    done: list[float] = []
    process.paused = True
    loop.deliver(process, 1.0, lambda: done.append(loop.time()))
    run(loop, 5)
    assert done == []

    loop.resume(process)
    run(loop, 1)
    assert done == [5.0]


def test_a_dead_process_does_nothing_more(loop: SimulatedLoop) -> None:
    process = Process("a")
    done: list[int] = []
    loop.deliver(process, 1.0, done.append, 1)
    loop.kill(process)
    run(loop, 5)

    assert done == []


def test_a_fuse_takes_hold_between_two_callbacks(loop: SimulatedLoop) -> None:
    process = Process("a")
    done: list[int] = []
    process.fuse = 2
    process.blown = lambda: loop.kill(process)
    for n in range(4):
        loop.deliver(process, n, done.append, n)
    run(loop, 9)

    assert done == [0, 1]


def test_what_a_process_starts_belongs_to_it(loop: SimulatedLoop) -> None:
    process = Process("a")
    done: list[str] = []

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(1))
        done.append(loop.current.name)

    task = process.context.run(loop.create_task, work())
    run(loop, 2)

    assert task.done()
    assert done == ["a"]


def test_a_loop_that_waits_for_nothing_says_so(loop: SimulatedLoop) -> None:
    with pytest.raises(Stuck):
        loop.run_until_complete(loop.create_future())


def test_an_exception_that_nobody_catches_is_a_defect(loop: SimulatedLoop) -> None:
    loop.deliver(Process("a"), 0.0, lambda: 1 / 0)
    run(loop, 1)

    assert "ZeroDivisionError" in loop.defects[0]
