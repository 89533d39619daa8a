"""A transaction that others were in the way of is tried again."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from storage.faults import Contended
from storage.store import StoreDown

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

ATTEMPTS = 6
"""Tries of a transaction that meets a deadlock or a lock wait timeout; the pauses between them add up to some 0.3 s."""

FIRST_PAUSE_S = 0.01
"""Upper bound of the first random pause after a deadlock; it doubles with every try."""


async def tried(
    run: Callable[[], Awaitable[T]],
    *,
    random: Random,
    sleep: Sleep,
    again: tuple[type[Exception], ...] = (Contended,),
) -> T:
    """Run a transaction, and again after a random pause as long as it ends in one of ``again``.

    Raises:
        StoreDown: it did so ``ATTEMPTS`` times.
    """
    pause_s = FIRST_PAUSE_S
    for _ in range(ATTEMPTS - 1):
        try:
            return await run()
        except again:
            await sleep(random.uniform(0, pause_s))
            pause_s *= 2
    try:
        return await run()
    except again as error:
        raise StoreDown(f"others were in the way {ATTEMPTS} times: {error}") from error
