"""Public keys that another service publishes: fetched in the background, kept when it is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from actors.runtime.clock import Clock
from server.auth_keys import AuthKey, parse_jwks
from server.config import without_password

if TYPE_CHECKING:
    import httpx

REFRESH_S = 900.0  # a withdrawn key is refused after at most this
PAUSE_S = 30.0  # between fetches for unknown kids: made-up ones must not flood the service
TIMEOUT_S = 5.0
BODY_BYTES = 262_144  # some hundred keys

log = structlog.get_logger()


class RemoteKeys:
    """The keys of a JSON Web Key Set at ``url``. Implements ``MoreKeys`` of ``server.auth``.

    A fetch that fails keeps what is known. Before the first that works no key is known, and tokens
    are answered ``unavailable``.
    """

    def __init__(self, url: str, clock: Clock, *, transport: "httpx.AsyncBaseTransport | None" = None) -> None:
        import httpx  # noqa: PLC0415 - a fifth of a second of every start, and most need no key set

        self._failure = httpx.HTTPError
        self._url = url
        self._clock = clock
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, transport=transport, trust_env=False)
        self._keys: dict[str, AuthKey] = {}
        self._want = asyncio.Event()
        self._asked = float("-inf")
        self._idle = asyncio.Event()

    def get(self, kid: str) -> AuthKey | None:
        """The key as last fetched."""
        return self._keys.get(kid)

    def wanted(self) -> bool:
        """Have the keys fetched, but not within ``PAUSE_S`` of the last such wish; whether a fetch
        is under way."""
        if self._clock.monotonic() >= self._asked + PAUSE_S:
            self._ask()
        return not self._idle.is_set() or not self._keys

    async def settled(self) -> None:
        """Wait until no fetch is under way: for a start that waits for its keys, and for tests."""
        await self._idle.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fetch now and every ``REFRESH_S`` seconds while this is open."""
        async with self._client, asyncio.TaskGroup() as tasks:
            started = [
                tasks.create_task(self._fetch_when_wanted(), name="jwks fetch"),
                tasks.create_task(self._want_often(), name="jwks refresh"),
            ]
            try:
                yield
            finally:
                for task in started:
                    task.cancel()

    def _ask(self) -> None:
        self._asked = self._clock.monotonic()
        self._idle.clear()
        self._want.set()

    async def _want_often(self) -> None:
        while True:
            self._ask()
            await self._clock.sleep(REFRESH_S)

    async def _fetch_when_wanted(self) -> None:
        while True:
            await self._want.wait()
            self._want.clear()
            try:
                await self._fetch()
            except self._failure as error:
                log.warning(
                    "jwks.fetch_failed",
                    url=without_password(self._url),
                    reason=type(error).__name__,
                )
            if not self._want.is_set():
                self._idle.set()

    async def _fetch(self) -> None:
        async with self._client.stream("GET", self._url) as response:
            response.raise_for_status()
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > BODY_BYTES:
                    log.warning("jwks.too_long", url=without_password(self._url), limit_bytes=BODY_BYTES)
                    return
        keys = parse_jwks(body)
        if not keys:
            log.warning("jwks.empty", url=without_password(self._url))
            return
        self._keys = keys
