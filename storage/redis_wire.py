"""One connection to Redis, by redis-py's asyncio classes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import RedisError

from storage.redis_address import RedisAddress

LOST = (RedisError, OSError)
"""What a lost, refused or silent connection raises; asyncio's timeouts are an OSError too."""


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


def first_of(lost: BaseExceptionGroup[BaseException]) -> str:
    """What the first of the errors says."""
    error: BaseException = lost
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
