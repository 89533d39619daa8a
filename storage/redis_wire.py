"""One connection to Redis, by redis-py's asyncio classes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Any, Protocol, cast

from msgspec import Struct
from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import RedisError

from storage.redis_address import RedisAddress

LOST = (RedisError, OSError)
"""What a lost, refused or silent connection raises; asyncio's timeouts are an OSError too."""


class LinkOptions(Struct, frozen=True, kw_only=True):
    """How patient one is who stays connected."""

    answer_s: float
    """How long Redis may take to accept a connection or to answer what was sent at once, or it is given up."""
    first_pause_s: float
    """Longest pause before the first new attempt; doubled for each further one."""
    longest_pause_s: float
    """Where the doubling ends. After a connection that lived longer it starts anew."""


class Loss(Struct, frozen=True, kw_only=True):
    """A connection that was lost, or not made at all."""

    why: str
    connected: bool
    """Whether it was made."""
    failures: int
    """Losses in a row, this one included."""


class Wire(Protocol):
    """What we use of redis-py's ``Connection``, which has no types of its own."""

    async def connect(self) -> None: ...
    async def disconnect(self, *, nowait: bool) -> None: ...
    def pack_commands(self, commands: Sequence[tuple[bytes, ...]]) -> list[bytes]: ...
    async def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None: ...
    async def read_response(self, *, disconnect_on_error: bool) -> Any: ...


def wire_to(address: RedisAddress, *, name: str, connect_s: float) -> Wire:
    """A connection that is not made yet; ``name`` is what CLIENT LIST shows an operator."""
    kind = SSLConnection if address.tls else Connection
    connection = kind(
        host=address.host,
        port=address.port,
        db=address.db,
        username=address.username,
        password=address.password,
        client_name=name,
        driver_info=None,  # else each connection reads redis-py's version from the disk
        socket_keepalive=True,
        socket_connect_timeout=connect_s,
        socket_timeout=None,  # the users bound whole batches: cheaper than one for each answer
        protocol=2,  # 12 us a message against 14 of RESP3; with hiredis 1.5 against 3.9
    )
    return cast("Wire", connection)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Until ``event`` is set, at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def stay_connected(
    connection: Callable[[], Wire],
    use: Callable[[Wire], Awaitable[None]],
    options: LinkOptions,
    *,
    jitter: Callable[[], float],
    restored: Callable[[int], None],
    lost: Callable[[Loss], None],
) -> None:
    """Connect and ``use``, again and again; only a lost connection is survived.

    ``restored`` is told after how many losses in a row there is a connection again. ``jitter`` gives numbers from 0 to
    1, which shorten the pauses before new attempts.
    """
    now = asyncio.get_running_loop().time
    failures = 0
    while True:
        wire = connection()
        since = inf
        try:
            async with asyncio.timeout(options.answer_s):
                await wire.connect()
            since = now()
            if failures:
                restored(failures)
            await use(wire)
        except* LOST as error:
            if now() - since > options.longest_pause_s:
                failures = 0
            failures += 1
            lost(Loss(why=_first_of(error), connected=since != inf, failures=failures))
        finally:
            await wire.disconnect(nowait=True)
        longest = min(options.longest_pause_s, options.first_pause_s * 2.0 ** min(failures - 1, 30))
        await wait_for(asyncio.Event(), longest * jitter())


def _first_of(lost: BaseExceptionGroup[BaseException]) -> str:
    """What the first of the errors says."""
    error: BaseException = lost
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
