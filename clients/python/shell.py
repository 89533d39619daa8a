"""The shell around a ClientSession: real links, real time, nothing decided here.

    application -> request ----+                       +-> Link.send ...
    Link -> heard, lost -------+-> ClientSession -> act +-> tell: Welcomed, Replied, Happened, ...
    timer -> tick -------------+

One timer a player, and one task a connection, which waits for its end; no queue. A load tester that drives thousands
of players uses this class; ``Client`` puts awaitable calls on top of it.
"""

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Protocol

from clients.python.transport import Dial, Link
from protocol import ClientSession, CloseSocket, OpenSocket, Output, Send, Wire

Tell = Callable[[Output], None]
"""Hears what the application has to know, in order: every Output but OpenSocket, CloseSocket and Send.

It may call the shell; what that brings is done and told after it has returned.
"""


class Timer(Protocol):
    """Something that is to be called later."""

    def cancel(self) -> None:
        """Let it never be called."""
        ...


class Clock(Protocol):
    """The time that a shell goes by; every event loop is one."""

    def time(self) -> float:
        """Seconds that never go back."""
        ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Call once when ``time`` is ``when``, or a little earlier or later."""
        ...


class Shell:
    """Runs ``session`` over links of ``dial``. ``tasks`` owns its connections and ends after the last one.

    ``clock`` is the loop's unless a simulated player's own runs differently.
    """

    def __init__(
        self,
        session: ClientSession,
        dial: Dial,
        tasks: asyncio.TaskGroup,
        tell: Tell,
        *,
        clock: Clock | None = None,
    ) -> None:
        self.session = session
        self._dial = dial
        self._tasks = tasks
        self._tell = tell
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._call: _Call | None = None
        self._timer: Timer | None = None
        self._timer_at = inf
        self._acting = False

    # The application's wishes, as in ClientSession.
    def connect(self) -> None:
        """Go online and stay so."""
        self.session.connect(self._clock.time())
        self.act()

    def disconnect(self) -> None:
        """Go offline until ``connect``; pending requests and cursors are kept."""
        self.session.disconnect()
        self.act()

    def set_token(self, token: str) -> None:
        """Use ``token`` from the next hello on."""
        self.session.set_token(token, self._clock.time())
        self.act()

    def request(self, t: str, fields: Mapping[str, Any]) -> str:
        """Send a request until it is answered; returns its id.

        Raises:
            TooManyPending, TooLong: it was not taken.
        """
        op = self.session.request(t, fields, self._clock.time())
        self.act()
        return op

    # What happens.
    def act(self) -> None:
        """Do what the session asks for; after any call to it that was not made through the shell."""
        if self._acting:
            return
        self._acting = True
        session, tell = self.session, self._tell
        try:
            while outputs := session.take():
                for output in outputs:
                    if isinstance(output, Send):
                        if self._call is not None:
                            self._call.send(output.payload)
                    elif isinstance(output, OpenSocket):
                        self._open()
                    elif isinstance(output, CloseSocket):
                        self._close(output.code, output.reason)
                    else:
                        tell(output)
        finally:
            self._acting = False
        if session.alarm < self._timer_at:
            self._arm(session.alarm)

    def heard(self, payload: bytes) -> None:
        """The current link brings a message."""
        self.session.received(payload, self._clock.time())
        self.act()

    def lost(self, code: int, reason: str) -> None:
        """The current link is gone, or could not be opened."""
        self._call = None
        self.session.socket_closed(code, reason, self._clock.time())
        self.act()

    def opened(self) -> None:
        """The current link stands."""
        self.session.socket_opened(self._clock.time())
        self.act()

    def _open(self) -> None:
        self._call = _Call(self)
        self._call.start(self._dial, self._tasks)

    def _close(self, code: int, reason: str) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.end(code, reason)

    # Time.
    def _arm(self, at: float) -> None:
        """Have the timer fire earlier. One that fires too early costs less than moving it each time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_at = None, inf
        self.session.tick(self._clock.time())
        self.act()

    def stop(self) -> None:
        """Disconnect and watch the time no more."""
        self.disconnect()
        if self._timer is not None:
            self._timer.cancel()


class _Call:
    """One connection, from the dial to its end: the ear of its link, for as long as the shell wants to hear it."""

    __slots__ = ("_link", "_shell", "_task")

    def __init__(self, shell: Shell) -> None:
        self._shell: Shell | None = shell
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, dial: Dial, tasks: asyncio.TaskGroup) -> None:
        assert self._shell is not None
        self._task = tasks.create_task(self._run(dial, self._shell.session.wire), name="connection")

    async def _run(self, dial: Dial, wire: Wire) -> None:
        try:
            link = self._link = await dial(wire, self)
        except OSError as error:
            self.lost(1006, str(error))
            return
        try:
            if self._shell is not None:  # not lost in the same moment
                self._shell.opened()
            await link.wait_gone()
        finally:
            link.abort()

    def send(self, payload: bytes) -> None:
        if self._link is not None:
            self._link.send(payload)

    def end(self, code: int, reason: str) -> None:
        """Close, and tell the shell nothing more."""
        self._shell = None
        if self._link is not None:
            self._link.close(code, reason)
        elif self._task is not None:
            self._task.cancel()

    # Ear
    def heard(self, payload: bytes) -> None:
        if self._shell is not None:
            self._shell.heard(payload)

    def lost(self, code: int, reason: str) -> None:
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.lost(code, reason)
