"""An event loop without a machine under it: time is a number, and several processes share it.

A ``Process`` has what an operating system gives one: a queue of callbacks of its own, run in their order, a turn of the
loop at a time; timers; and an end at any await. Which process runs next, and in which order timers of one instant come,
is drawn from the seed: asyncio promises nothing of either. Time passes only when nobody has anything to run.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from random import Random
from typing import Any

_process: ContextVar["Process"] = ContextVar("process")


class Process:
    """A part of the simulated world that can stop and die by itself. What it starts belongs to it."""

    __slots__ = ("blown", "context", "dead", "fuse", "listed", "name", "paused", "ready")

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[Callback] = deque()
        self.paused = False
        self.dead = False
        self.listed = False
        """Whether it is among those that have something to run."""
        self.fuse = 0
        """So many callbacks more, then ``blown`` is called, in between two of them; 0: never."""
        self.blown: Callable[[], None] = lambda: None
        self.context: Context = copy_context()
        self.context.run(_process.set, self)


class Callback:
    """What a process is to run: an asyncio ``Handle``, without all that nobody asks for here."""

    __slots__ = ("args", "context", "function", "off", "time")

    def __init__(self, context: Context, function: Callable[..., object], args: tuple[Any, ...], when: float) -> None:
        self.context = context
        self.function = function
        self.args = args
        self.off = False
        self.time = when

    def cancel(self) -> None:
        """It is dropped when its time comes."""
        self.off = True

    def cancelled(self) -> bool:
        return self.off

    def when(self) -> float:
        return self.time


PATIENCE = 50_000  # turns in which no time passes; past that something spins


class Stuck(Exception):
    """The simulation would never end: nobody has anything to run and nobody waits for a time, or somebody spins."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """See the module. ``outside`` is the process of whoever runs the simulation."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random.random
        self.now = 0.0
        self._timers: list[tuple[float, float, int, Process, Callback]] = []
        self._number = 0
        self._active: list[Process] = []
        self.outside = self.current = Process("outside")
        self.defects: list[str] = []
        """Exceptions that nobody has caught."""
        self.on_defect: Callable[[str], None] = self.defects.append
        self.turns = 0
        self._turns_then = 0

    # For the simulation.
    def deliver(self, process: Process, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        """Have ``process`` run something after so long: what the network brings it."""
        self._push(process, Callback(process.context, callback, args, self.now + seconds))

    def deliver_at(self, process: Process, when: float, callback: Callable[..., object], *args: Any) -> None:
        """The same, at a time."""
        self._push(process, Callback(process.context, callback, args, when))

    def resume(self, process: Process) -> None:
        """Let a paused process go on; what came meanwhile waits in its queue."""
        process.paused = False
        self._list(process)

    def kill(self, process: Process) -> None:
        """Nothing of it is run any more; what it had begun is kept, so that it can be put away in the end."""
        process.dead = True

    def raise_up(self, process: Process) -> None:
        """Let a dead process run once more, to be put away."""
        process.dead = process.paused = False
        self._list(process)

    # The event loop's own part.
    get_debug = bool  # every future and task asks: False, in a tenth of the time

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Callback:  # type: ignore[override]
        process = self.current if context is None else context.get(_process, self.current)
        ready = Callback(copy_context() if context is None else context, callback, args, self.now)
        process.ready.append(ready)
        if not process.listed:
            self._list(process)
        return ready

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Callback:  # type: ignore[override]
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Callback:  # type: ignore[override]
        process = self.current if context is None else context.get(_process, self.current)
        timer = Callback(copy_context() if context is None else context, callback, args, when)
        self._push(process, timer)
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.current.dead:
            error = context.get("exception")
            self.on_defect(f"{self.current.name}: {context.get('message')}: {error!r}")

    def _push(self, process: Process, timer: Callback) -> None:
        self._number += 1
        heappush(self._timers, (timer.time, self._random(), self._number, process, timer))

    def _list(self, process: Process) -> None:
        if process.ready and not (process.listed or process.paused or process.dead):
            process.listed = True
            self._active.append(process)

    def _run_once(self) -> None:
        """Turn after turn until the loop is stopped: asking for each of them would cost as much as the turn."""
        active = self._active
        while not self._stopping:  # type: ignore[attr-defined]
            if not active:
                self._pass_time()
            process = active.pop(int(self._random() * len(active)) if len(active) > 1 else 0)
            process.listed = False
            if process.paused or process.dead:
                continue
            if self.turns > self._turns_then + PATIENCE:
                raise Stuck(f"{process.name} spins at {self.now:.3f}: {list(process.ready)[:5]}")
            self.current = process
            self._turn(process)
            if process.ready:
                self._list(process)
        self.current = self.outside

    def _turn(self, process: Process) -> None:
        """Run what is ready now; what it makes ready belongs to the next turn."""
        ready = process.ready
        self.turns += 1
        for _ in range(len(ready)):
            callback = ready.popleft()
            if callback.off:
                continue
            try:
                callback.context.run(callback.function, *callback.args)
            except Exception as error:  # noqa: BLE001 - as asyncio's own loop does
                self.call_exception_handler({"message": f"exception in {callback.function!r}", "exception": error})
            if process.fuse:
                process.fuse -= 1
                if not process.fuse:
                    process.blown()
            if process.paused or process.dead:
                return

    def _pass_time(self) -> None:
        timers = self._timers
        while timers:
            when = timers[0][0]
            while timers and timers[0][0] <= when:
                _, _, _, process, timer = heappop(timers)
                if not (process.dead or timer.off):
                    process.ready.append(timer)
                    if not process.listed:
                        self._list(process)
            self.now = max(self.now, when)
            if self._active:
                self._turns_then = self.turns
                return
        raise Stuck("nobody has anything left to do")

    def _write_to_self(self) -> None:
        """There is no selector that would have to be woken."""
