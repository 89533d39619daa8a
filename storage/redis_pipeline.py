"""Commands to one Redis that gather into pipelines, over one connection that is made again when it is lost.

A pipeline holds what one turn of the event loop called; under load, what was called while the one before was on its
way. Nothing is sent twice: what was called on a connection dies with it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from storage.redis_address import RedisAddress
from storage.redis_wire import LinkOptions, Loss, Wire, stay_connected, wait_for, wire_to

log = structlog.get_logger()

BATCH_ARGUMENTS = 2000  # in one pipeline: packed in about 1 ms, so the loop is not held longer
PING = (b"PING",)

Command = tuple[bytes, ...]
Answer = tuple[Any, int]
"""What Redis said, and the number of the connection that it came over."""


class Unanswered(Exception):
    """Redis was not reached or refused; whether it did anything is unknown."""


class PipelineOptions(LinkOptions, frozen=True, kw_only=True):
    """How patient it is."""

    waiting: int = 20_000
    """Calls that may wait to be sent; past it they fail at once."""
    call_s: float = 2.0
    """How long a call waits for its answer."""
    answer_s: float = 2.0
    ping_s: float = 2.0
    """Pause after which an idle connection is tried."""
    first_pause_s: float = 0.05
    longest_pause_s: float = 1.0


class RedisPipeline:
    """Works within ``running()``.

    A lost connection fails all that was called on it. Then calls wait for the first attempt to connect again; if that
    fails, they fail at once until one succeeds.
    """

    def __init__(self, address: RedisAddress, options: PipelineOptions, *, jitter: Callable[[], float]) -> None:
        """``jitter`` gives numbers from 0 to 1, which shorten the pauses before new attempts."""
        self.link = 0
        """Number of the connection that calls made now go over; 0 while there is none."""
        self._address = address
        self._options = options
        self._jitter = jitter
        self._links = 0
        self._down = "not open"  # why calls fail at once; empty: they do not
        self._waiting: deque[tuple[Command, asyncio.Future[Answer]]] = deque()
        self._sent: deque[asyncio.Future[Answer] | None] = deque()  # None: a ping
        self._called = asyncio.Event()
        self._answered = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Stay connected until the end of the block; what waits then fails."""
        self._down = ""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._keep(), name="redis.pipeline")
            try:
                yield
            finally:
                self._down = "closed"
                self._fail_all("closed")
                task.cancel()

    async def call(self, command: Command) -> Answer:
        """Send, and wait for the answer.

        Raises:
            Unanswered: after ``call_s`` at most.
            NoScriptError: Redis does not know the script.
        """
        if self._down:
            raise Unanswered(self._down)
        if len(self._waiting) >= self._options.waiting:
            raise Unanswered(f"{self._options.waiting} calls wait for Redis")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answer))
        self._called.set()
        try:
            async with asyncio.timeout(self._options.call_s):
                return await answer
        except TimeoutError:
            raise Unanswered(f"no answer from Redis for {self._options.call_s} s") from None

    def _fail_all(self, why: str) -> None:
        failed = [answer for answer in self._sent if answer] + [answer for _, answer in self._waiting]
        self._sent.clear()
        self._waiting.clear()
        for answer in failed:
            if not answer.done():
                answer.set_exception(Unanswered(why))

    # The connection.
    async def _keep(self) -> None:
        await stay_connected(
            lambda: wire_to(self._address, name="guildhall-ranks", connect_s=self._options.answer_s),
            self._serve,
            self._options,
            jitter=self._jitter,
            restored=lambda failures: log.info("ranks.restored", failures=failures),
            lost=self._lost,
        )

    def _lost(self, loss: Loss) -> None:
        if loss.failures == 1:
            log.warning("ranks.lost", error=loss.why)
        if not loss.connected:
            self._down = self._down or loss.why
        self._fail_all(loss.why)

    async def _serve(self, wire: Wire) -> None:
        self._links += 1
        self.link = self._links
        self._down = ""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(wire), name="redis.read")
                tasks.create_task(self._send(wire), name="redis.send")
        finally:
            self.link = 0

    async def _send(self, wire: Wire) -> None:
        while True:
            if not self._waiting:
                self._called.clear()
                await wait_for(self._called, self._options.ping_s)
            commands = self._take()
            async with asyncio.timeout(self._options.answer_s):
                self._answered.clear()
                await wire.send_packed_command(wire.pack_commands(commands), check_health=False)
                await self._answered.wait()

    def _take(self) -> list[Command]:
        """The next pipeline. Whoever has given up is left out."""
        commands: list[Command] = []
        arguments = 0
        while self._waiting and arguments < BATCH_ARGUMENTS:
            command, answer = self._waiting.popleft()
            if not answer.done():
                arguments += len(command)
                commands.append(command)
                self._sent.append(answer)
        if not commands:
            commands.append(PING)
            self._sent.append(None)
        return commands

    async def _read(self, wire: Wire) -> None:
        """Always reading, so that the end of the connection is noticed also while it is idle."""
        refusing = False
        while True:
            try:
                said = await wire.read_response(disconnect_on_error=False)
            except ResponseError as error:
                answer = self._sent.popleft()
                if not isinstance(error, NoScriptError) and not refusing:
                    refusing = True
                    log.error("ranks.refused", error=str(error))
                if answer and not answer.done():
                    answer.set_exception(error if isinstance(error, NoScriptError) else Unanswered(str(error)))
                if isinstance(error, ReadOnlyError):
                    raise RedisConnectionError(str(error)) from None  # another one may be the primary by now
            else:
                answer = self._sent.popleft()
                refusing = False
                if answer and not answer.done():
                    answer.set_result((said, self.link))
            if not self._sent:
                self._answered.set()
