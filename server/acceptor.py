"""Takes connections out of the kernel's queue, a few in a turn of the loop.

asyncio's own server takes all that wait, at once: when a node dies, its 2,000 players are at the door of another one
together, and for as long as it takes to let them in (half a millisecond each) nobody who is inside would be heard.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

log = structlog.get_logger()
BACKLOG = 4096  # sockets that the kernel keeps for us while we are busy; a storm of reconnects needs them
AT_ONCE = 4  # connections taken in a turn of the loop: some 2 ms of work until they are signed in
OUT_OF_FILES_S = 1.0  # until it is tried again when the process has no file descriptor left


class Acceptor:
    """Listens at ``host`` and ``port``, and has ``make`` make the protocol of each connection."""

    def __init__(self, host: str, port: int, make: Callable[[], asyncio.Protocol], *, share: bool = False) -> None:
        self.port = port
        """The bound port, once it runs."""
        self._host = host
        self._make = make
        self._share = share
        """Whether other processes listen there as well, each with a queue of its own (SO_REUSEPORT)."""
        self._listeners: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop
        self._tasks: asyncio.TaskGroup

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Acceptor"]:
        """Listen until the context is left.

        Raises:
            OSError: the address cannot be bound.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._bind()
            async with asyncio.TaskGroup() as self._tasks:
                for listener in self._listeners:
                    self._loop.add_reader(listener, self._take, listener)
                try:
                    yield self
                finally:
                    self._stop()
        finally:
            self._stop()

    async def _bind(self) -> None:
        places = await self._loop.getaddrinfo(self._host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(places):
            listener = socket.socket(family, kind, protocol)
            self._listeners.append(listener)
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._share:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        self.port = self._listeners[0].getsockname()[1]

    def leave(self) -> None:
        """Listen no more: new connections go to the others that share the port. Those that wait in the kernel's queue
        are taken first, as closing it would reset them."""
        for listener in self._listeners:
            with suppress(OSError):
                while True:
                    self._open_soon(listener.accept()[0])
        self._stop()

    def _stop(self) -> None:
        while self._listeners:
            listener = self._listeners.pop()
            self._loop.remove_reader(listener)
            listener.close()

    def _take(self, listener: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                taken, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("gateway.cannot_accept", reason=str(error), again_in_s=OUT_OF_FILES_S)
                self._loop.remove_reader(listener)
                self._loop.call_later(OUT_OF_FILES_S, self._again, listener)
                return
            self._open_soon(taken)

    def _open_soon(self, taken: socket.socket) -> None:
        taken.setblocking(False)
        self._tasks.create_task(self._open(taken), name="accept")

    def _again(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener, self._take, listener)

    async def _open(self, taken: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, taken)
        except OSError:  # it was gone before it was here
            taken.close()
