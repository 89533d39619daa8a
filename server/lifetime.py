"""How long a node lives: until it is asked to stop, at once if it has not started yet, soon after a second asking."""

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from actors.runtime.node import Node
from server.gateway import Gateway

T = TypeVar("T")


def allow_many_sockets() -> None:
    """Raise the soft limit of open files to the hard one: it is 1,024 by default, and each player takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def signals() -> tuple[asyncio.Event, asyncio.Event]:
    """(stop, hurry): set by the first and the second SIGTERM or SIGINT."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    return stop, hurry


@asynccontextmanager
async def at_hangup(call: Callable[[], None]) -> AsyncIterator[None]:
    """Within the block each SIGHUP has ``call`` run in a thread, one at a time; without, it would end the process."""
    asked = asyncio.Event()

    async def answer() -> None:
        while True:
            await asked.wait()
            asked.clear()
            await asyncio.to_thread(call)

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(answer(), name="at-hangup")
        loop.add_signal_handler(signal.SIGHUP, asked.set)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            answering.cancel()


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What ``work`` gives, in this same task; None if ``stop`` comes first, then it is cancelled. A node that waits for
    its database must be free to go."""
    try:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(_then(stop, limit), name="stop-while-starting")
            result = await work
            asked.cancel()
            return result
    except TimeoutError:
        if not stop.is_set():
            raise
        return None


async def _then(stop: asyncio.Event, limit: asyncio.Timeout) -> None:
    await stop.wait()
    limit.reschedule(asyncio.get_running_loop().time())


async def drain(node: Node, gateway: Gateway, within_s: float) -> bool:
    """Leave in good order: take nothing new, hand over what many share, send the clients elsewhere, then hand over the
    rest. Sessions and actors may each take ``within_s`` seconds; False if some actors were still busy then."""
    gateway.refuse()
    await node.step_back(within_s / 2)
    await gateway.drain(within_s)
    return await node.drain(within_s / 2)


async def first(work: Any, hurry: asyncio.Event) -> None:
    """Do ``work`` unless ``hurry`` comes first."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work, name="drain")
        hurrying = tasks.create_task(hurry.wait(), name="hurry")
        await asyncio.wait({working, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        hurrying.cancel()
