"""Who may call which staff endpoint: the key is checked at every request, before anything else of it is read."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler, delete, get, post, put
from msgspec import Struct

from protocol import GuildhallError, NotAuthenticated, RateLimited, TokenExpired
from server.limits import Rate, source_of
from server.staff.desk import Desk
from server.staff.keys import DEV, SELECT, MissingScope, Scope, StaffKey, key_of, opens, split

log = structlog.get_logger()
FAILURES = Rate(per_s=1, burst=20)  # of one address; each costs a read of the database
SOURCES = 10_000  # addresses whose failures are remembered; more at once are an attack, and wait

_METHODS: dict[str, Any] = {"GET": get, "POST": post, "PUT": put, "DELETE": delete}


class Terms(Struct, frozen=True):
    """What an endpoint declares, for the guard and for the page of the API; kept in the handler's ``opt``."""

    scope: Scope
    group: str
    """Heading under which the page lists it."""
    errors: tuple[type[GuildhallError], ...]
    """What it refuses with, besides what every endpoint does."""
    changes: bool
    """Whether it needs an ``Idempotency-Key`` and leaves an audit row."""


class Access:
    """The guard of every staff endpoint. ``dev``: whether the key ``dev`` is an administrator's."""

    def __init__(self, desk: Desk, *, dev: bool) -> None:
        self._desk = desk
        self._dev = dev
        self._failures = Failures()

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Let the request pass, with its key in ``connection.state``.

        Raises:
            NotAuthenticated, TokenExpired, MissingScope, RateLimited, Unavailable: it may not.
        """
        terms: Terms = handler.opt["terms"]
        address = connection.client.host if connection.client else ""
        now = self._desk.clock.monotonic()
        self._failures.refuse_if_many(address, now)
        try:
            key = await self._key_of(connection.headers.getall("authorization", []))
        except NotAuthenticated as refusal:
            self._failures.note(address, now)
            log.info("staff.refused", address=address, code=refusal.code)
            raise
        if not key.may(terms.scope):
            raise MissingScope(f"key {key.id} has not the scope {terms.scope}")
        connection.state.staff_key = key

    async def _key_of(self, headers: Sequence[str]) -> StaffKey:
        """The good key in an Authorization header. What is wrong with another one is not told, but that its time is
        over to who knows its secret."""
        if len(headers) != 1:
            raise NotAuthenticated("a key is needed: Authorization: Bearer KEY")
        scheme, _, text = headers[0].partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated("a key is needed: Authorization: Bearer KEY")
        text = text.strip(" ")
        if text == DEV.id and self._dev:
            return DEV
        parts = split(text)
        if parts is None:
            raise NotAuthenticated("not a key")
        rows = await self._desk.select(f"{SELECT} WHERE id = ?", (parts[0],))
        key = key_of(rows[0]) if rows else None
        if not opens(parts[1], key) or key is None or key.revoked_ms is not None:
            raise NotAuthenticated("not a key, or one that was revoked")
        if key.expired(self._desk.clock.now_ms()):
            raise TokenExpired(f"key {key.id} has expired")
        return key


class Failures:
    """A bucket of failed sign-ins for each address; while it is full, everything from there waits."""

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}

    def refuse_if_many(self, address: str, now: float) -> None:
        """Raises RateLimited while the address has failed too often."""
        full_at = self._full_at.get(source_of(address), 0.0)
        wait = max(full_at, now) + FAILURES.interval - now - FAILURES.reach
        if wait > 0:
            raise RateLimited("too many wrong keys from this address", retry_after_ms=int(wait * 1000) + 1)

    def note(self, address: str, now: float) -> None:
        """Count a failure."""
        source = source_of(address)
        if len(self._full_at) >= SOURCES and source not in self._full_at:
            self._full_at = {known: at for known, at in self._full_at.items() if at > now}
            if len(self._full_at) >= SOURCES:
                return
        self._full_at[source] = max(self._full_at.get(source, 0.0), now) + FAILURES.interval


class Endpoints:
    """Declares the routes of one group. ``show`` reads, ``change`` changes; both need a scope."""

    def __init__(self, access: Access, group: str) -> None:
        self._access = access
        self._group = group

    def show(self, path: str, scope: Scope, *errors: type[GuildhallError]) -> Callable[[Any], HTTPRouteHandler]:
        """``GET path`` for keys with ``scope``; ``errors`` are what it refuses with."""
        return self._route("GET", path, scope, errors, changes=False)

    def change(
        self, method: str, path: str, scope: Scope, *errors: type[GuildhallError]
    ) -> Callable[[Any], HTTPRouteHandler]:
        """``method path`` for keys with ``scope``, answered by ``Changes.run``."""
        return self._route(method, path, scope, errors, changes=True)

    def _route(
        self, method: str, path: str, scope: Scope, errors: tuple[type[GuildhallError], ...], *, changes: bool
    ) -> Callable[[Any], HTTPRouteHandler]:
        terms = Terms(scope, self._group, errors, changes)
        declare: Any = _METHODS[method](
            path, status_code=200, guards=[self._access], opt={"terms": terms}, tags=[self._group]
        )
        made: Callable[[Any], HTTPRouteHandler] = declare
        return made


def key_behind(request: Request[Any, Any, Any]) -> StaffKey:
    """The key that a request passed the guard with."""
    key: StaffKey = request.state.staff_key
    return key
