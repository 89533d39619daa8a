"""What the async functions of rooms may touch: the world that turns may not.

A turn is a plain function. Where a room needs more than memory, it says so (``Feature.fetches``, ``Feature.calls``,
``Feature.service``) and gets this.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from msgspec import Struct

from actors.runtime.answer import Answer, Deliver
from actors.runtime.clock import Clock
from actors.runtime.context import Caller, Follow, SliceOf
from actors.runtime.membership import Membership
from actors.runtime.observer import Observer
from actors.runtime.replicas import Replicas
from actors.runtime.stream import Tap
from actors.runtime.tickets import Ticket
from protocol import Reply, Request, Unavailable
from storage import Ranks, Store

SERVER = Caller("server:")
"""Who asks when it is no player: a colon stands in no player's id."""


class Asks(Protocol):
    """The node's router, as far as it is needed here."""

    def ask(self, request: Request[Any], caller: Caller, deliver: Deliver, address: str = "") -> None: ...
    def redeem(self, ticket: Ticket, deliver: Deliver) -> None: ...


class Topics(Protocol):
    """The node's hub, as far as it is needed here."""

    def tap(self, topic: str, tap: Tap) -> None: ...
    def hold(self, follow: Follow) -> None: ...


class Service(Protocol):
    """A part of a room that lives as long as its node."""

    def running(self) -> AbstractAsyncContextManager[Any]:
        """Work until the context is left."""
        ...


class Reach(Struct, frozen=True):
    """See the module."""

    store: Store
    ranks: Ranks
    clock: Clock
    membership: Membership
    observe: Observer
    router: Asks
    topics: Topics
    replicas: Replicas
    services: Mapping[str, Any]
    """By room; filled once all of them are made."""

    async def ask(self, request: Request[Any], caller: Caller = SERVER) -> Reply:
        """See ``ask``."""
        return await ask(self.router, request, caller)

    async def ask_actor(self, address: str, request: Request[Any], caller: Caller = SERVER) -> Reply:
        """``ask``, where the actor is known."""
        return await _reply(self.router, lambda deliver: self.router.ask(request, caller, deliver, address))

    def replica(self, feature: SliceOf[Any]) -> Any:
        """As ``Context.replica``."""
        return self.replicas.values[feature.name]

    def service(self, feature: SliceOf[Any]) -> Any:
        """The room's own part of this node."""
        return self.services[feature.name]


async def ask(router: Asks, request: Request[Any], caller: Caller = SERVER) -> Reply:
    """The reply to a request of the server's own parts.

    Raises:
        GuildhallError: the turn refused, or the outcome is unknown.
    """
    return await _reply(router, lambda deliver: router.ask(request, caller, deliver))


async def _reply(router: Asks, start: Callable[[Deliver], None]) -> Reply:
    answer = await _heard(start)
    if answer.ticket is not None:
        ticket = answer.ticket
        answer = await _heard(lambda deliver: router.redeem(ticket, deliver))
    if answer.error is not None:
        raise answer.error
    if answer.reply is None:
        raise Unavailable("no reply")
    return answer.reply


async def _heard(start: Callable[[Deliver], None]) -> Answer:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def deliver(answer: Answer) -> None:
        if not future.done():
            future.set_result(answer)

    start(deliver)
    return await future
