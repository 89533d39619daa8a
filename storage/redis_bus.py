"""The bus of a cluster: Redis publish/subscribe, by redis-py's asyncio connections.

Two connections, each with its own task: one publishes, one listens. A lost connection is made again
after a jittered pause; what was on its way is not sent twice. Any other error is a defect and ends
the block that opened the bus.

Plain PUBLISH and SUBSCRIBE, which one Redis (with or without replicas) serves well. The sharded
commands of a Redis Cluster (SPUBLISH, SSUBSCRIBE) are not used: a cluster works, but carries every
message to each of its nodes.

Redis shares its channels among everyone who uses it, whatever their numbered database, so every
name travels with a prefix that holds the number of ours: ``gh0:guild:42``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from storage.bus import Receive
from storage.redis_address import RedisAddress
from storage.redis_outgoing import Outgoing
from storage.redis_subscriptions import Subscriptions
from storage.redis_wire import LinkOptions, Loss, Wire, stay_connected, wait_for, wire_to

log = structlog.get_logger()

PING = (b"PING",)
MARK = b"subscribed"
"""Redis answers in order: once it returns this, it has confirmed every subscription sent before."""


class RedisBusOptions(LinkOptions, frozen=True, kw_only=True):
    """How patient the bus is."""

    buffer_bytes: int = 8 * 1024 * 1024
    """What may wait to be published, overhead included; past it the oldest are dropped."""
    ping_s: float = 2.0
    """Pause between pings; a connection that stays silent for so long after one is lost."""
    answer_s: float = 3.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 2.0
    closing_s: float = 1.0
    """How long closing waits for what has been published but not sent."""


class RedisBus:
    """``Bus`` on one Redis; works within ``running()``.

    What waits to be sent is bounded (``RedisBusOptions.buffer_bytes``) and loses its oldest first.
    What was sent but not answered when the connection went counts as dropped, though it may have
    arrived: sending it again could double it.
    """

    def __init__(self, address: RedisAddress, options: RedisBusOptions, *, jitter: Callable[[], float]) -> None:
        """``jitter`` gives numbers from 0 to 1, which shorten the pauses before new attempts."""
        self._address = address
        self._options = options
        self._jitter = jitter
        self._prefix = f"gh{address.db}:"
        self._outgoing = Outgoing(options.buffer_bytes)
        self._subscriptions = Subscriptions()
        self._notices: list[Callable[[], None]] = []
        self._published = asyncio.Event()  # something waits to be sent
        self._sent = asyncio.Event()  # nothing waits, nothing is on its way
        self._sent.set()
        self._changed = asyncio.Event()  # Redis has to be told of a subscription
        self._unanswered = 0  # commands of the batch that is on its way
        self._answered = asyncio.Event()  # all of them are
        self._refusals: list[str] = []  # answers of the batch that were errors
        self._publishing = False
        self._listening = False
        self._listens = 0  # connections that have listened so far
        self._heard = False  # whether anything came since the last ping
        self._closed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Stay connected until the end of the block; then send what waits, within ``closing_s``."""
        async with asyncio.TaskGroup() as tasks:
            publisher = tasks.create_task(self._keep("publish", self._publish), name="bus.publish")
            listener = tasks.create_task(self._keep("listen", self._listen), name="bus.listen")
            try:
                yield
            finally:
                await self._send_the_rest()
                self._closed = True
                self._outgoing.clear()
                self._subscriptions.close()
                publisher.cancel()
                listener.cancel()

    # The contract; see Bus.
    def publish(self, channel: str, payload: bytes) -> None:
        if self._closed:
            self._outgoing.dropped += 1
            return
        self._outgoing.add(self._name(channel), payload)
        self._published.set()
        self._sent.clear()

    async def subscribe(self, channel: str, receive: Receive) -> None:
        await self.subscribe_all((channel,), receive)

    async def subscribe_all(self, channels: Sequence[str], receive: Receive) -> None:
        if self._closed:
            raise RuntimeError("the bus is closed")
        names = [self._name(channel) for channel in channels]
        for name in names:
            self._subscriptions.want(name, receive)
        self._changed.set()
        try:
            for name in reversed(names):  # Redis answers in order: after the last one there is seldom more to wait for
                await self._subscriptions.confirmed(name)
        except asyncio.CancelledError:
            for name in names:
                if self._subscriptions.receivers.get(name) is receive:
                    self._forget(name)
            raise

    async def unsubscribe(self, channel: str) -> None:
        self._forget(self._name(channel))

    def on_gap(self, notice: Callable[[], None]) -> None:
        self._notices.append(notice)

    @property
    def connected(self) -> bool:
        return self._publishing and self._listening

    @property
    def dropped(self) -> int:
        return self._outgoing.dropped

    def _name(self, channel: str) -> bytes:
        return (self._prefix + channel).encode()

    def _forget(self, name: bytes) -> None:
        self._subscriptions.forget(name)
        self._changed.set()

    # Connections.
    async def _keep(self, link: str, use: Callable[[Wire], Awaitable[None]]) -> None:
        def restored(failures: int) -> None:
            log.info("bus.restored", link=link, failures=failures)

        def lost(loss: Loss) -> None:
            if loss.failures == 1:
                log.warning("bus.lost", link=link, error=loss.why)

        def connection() -> Wire:
            return wire_to(self._address, name=f"guildhall-{link}", connect_s=self._options.answer_s)

        await stay_connected(connection, use, self._options, jitter=self._jitter, restored=restored, lost=lost)

    async def _write(self, wire: Wire, commands: Sequence[tuple[bytes, ...]]) -> None:
        await wire.send_packed_command(wire.pack_commands(commands), check_health=False)

    # Publishing.
    async def _publish(self, wire: Wire) -> None:
        self._publishing = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_answers(wire), name="bus.answers")
                tasks.create_task(self._send(wire), name="bus.send")
        finally:
            self._publishing = False

    async def _send(self, wire: Wire) -> None:
        """Send what waits, one pipeline after the other; a ping if nothing came for ``ping_s``.

        Idle, a pipeline holds what one turn of the loop published; under load, what came while the
        one before was on its way.
        """
        while True:
            if not self._outgoing:
                self._sent.set()
                self._published.clear()
                await wait_for(self._published, self._options.ping_s)
            batch = self._outgoing.take()
            try:
                async with asyncio.timeout(self._options.answer_s):
                    await self._send_batch(wire, batch or [PING])
            finally:
                self._outgoing.dropped += min(self._unanswered, len(batch))  # a ping is no loss
            if self._refusals:
                self._outgoing.dropped += len(self._refusals)
                log.error("bus.publish_refused", messages=len(self._refusals), error=self._refusals[0])
                self._refusals.clear()

    async def _send_batch(self, wire: Wire, commands: Sequence[tuple[bytes, ...]]) -> None:
        self._unanswered = len(commands)
        self._answered.clear()
        await self._write(wire, commands)
        await self._answered.wait()

    async def _read_answers(self, wire: Wire) -> None:
        """Always reading, so that the end of the connection is noticed also while it is idle."""
        while True:
            try:
                await wire.read_response(disconnect_on_error=False)
            except ResponseError as refused:
                self._refusals.append(str(refused))
            self._unanswered -= 1
            if self._unanswered == 0:
                self._answered.set()

    async def _send_the_rest(self) -> None:
        if self._publishing:
            await wait_for(self._sent, self._options.closing_s)

    # Listening.
    async def _listen(self, wire: Wire) -> None:
        self._listens += 1
        self._subscriptions.start_again()
        self._heard = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(wire), name="bus.read")
                tasks.create_task(self._tell(wire), name="bus.tell")
        finally:
            self._listening = False

    async def _tell(self, wire: Wire) -> None:
        """Tell Redis what is to be heard, and ping it: a connection gone silent is lost."""
        now = asyncio.get_running_loop().time
        commands: list[tuple[bytes, ...]] = [*self._subscriptions.commands(), (b"PING", MARK)]
        next_ping = now() + self._options.ping_s
        while True:
            async with asyncio.timeout(self._options.answer_s):
                await self._write(wire, commands)
            await wait_for(self._changed, next_ping - now())
            self._changed.clear()
            commands = self._subscriptions.commands()
            if now() >= next_ping:
                if not self._heard:
                    raise RedisConnectionError(f"silent for {self._options.ping_s} s")
                self._heard = False
                commands.append(PING)
                next_ping = now() + self._options.ping_s

    async def _read(self, wire: Wire) -> None:
        receivers = self._subscriptions.receivers
        while True:
            answer = await wire.read_response(disconnect_on_error=False)
            self._heard = True
            match answer:
                case [b"message", name, payload]:
                    receive = receivers.get(name)
                    if receive is None:
                        continue
                    try:
                        receive(payload)
                    except Exception:
                        channel = name.decode().removeprefix(self._prefix)
                        log.exception("bus.receiver_failed", channel=channel)
                case [b"subscribe" | b"unsubscribe", name, _]:
                    self._subscriptions.answered(name)
                case [b"pong", mark] | mark if mark == MARK:
                    self._start_listening()

    def _start_listening(self) -> None:
        """Every subscription is live; what was published since the last connection is missed."""
        self._listening = True
        if self._listens == 1:
            return
        for notice in self._notices:
            try:
                notice()
            except Exception:
                log.exception("bus.notice_failed")
