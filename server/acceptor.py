"""Takes connections out of the kernel's queue, a few in a turn of the loop.

asyncio's own server takes all that wait, at once: when a node dies, its 2,000 players are at the door of another one
together, and for as long as it takes to let them in (half a millisecond each) nobody who is inside would be heard.

    accept -> PROXY header, where a trusted proxy sends one -> admitted -> TLS handshake, where there is TLS -> protocol

The header comes before TLS, so it is read from the socket itself. Both together may take ``ENTRY_S``.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import structlog
from msgspec import Struct

from server.forwarded import LONGEST_BYTES, BadHeader, Proxies, read_header
from server.tls import SHUTDOWN_S, Certificate

log = structlog.get_logger()
BACKLOG = 4096  # sockets that the kernel keeps for us while we are busy; a storm of reconnects needs them
AT_ONCE = 4  # connections taken in a turn of the loop: some 2 ms of work until they are signed in
OUT_OF_FILES_S = 1.0  # until it is tried again when the process has no file descriptor left
ENTRY_S = 5.0  # for PROXY header and TLS handshake together
KERNEL_BYTES = 131_072  # that the kernel holds for a slow reader (it doubles this); by itself it would take 4 MB
TLS_WRITE_BYTES = 65_536  # that wait for TLS before the reader is called slow, as without TLS; the default is 512 KiB


class Arrival(NamedTuple):
    """One who is let in."""

    address: str
    """The client's, as far as it is known: the peer's, or what a trusted proxy's header says."""
    admitted: bool
    """Whether ``Entrance.admit`` was asked."""


class Entrance(Struct, frozen=True, kw_only=True):
    """What a connection passes before it has a protocol. Nothing by default."""

    tls: Certificate | None = None
    share: bool = False
    """Whether other processes listen there as well, each with a queue of its own (SO_REUSEPORT)."""
    proxies: Proxies | None = None
    """Peers whose connections begin with a PROXY header; None: nobody's do."""
    admit: Callable[[str], bool] = lambda _address: True
    """Whether the TLS handshake, which costs two milliseconds, may begin; asked only where there is TLS. Who may not is
    cut: there is no way yet to say why."""
    lost: Callable[[Any], None] = lambda _protocol: None
    """A protocol for one that was admitted may never get its connection: the handshake has failed."""


class Acceptor:
    """Listens at ``host`` and ``port``, and has ``make`` make the protocol of each connection."""

    def __init__(
        self, host: str, port: int, make: Callable[[Arrival], asyncio.Protocol], entrance: Entrance | None = None
    ) -> None:
        self.port = port
        """The bound port, once it runs."""
        self._host = host
        self._make = make
        self._entrance = entrance or Entrance()
        self._entering: set[asyncio.Task[None]] = set()
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
                    self.stop_listening()
        finally:
            self.stop_listening()

    async def _bind(self) -> None:
        places = await self._loop.getaddrinfo(self._host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(places):
            listener = socket.socket(family, kind, protocol)
            self._listeners.append(listener)
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)  # those that it accepts inherit it
            if self._entrance.share:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        self.port = self._listeners[0].getsockname()[1]

    @property
    def entering(self) -> int:
        """Connections that have no protocol yet."""
        return len(self._entering)

    def leave(self) -> None:
        """Listen no more: new connections go to the others that share the port. Those that wait in the kernel's queue
        are taken first, as closing it would reset them."""
        for listener in self._listeners:
            with suppress(OSError):
                while True:
                    self._open_soon(*listener.accept())
        self._close()

    def stop_listening(self) -> None:
        """Take nobody more; who is still entering is cut."""
        for task in self._entering:
            task.cancel()
        self._close()

    def _close(self) -> None:
        while self._listeners:
            listener = self._listeners.pop()
            self._loop.remove_reader(listener)
            listener.close()

    def _take(self, listener: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                taken, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("gateway.cannot_accept", reason=str(error), again_in_s=OUT_OF_FILES_S)
                self._loop.remove_reader(listener)
                self._loop.call_later(OUT_OF_FILES_S, self._again, listener)
                return
            self._open_soon(taken, peer)

    def _open_soon(self, taken: socket.socket, peer: tuple[Any, ...]) -> None:
        taken.setblocking(False)
        task = self._tasks.create_task(self._open(taken, str(peer[0])), name="accept")
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    def _again(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener, self._take, listener)

    async def _open(self, taken: socket.socket, peer: str) -> None:
        entrance, address = self._entrance, peer
        try:
            if entrance.proxies is not None or entrance.tls is not None:  # there is something to wait for
                async with asyncio.timeout(ENTRY_S) as entry:
                    address = await self._address(taken, peer)
                    if entrance.tls is not None:
                        await self._open_tls(entrance.tls, taken, address, entry)
                        return
            await self._loop.connect_accepted_socket(lambda: self._make(Arrival(address, admitted=False)), taken)
        except BadHeader as error:
            log.warning("gateway.bad_proxy_header", proxy=peer, reason=str(error))
            taken.close()
        except OSError as error:  # it was gone before it was here, it took too long, or it speaks no TLS
            log.debug("gateway.not_entered", reason=str(error) or type(error).__name__)
            taken.close()
        except asyncio.CancelledError:
            taken.close()
            raise

    async def _open_tls(
        self, certificate: Certificate, taken: socket.socket, address: str, entry: asyncio.Timeout
    ) -> None:
        entrance = self._entrance
        if not entrance.admit(address):
            taken.close()
            return
        protocol = self._make(Arrival(address, admitted=True))
        left_s = max(0.001, (entry.when() or 0.0) - self._loop.time())
        entry.reschedule(None)  # the handshake has its own, which tidies up
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol,
                taken,
                ssl=certificate.context,
                ssl_handshake_timeout=left_s,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except BaseException:
            entrance.lost(protocol)
            raise
        transport.set_write_buffer_limits(TLS_WRITE_BYTES)

    async def _address(self, taken: socket.socket, peer: str) -> str:
        """Who the client is; takes the PROXY header out of the kernel's buffer, and nothing behind it.

        Raises:
            BadHeader: a trusted proxy has sent something else.
        """
        proxies = self._entrance.proxies
        if proxies is None or not proxies.trusts(peer):
            return peer
        seen = b""
        while True:
            await self._readable(taken)
            try:
                piece = taken.recv(LONGEST_BYTES, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                continue
            if not piece:
                raise ConnectionAbortedError("it ended before its PROXY header did")  # as a check of the port does
            header = read_header(seen + piece)
            if header is not None:
                taken.recv(header.length - len(seen))
                return header.client or peer
            seen += taken.recv(len(piece))  # all of it is of the header

    async def _readable(self, taken: socket.socket) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(taken, _done, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(taken)


def _done(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
