"""One connection to Redis, by redis-py's asyncio classes."""

from collections.abc import Sequence
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
        protocol=2,  # parsed faster than RESP3
    )
    return cast("Wire", connection)
