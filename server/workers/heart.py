"""How a supervisor knows that a worker's event loop runs: the worker writes a byte to a pipe every second.

Not its ``/healthz``: that may be slow where thousands come at once, and a pipe needs no port, no TLS and no other
worker. Only the loop writes, so one that hangs in a turn, in a library or in SIGSTOP falls silent.
"""

import asyncio
import faulthandler
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

BEAT_S = 1.0
SHOW_STACKS = signal.SIGUSR1


def show_stacks_when_asked() -> None:
    """From now on SIGUSR1 has the stack of every thread written to standard error, whatever the loop does. Without, it
    ends the process."""
    faulthandler.register(SHOW_STACKS, all_threads=True)


@contextmanager
def beating(pipe: int | None) -> Iterator[None]:
    """Within the block the running loop says that it runs; nobody listens where there is no ``pipe``."""
    if pipe is None:
        yield
        return
    os.set_blocking(pipe, False)
    heart = _Heart(pipe)
    heart.beat()
    try:
        yield
    finally:
        heart.stop()


class _Heart:
    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None

    def beat(self) -> None:
        with suppress(BlockingIOError, BrokenPipeError):  # a supervisor that is stopped, or gone: others see to that
            os.write(self._pipe, b".")
        self._next = self._loop.call_later(BEAT_S, self.beat)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()


class Pulse:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self._heard, self.told = os.pipe()
        """``told`` is for the worker to inherit."""
        os.set_blocking(self._heard, False)

    def handed_on(self) -> None:
        """The worker has its end, or could not be started."""
        os.close(self.told)

    def felt(self) -> bool:
        """Whether there was a beat since the last time."""
        beats = 0
        with suppress(BlockingIOError):
            while read := os.read(self._heard, 4096):
                beats += len(read)
        return beats > 0

    def close(self) -> None:
        """The worker has ended."""
        os.close(self._heard)
