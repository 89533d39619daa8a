"""From a URL to an open bus."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import SplitResult, unquote, urlsplit

from storage.bus import Bus
from storage.local_bus import LocalBus, LocalHub
from storage.redis_address import RedisAddress

FORMS = "local:, redis://[:PASSWORD@]HOST:PORT[/DB] or rediss://[:PASSWORD@]HOST:PORT[/DB]"


def open_bus(url: str) -> AbstractAsyncContextManager[Bus]:
    """The bus at ``url``, open until the end of the block.

    ``local:`` is a new in-process bus that no other node shares.
    ``redis://[:PASSWORD@]HOST:PORT[/DB]`` is Redis, ``rediss://`` the same over TLS; nodes hear
    each other if they give the same DB. A user name may stand before the colon; what is special in
    a URL is percent-encoded. Redis may be away: it is connected to when it comes.

    Raises:
        ValueError: at once, for a wrong URL. The text never holds the password.
    """
    if url == "local:":
        return _open_local()
    return _open_redis(redis_address(url))


def redis_address(url: str) -> RedisAddress:
    """What a ``redis://`` or ``rediss://`` URL says.

    Raises:
        ValueError: it is not one; the text names what is wrong and never holds the password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Python's own text quotes what it could not read, and that may be half a password.
        raise _wrong("the host or the port cannot be read") from None
    if parts.scheme not in ("redis", "rediss"):
        raise _wrong("its beginning is not known")
    if not parts.hostname:
        raise _wrong("the host is missing")
    if port == 0:
        raise _wrong("the port is not between 1 and 65535")
    if parts.query or parts.fragment:
        raise _wrong("it has a query or a fragment, which means nothing here")
    return RedisAddress(
        host=parts.hostname,
        port=6379 if port is None else port,
        db=_db(parts),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "rediss",
    )


def _db(parts: SplitResult) -> int:
    name = parts.path.removeprefix("/")
    if not name:
        return 0
    if not (name.isascii() and name.isdecimal()):
        raise _wrong("what follows the port is not the number of a DB")
    return int(name)


def _wrong(why: str) -> ValueError:
    return ValueError(f"the bus URL is wrong: {why}; it has to be {FORMS}")


@asynccontextmanager
async def _open_local() -> AsyncIterator[Bus]:
    async with LocalBus(LocalHub()).running() as bus:
        yield bus


@asynccontextmanager
async def _open_redis(address: RedisAddress) -> AsyncIterator[Bus]:
    from storage.redis_bus import RedisBus, RedisBusOptions  # noqa: PLC0415 - a node without Redis starts sooner

    bus = RedisBus(address, RedisBusOptions(), jitter=lambda: secrets.randbelow(1000) / 1000)
    async with bus.running():
        yield bus
