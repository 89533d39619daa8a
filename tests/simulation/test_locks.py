"""The simulated database's row locks: who waits for whom, how long, and what becomes of those that wait in a circle."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from random import Random
from unittest import mock

import pytest

from storage import commits
from storage.faults import Contended
from storage.mysql_link import LOCK_WAIT_S
from tests.simulation.locks import RowLocks
from tests.simulation.loop import SimulatedLoop


class Database:
    """Row locks in virtual time, and what became of them."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.deadlocks: list[str] = []
        self.done: list[tuple[str, float]] = []
        self._locks = RowLocks(self.deadlocks.append)
        self._loop = loop

    async def transaction(self, name: str, rows: list[str], seconds: float = 1.0) -> None:
        """Hold ``rows`` for so long, after waiting for them."""
        try:
            async with self._locks.held(name, rows, Random(name)):
                await asyncio.sleep(seconds)
        except Contended:
            name = f"{name} rolled back"
        self.done.append((name, round(self._loop.time())))

    def run(self, *transactions: Coroutine[None, None, None]) -> None:
        """Begin them together and see them all through."""

        async def all_of_them() -> None:
            async with asyncio.TaskGroup() as tasks:
                for transaction in transactions:
                    tasks.create_task(transaction)

        self._loop.run_until_complete(all_of_them())


@pytest.fixture
def database() -> Iterator[Database]:
    """One in which nothing is locked."""
    loop = SimulatedLoop(Random(1))
    yield Database(loop)
    loop.close()


def locked_in(order: Callable[[Iterable[str]], list[str]]) -> "mock._patch[Callable[[Iterable[str]], list[str]]]":
    return mock.patch.object(commits, "lock_order", order)


def test_who_comes_later_waits_and_gets_the_row_in_turn(database: Database) -> None:
    database.run(*(database.transaction(name, ["a"]) for name in ("one", "two", "three")))

    assert database.done == [("one", 1), ("two", 2), ("three", 3)]


def test_transactions_of_other_rows_wait_for_nobody(database: Database) -> None:
    database.run(database.transaction("one", ["a", "b"]), database.transaction("two", ["c", "d"]))

    assert {at for _, at in database.done} == {1}


def test_in_the_order_of_the_product_nobody_waits_in_a_circle(database: Database) -> None:
    database.run(database.transaction("one", ["a", "b"]), database.transaction("two", ["b", "a"]))

    assert [at for _, at in database.done] == [1, 2]
    assert not database.deadlocks


def test_of_a_circle_one_is_rolled_back_and_the_others_go_on(database: Database) -> None:
    with locked_in(list):
        database.run(
            database.transaction("one", ["a", "b"]),
            database.transaction("two", ["b", "c"]),
            database.transaction("three", ["c", "a"]),
        )

    assert [name.endswith("rolled back") for name, _ in database.done] == [True, False, False]
    (circle,) = database.deadlocks
    assert {part.strip() for part in circle.split(";")} == {
        "one has a and wants b",
        "two has b and wants c",
        "three has c and wants a",
    }


def test_nobody_waits_for_ever(database: Database) -> None:
    database.run(
        database.transaction("one", ["a"], seconds=LOCK_WAIT_S + 2),
        database.transaction("two", ["a"]),
    )

    assert database.done == [("two rolled back", LOCK_WAIT_S), ("one", LOCK_WAIT_S + 2)]
    assert not database.deadlocks
