"""Processes that a test ends as it likes, in the place of workers."""

import asyncio
import signal


class Puppet:
    """Ends with ``end``; notes the signals that it gets, and obeys the first SIGTERM unless it is ``stubborn``. Says
    that its loop runs while it ``beats``."""

    def __init__(self, pid: int, *, stubborn: bool = False) -> None:
        self.pid = pid
        self.signals: list[int] = []
        self.beats = True
        self._stubborn = stubborn
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        return await self._code

    def send_signal(self, number: int, /) -> None:
        if self._code.done():
            raise ProcessLookupError
        self.signals.append(number)
        if number == signal.SIGKILL:
            self.end(-signal.SIGKILL)
        elif number == signal.SIGTERM and not self._stubborn:
            self.end(0)

    def felt(self) -> bool:
        return self.beats

    def end(self, code: int) -> None:
        self._code.set_result(code)


class Stage:
    """Starts puppets, and keeps them in order."""

    def __init__(self) -> None:
        self.stubborn = False
        self.started: list[tuple[int, int]] = []
        """(worker, time) of each start."""
        self.puppets: list[Puppet] = []

    async def start(self, number: int, times: int) -> Puppet:
        puppet = Puppet(1000 + len(self.puppets), stubborn=self.stubborn)
        self.started.append((number, times))
        self.puppets.append(puppet)
        return puppet
