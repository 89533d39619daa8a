"""One node of the runtime, put together: the only place that knows all the parts.

The route of a request: ``Router.ask`` -> ``Host`` -> ``Activation`` (mailbox) -> ``Actor`` (turn) -> ``Committer`` ->
``Node.released`` -> ``Hub`` (topics), ``Relay`` (tells), sessions -> the asker's ``deliver``.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from typing import Any, Union

import msgspec
from msgspec import Struct

from actors.runtime.actor import Tools
from actors.runtime.answer import Deliver, nobody
from actors.runtime.backoff import Backoff
from actors.runtime.blueprint import CALLER_PLACED, Blueprint
from actors.runtime.clock import Clock
from actors.runtime.commit import Committer
from actors.runtime.directory import Directory
from actors.runtime.draft import Ran
from actors.runtime.due import DuePoller
from actors.runtime.feature import reply_of
from actors.runtime.frames import Decoders
from actors.runtime.host import Host, HostOptions
from actors.runtime.mailbox import Envelope, Returned
from actors.runtime.membership import Membership
from actors.runtime.observer import Observer
from actors.runtime.ops import Digest
from actors.runtime.queries import Queries
from actors.runtime.reach import Reach
from actors.runtime.relay import Relay
from actors.runtime.replicas import Replicas
from actors.runtime.router import Router, RouterOptions
from actors.runtime.tickets import Ticket
from actors.runtime.topics import Frame, Hub
from protocol import ErrorReply, Event, Reply, Tell
from storage import Bus, NodeRow, Ranks, Snapshot, Store

HEARD_S = 0.1  # until the other nodes have heard what this one announces, and looked


class NodeOptions(Struct, frozen=True):
    """How a node behaves."""

    lease_s: float = 10.0
    """Seconds after a node's death until others may take its actors."""
    lanes: int = 1
    """Group commits at the same time; one on SQLite, which has one writer."""
    host: HostOptions = HostOptions()
    router: RouterOptions = RouterOptions()
    verify: bool = False
    """Check every turn for changes that it must not make: for tests."""


class Outside(Struct, frozen=True):
    """What a node gets from the world around it."""

    store: Store
    bus: Bus
    ranks: Ranks
    clock: Clock
    random: Random
    observe: Observer
    frame: Frame
    """Makes the bytes that go to a socket of an event."""
    digest: Digest
    shared_bus: bool
    """Whether other nodes may be on the bus. Events are published to it even while this node knows of no other one: it
    learns of a new node only at its next renewal."""
    epoch: str
    """Which history of the database this is: the epoch of new topics."""


class Node:
    """The runtime of one process. ``running`` holds the lease, serves, and gives up what it owns."""

    def __init__(self, row: NodeRow, blueprint: Blueprint, outside: Outside, options: NodeOptions) -> None:
        clock, random, observe = outside.clock, outside.random, outside.observe
        self.name = row.node
        self._clock = clock
        self.blueprint = blueprint
        decoders = make_decoders(blueprint)
        self.membership = Membership(row, outside.store, clock, observe, options.lease_s)
        self.committer = Committer(outside.store, clock, observe, Backoff(random), options.lanes)
        self.replicas = Replicas(
            blueprint.replicated(),
            store=outside.store,
            bus=outside.bus,
            membership=self.membership,
            clock=clock,
        )
        tools = Tools(
            digest=outside.digest,
            decode_tell=decoders.tell.decode,
            decode_reply=decoders.reply.decode,
            decode_ticket=decoders.ticket.decode,
            random=random,
            stamp=Stamps(clock),
            replicas=self.replicas.values,
            epoch=outside.epoch,
            verify=options.verify,
        )
        self.host = Host(
            node=row.node,
            store=outside.store,
            blueprint=blueprint,
            committer=self.committer,
            tools=tools,
            clock=clock,
            random=random,
            outlet=self,
            serving=lambda: self.membership.serving,
            others=lambda: self.membership.successors,
            observe=observe,
            options=options.host,
        )
        self.queries = Queries(outside.store, blueprint, decoders.event.decode)
        self.router = Router(
            blueprint=blueprint,
            host=self.host,
            directory=Directory(self.membership),
            membership=self.membership,
            bus=outside.bus,
            queries=self.queries,
            decoders=decoders,
            clock=clock,
            options=options.router,
        )
        self.hub = Hub(
            node=row.node,
            bus=outside.bus,
            store=outside.store,
            read=self.queries.read,
            decode_event=decoders.event.decode,
            frame=outside.frame,
            renders=blueprint.renders,
            alone=lambda: self.membership.alone,
            shared=outside.shared_bus,
            clock=clock,
            observe=observe,
        )
        self.relay = Relay(
            host=self.host,
            router=self.router,
            decode_tell=decoders.tell.decode,
            known=blueprint.tells,
            clock=clock,
            random=random,
        )
        self._services: dict[str, Any] = {}
        self.reach = Reach(
            store=outside.store,
            ranks=outside.ranks,
            clock=clock,
            membership=self.membership,
            observe=observe,
            router=self.router,
            topics=self.hub,
            replicas=self.replicas,
            services=self._services,
        )
        self.queries.attach(self.reach)
        for feature in blueprint.features:
            if feature.service is not None:
                self._services[feature.name] = feature.service(self.reach)
        self._due = DuePoller(store=outside.store, membership=self.membership, router=self.router, clock=clock)
        self.membership.on_lapse(self.host.drop_all)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Node"]:
        """Serve until the context is left; last up, first down."""
        async with AsyncExitStack() as parts:
            await parts.enter_async_context(self.membership.running())
            await parts.enter_async_context(self.committer.running())
            await parts.enter_async_context(self.replicas.running())
            await parts.enter_async_context(self.queries.running())
            await parts.enter_async_context(self.host.running())
            await parts.enter_async_context(self.router.running())
            await parts.enter_async_context(self.hub.running())
            await parts.enter_async_context(self.relay.running())
            await parts.enter_async_context(self._due.running())
            for service in self._services.values():
                await parts.enter_async_context(service.running())
            self.router.announce()
            yield self

    async def step_back(self, within_s: float) -> None:
        """Have nothing placed here any more, and hand over what is not a player's own; sessions may still be here. Does
        nothing where there is nobody to take it."""
        await self._say_drained()
        if self.membership.successors:
            await self.host.hand_over(within_s, spare=CALLER_PLACED)

    async def drain(self, within_s: float) -> bool:
        """Hand over everything, then give up the lease; False if some actors were still busy after ``within_s``."""
        await self._say_drained()
        done = await self.host.hand_over(within_s)
        if done and self.membership.successors:
            await self.membership.leave()
            if self.host.activations:
                self.host.drop_all()
            await self._announce()
        return done

    async def _say_drained(self) -> None:
        if not self.membership.draining:
            await self.membership.drain()
            await self._announce()

    async def _announce(self) -> None:
        if not self.membership.alone:
            self.router.announce()
            await self._clock.sleep(HEARD_S)

    # Outlet of the host.
    def released(self, address: str, ran: Ran) -> None:
        if ran.events:
            self.hub.released(ran.events)
        if ran.tells:
            self.relay.send(address, ran.tells)
        for command in ran.commands:
            self.router.command(command)
        for message in ran.calls:
            self.queries.call(message, partial(self._returned, address))

    def _returned(self, address: str, tell: Tell) -> None:
        """What a call brings back, if the actor is still here."""
        activation = self.host.find(address)
        if activation is not None:
            activation.post(Returned(address, nobody, self._clock.monotonic(), float("inf"), tell))

    def redeem(self, ticket: Ticket, deliver: Deliver) -> None:
        self.queries.redeem(ticket, deliver)

    def opened(self, snapshot: Snapshot) -> None:
        self.relay.restore(snapshot)
        self.hub.compare(snapshot.topics)

    def is_home(self, address: str) -> bool:
        return self.router.is_home(address)

    def left(self, address: str, waiting: list[Envelope], owner: str | None) -> None:
        self.relay.forget(address)
        self.router.redirect(waiting, owner)

    def owing(self, address: str) -> None:
        self.router.wake(address)


class Stamps:
    """``Context.stamp`` of one node."""

    def __init__(self, clock: Clock) -> None:
        self._now_us = clock.now_us
        self._last = 0

    def __call__(self) -> int:
        self._last = max(self._last + 1, self._now_us())
        return self._last


def make_decoders(blueprint: Blueprint) -> Decoders:
    """Decoders for everything that travels between nodes or lies in tables."""
    requests = [*blueprint.requests, *blueprint.internal]
    replies: list[type[Reply]] = [ErrorReply, *(reply_of(request) for request in requests)]
    return Decoders(
        request=_union(requests),
        reply=_union(replies),
        event=_union(blueprint.stored_events() or [Event]),
        tell=_union(list(blueprint.tells.values()) or [Tell]),
        ticket=_union(blueprint.tickets or [Ticket]),
    )


def _union(types: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(Union[tuple(dict.fromkeys(types))])  # noqa: UP007 - a union of a computed list
