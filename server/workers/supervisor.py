"""Starts the workers, starts those again that end, and ends with them."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from random import Random, SystemRandom
from typing import Protocol

import structlog

from actors.runtime.backoff import Backoff
from actors.runtime.clock import Clock, SystemClock
from server.config import Config, ConfigError
from server.telemetry import configure_logging
from server.workers.heart import BEAT_S, SHOW_STACKS
from server.workers.place import Worker, WorkersFailed, stop_s, worker_name
from server.workers.ports import held_ports
from server.workers.process import start_process

log = structlog.get_logger()
AT_ONCE_S = 10.0  # a worker that ends so soon after its start will probably do so again
AT_ONCE_TIMES = 5  # in a row; with the pauses, the whole gives up after some 10 s
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
TOLD = (-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGINT)
"""Exit codes of a worker that what it was sent has ended: before it was up, or when it had nothing more to do but exit.
In between it handles both signals."""
WRONG_SETTINGS = 2  # exit code; trying again would change nothing
STACKS_S = 1.0  # for one that hangs to write where


class Child(Protocol):
    """A process, as ``asyncio.subprocess`` has it, that says when it is well."""

    @property
    def pid(self) -> int:
        """Of the system."""
        ...

    async def wait(self) -> int:
        """The exit code; below zero the signal that ended it."""
        ...

    def send_signal(self, signal: int, /) -> None:
        """Raises ProcessLookupError when it has ended."""
        ...

    def felt(self) -> bool:
        """Whether its loop has said since the last time that it runs."""
        ...


Start = Callable[[int, int], Awaitable[Child]]
"""Starts worker NUMBER (from 0) for the TIMES-th time (from 1)."""


class Restarts:
    """When one worker that has ended is started again, and when that has no sense any more."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._backoff = Backoff(random, first_s=FIRST_PAUSE_S, most_s=LONGEST_PAUSE_S)
        self._began = clock.monotonic()
        self._short_lives = 0

    def began(self) -> None:
        """It was started now."""
        self._began = self._clock.monotonic()

    def ended(self, code: int) -> float | None:
        """It has ended now, unasked: seconds until the next start, longer with each short life in a row; None to give
        up."""
        if code == WRONG_SETTINGS:
            return None
        self._short_lives = self._short_lives + 1 if self._clock.monotonic() < self._began + AT_ONCE_S else 0
        if self._short_lives >= AT_ONCE_TIMES:
            return None
        return self._backoff.pause(max(0, self._short_lives - 1))


class Supervisor:
    """Keeps ``workers`` processes running until it is told to stop, or one cannot be kept running."""

    def __init__(
        self, workers: int, start: Start, clock: Clock, random: Random, *, stop_s: float, silence_s: float
    ) -> None:
        self._workers = workers
        self._start = start
        self._clock = clock
        self._random = random
        self._stop_s = stop_s
        self._silence_s = silence_s
        self._children: dict[int, Child] = {}
        self._codes = [0]
        self._stopping = asyncio.Event()
        self._failure: Exception | None = None

    async def run(self) -> int:
        """Until all have ended; the worst of their exit codes (128 and more: a signal, as a shell has it).

        Raises:
            WorkersFailed: a worker ended at once, again and again.
            ConfigError: a worker refused its settings.
        """
        async with asyncio.TaskGroup() as tasks:
            late = tasks.create_task(self._kill_the_late(), name="kill-the-late")
            async with asyncio.TaskGroup() as workers:
                for number in range(self._workers):
                    workers.create_task(self._keep(number), name=f"worker-{number}")
            late.cancel()
        if self._failure is not None:
            raise self._failure
        return max(self._codes)

    def stop(self) -> None:
        """Have all drain (SIGTERM); the second time, have them hurry (SIGINT)."""
        hurry = self._stopping.is_set()
        log.info("supervisor.stopping", workers=len(self._children), hurry=hurry)
        self._stopping.set()
        self.pass_on(signal.SIGINT if hurry else signal.SIGTERM)

    def pass_on(self, number: int) -> None:
        """Send a signal to all."""
        for child in self._children.values():
            _send(child, number)

    async def _keep(self, number: int) -> None:
        restarts = Restarts(self._clock, self._random)
        for start in count(1):
            restarts.began()
            child = self._children[number] = await self._start(number, start)
            log.info("worker.started", worker=number, pid=child.pid, start=start)
            if self._stopping.is_set():
                _send(child, signal.SIGTERM)
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._end_if_silent(number, child), name=f"watch-{number}")
                code = await child.wait()
                watch.cancel()
            del self._children[number]
            if self._stopping.is_set():
                self._stopped(number, code)
                return
            pause = restarts.ended(code)
            log.warning("worker.ended", worker=number, pid=child.pid, code=shell_code(code), again_in_s=pause)
            if pause is None:
                self._give_up(number, code)
                return
            if await self._stopping_within(pause):
                return

    async def _end_if_silent(self, number: int, child: Child) -> None:
        """Kill one whose loop does not run. Silence is counted in looks, not by the clock: after this process or the
        whole machine was stopped for a while, nobody has had the time to be heard."""
        silent_s = 0.0
        while silent_s < self._silence_s:
            await self._clock.sleep(BEAT_S)
            silent_s = 0.0 if child.felt() else silent_s + BEAT_S
            if self._stopping.is_set():
                return  # its loop ends before the process does; ``_kill_the_late`` sees to those that do not end
        log.error("worker.hangs", worker=number, pid=child.pid, silent_s=silent_s)
        _send(child, SHOW_STACKS)
        await self._clock.sleep(STACKS_S)
        _send(child, signal.SIGKILL)

    def _stopped(self, number: int, code: int) -> None:
        shown = 0 if code in TOLD else shell_code(code)
        self._codes.append(shown)
        log.info("worker.stopped", worker=number, code=shown)

    def _give_up(self, number: int, code: int) -> None:
        if code == WRONG_SETTINGS:
            self._failure = ConfigError(f"worker {number} refused its settings, as it said above; all were stopped")
        else:
            self._failure = WorkersFailed(
                f"worker {number} ended {AT_ONCE_TIMES} times in a row within {AT_ONCE_S:.0f} s of its start, "
                f"the last time with exit code {shell_code(code)}; its log lines say why; all were stopped"
            )
        log.error("worker.given_up", worker=number, code=shell_code(code))
        if not self._stopping.is_set():
            self.stop()

    async def _stopping_within(self, pause_s: float) -> bool:
        async with asyncio.TaskGroup() as tasks:
            pausing = tasks.create_task(self._clock.sleep(pause_s), name="restart-pause")
            stopping = tasks.create_task(self._stopping.wait(), name="restart-unless")
            await asyncio.wait({pausing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            pausing.cancel()
            stopping.cancel()
        return self._stopping.is_set()

    async def _kill_the_late(self) -> None:
        await self._stopping.wait()
        await self._clock.sleep(self._stop_s)
        log.error("supervisor.killing", workers=sorted(self._children), after_s=self._stop_s)
        self.pass_on(signal.SIGKILL)


def shell_code(code: int) -> int:
    """An exit code as a shell tells it: 128 and the signal's number where one ended the process."""
    return code if code >= 0 else 128 - code


def _send(child: Child, number: int) -> None:
    with suppress(ProcessLookupError):
        child.send_signal(number)


async def supervise(config: Config, command: Sequence[str] | None = None) -> int:
    """Run ``node.workers`` workers until SIGTERM or SIGINT; a second one hurries them. SIGHUP is passed on to all.

    ``command`` starts this program as it was started itself unless given. Returns the exit code.

    Raises:
        OSError: a port is in use.
        WorkersFailed, ConfigError: as ``Supervisor.run``.
    """
    configure_logging(config.log, dev=config.auth.dev)
    structlog.contextvars.bind_contextvars(node=config.node.name)
    command = [sys.executable, *sys.orig_argv[1:]] if command is None else command
    with held_ports(config) as ports:
        lifeline, kept = os.pipe()  # the writing end is inherited by nobody, so workers see it close with this process

        async def start(number: int, times: int) -> Child:
            place = Worker(
                number=number,
                name=worker_name(config.node.name, number, times),
                gateway_port=ports.gateway,
                http_port=ports.http,
                own_ports=ports.own,
                before=worker_name(config.node.name, number, times - 1) if times > 1 else "",
            )
            return await start_process(command, place, lifeline)

        try:
            random = SystemRandom()
            supervisor = Supervisor(
                config.node.workers,
                start,
                SystemClock(),
                random,
                stop_s=stop_s(config.gateway.drain_s),
                silence_s=config.node.worker_silence_s,
            )
            _listen_to_signals(supervisor)
            return await supervisor.run()
        finally:
            os.close(kept)
            os.close(lifeline)
            log.info("supervisor.stopped")


def _listen_to_signals(supervisor: Supervisor) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, supervisor.stop)
    loop.add_signal_handler(signal.SIGINT, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.pass_on, signal.SIGHUP)
