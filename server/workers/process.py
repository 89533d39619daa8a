"""A worker as a process of the system."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import Sequence

import msgspec
from msgspec import structs

from server.workers.heart import Pulse
from server.workers.place import Worker


class WorkerProcess:
    """A running one (``supervisor.Child``)."""

    def __init__(self, process: Process, pulse: Pulse) -> None:
        self._process = process
        self._pulse = pulse
        self.pid = process.pid
        self.send_signal = process.send_signal
        self.felt = pulse.felt

    async def wait(self) -> int:
        """The exit code; below zero the signal that ended it."""
        try:
            return await self._process.wait()
        finally:
            self._pulse.close()


async def start_process(command: Sequence[str], place: Worker, lifeline: int) -> WorkerProcess:
    """Start the program ``command`` as this worker; ``lifeline``: see ``place.end_with_supervisor``.

    Raises:
        OSError: there is no such program, or no room for a process.
    """
    pulse = Pulse()
    words = (*command, "--worker", msgspec.json.encode(structs.replace(place, heart=pulse.told)).decode())
    try:
        # A session of its own: Ctrl-C at the terminal is for the supervisor, which passes it on once.
        process = await asyncio.create_subprocess_exec(
            *words, stdin=lifeline, pass_fds=(pulse.told,), start_new_session=True
        )
    except BaseException:
        pulse.close()
        raise
    finally:
        pulse.handed_on()
    return WorkerProcess(process, pulse)
