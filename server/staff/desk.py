"""What the staff endpoints reach of the node, from the moment that it is up; ``unavailable`` before."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from actors.runtime import Clock, ask
from actors.runtime.membership import Membership
from actors.runtime.router import Router
from protocol import Reply, Request, Unavailable
from server.node_limits import NodeLimits
from server.staff.node_numbers import NodeNumbers
from storage import EventRange, EventRow, Store, StoreDown


class DeskParts(Struct, frozen=True, kw_only=True):
    """What a node gives its staff endpoints."""

    store: Store
    router: Router
    membership: Membership
    numbers: NodeNumbers
    limits: NodeLimits


class Desk:
    """Every method may raise Unavailable: the node is starting, or the store does not answer."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.parts: DeskParts | None = None
        """Set when the node is up."""

    @property
    def node(self) -> DeskParts:
        """The parts of a node that is up."""
        if self.parts is None:
            raise Unavailable("the node is starting", retry_after_ms=1_000)
        return self.parts

    async def select(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """``Store.select``."""
        try:
            return await self.node.store.select(sql, values)
        except StoreDown as error:
            raise Unavailable("the store does not answer", retry_after_ms=1_000) from error

    async def read_events(self, span: EventRange) -> list[EventRow]:
        """``Store.read_events``."""
        try:
            return await self.node.store.read_events(span)
        except StoreDown as error:
            raise Unavailable("the store does not answer", retry_after_ms=1_000) from error

    async def ask(self, request: Request[Any]) -> Reply:
        """The reply of the actor that runs ``request``.

        Raises:
            GuildhallError: the turn refused, or the outcome is unknown.
        """
        return await ask(self.node.router, request)
