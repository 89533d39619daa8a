"""What a room declares: its slice of an actor's state, its turns, its schema.

A room builds one ``Feature`` and decorates plain functions with it::

    gifts = Feature(name="gifts", actor="player", state=GiftBox)

    @gifts.handles(GiftSend, key="to")          # a client's request, run by actor player:<to>
    def send(ctx: Context, box: GiftBox, msg: GiftSend) -> GiftSent: ...

    @gifts.hears(GiftReturned)                  # a tell of another actor, or a timer of this one
    def returned(ctx: Context, box: GiftBox, msg: GiftReturned) -> None: ...

Nothing runs at declaration; ``Blueprint`` puts all features together.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from actors.runtime.context import Context
from actors.runtime.replicas import ReplicaOf
from actors.runtime.tickets import FetchTicket, Ticket
from protocol.messages import Event, Message, Reply, Request, Tell
from storage import Migration

S = TypeVar("S", bound=Struct)
M = TypeVar("M", bound=Message)
Convert = Callable[[dict[str, Any]], dict[str, Any]]
"""A decoded slice of one schema to that of the next, or of the one before."""
Address = Callable[[Any, str], str]
"""(request, caller's player id) to the actor that runs it."""
Fetch = Callable[[Any, Any], Awaitable[Reply]]
"""(ticket, reach) to the reply; see ``actors.runtime.reach``."""
Call = Callable[[Any, Any], Awaitable[Tell | None]]
"""(message, reach) to what the actor that called hears."""
Render = Callable[[Any, str, int], Event]
"""(stored event, a reader's locale, now in ms) to the event that this reader gets, with the same topic, seq and at."""

Greet = Callable[[Any, Any], Struct]
"""(context, slice) to what the room says at a sign-in."""

CALLER = "@caller"
"""As ``key``: the caller's own actor."""
EVERY_KIND: Sequence[str] = ()
"""As ``actor``: the room's requests, which need an ``address``, are run by actors of whatever kind. It has no slice:
each turn gets an empty ``state``, which is not kept."""


class Turn(Struct, frozen=True):
    """One handler and how it is run."""

    feature: "Feature[Any]"
    message: type[Message]
    run: Callable[[Any, Any, Any], Any]
    writes: bool
    """False: the turn never changes its slice, whatever it publishes or tells; a test build verifies it."""
    keeps: bool = True
    """Whether its reply is kept under the op id: so for clients' requests, not for those of the server's own parts."""
    reply: type[Reply] | None = None
    """What a request's turn returns, unless it is a ticket or another turn replies; None for a tell."""


class Route(Struct, frozen=True):
    """How a client's request finds its actor."""

    turn: Turn
    address: Address
    internal: bool
    """Asked by the server's own parts (sign-in), never accepted from a client."""


class Feature(Generic[S]):
    """A room: one slice of the state of every actor of its kinds, and what may happen to it.

    ``actor`` names the kinds that carry the slice. Kinds in ``transient`` carry it in memory only: nothing of it is
    saved, and it starts empty at each activation. ``schema`` is the number of ``state``'s present form, which is what
    is written; ``upgrades[n]`` makes a decoded slice of schema n one of n + 1. ``downgrades[n]`` makes one of schema n
    one of n - 1: the release before the one that raises the number has it, so that one can go back to it.
    """

    def __init__(  # noqa: PLR0913 - the whole declaration of a room is one call, all by name
        self,
        name: str,
        *,
        actor: str | Sequence[str],
        state: type[S],
        schema: int = 1,
        upgrades: Mapping[int, Convert] | None = None,
        downgrades: Mapping[int, Convert] | None = None,
        migrations: Sequence[Migration] = (),
        transient: Sequence[str] = (),
        keep_events: int = 10_000,
    ) -> None:
        self.name = name
        self.kinds = (actor,) if isinstance(actor, str) else tuple(actor)
        self.state = state
        self.schema = schema
        self.upgrades = dict(upgrades or {})
        self.downgrades = dict(downgrades or {})
        self.migrations = tuple(migrations)
        self.transient = frozenset(transient)
        self.keep_events = keep_events
        """Newest events kept in each durable topic that this room publishes to; a cursor from before is reset."""
        self.routes: dict[type[Request[Any]], Route] = {}
        self.tells: dict[type[Tell], Turn] = {}
        self.queries: dict[type[Ticket], Callable[..., Reply]] = {}
        self.topics: dict[str, Callable[[S, str, str], bool]] = {}
        self.greets: Callable[[Context, S], Struct] | None = None
        self.events: list[type[Message]] = []
        self.stored: list[type[Message]] = []
        self.named: dict[str, str] = {}
        """Topics with a name of their own, to the actor that publishes them."""
        self.renders: dict[str, Render] = {}
        self.fetched: dict[type[Ticket], Fetch] = {}
        self.called: dict[type[Tell], Call] = {}
        self.replicated: ReplicaOf | None = None
        self.service: Callable[[Any], Any] | None = None

    def handles(
        self,
        request: type[M],
        *,
        key: str | None = None,
        address: Address | None = None,
        writes: bool = True,
        internal: bool = False,
    ) -> Callable[[Callable[[Context, S, M], Any]], Callable[[Context, S, M], Any]]:
        """Run the decorated turn for ``request``, on the actor of the room's first kind whose key is the request's
        field ``key`` (``CALLER``: the caller), or on the actor that ``address`` names.

        Two features may handle one request type where their kinds differ: the addressed actor's kind picks the turn.
        The reply is kept under the op id if the turn writes or anything of it is durable. A turn that follows a topic
        or hands out a ticket is run anew for a repeated id, so it must do no harm the second time.
        """
        route_to = address or _by_field(self.kinds[0], key or CALLER)

        def declare(run: Callable[[Context, S, M], Any]) -> Callable[[Context, S, M], Any]:
            turn = Turn(self, request, run, writes, keeps=not internal, reply=reply_of(request))
            self.routes[request] = Route(turn, route_to, internal)  # type: ignore[index]
            return run

        return declare

    def hears(
        self, tell: type[M], *, writes: bool = True
    ) -> Callable[[Callable[[Context, S, M], None]], Callable[[Context, S, M], None]]:
        """Run the decorated turn when an actor of the room's kinds is told ``tell``, or its timer with it is due."""

        def declare(run: Callable[[Context, S, M], None]) -> Callable[[Context, S, M], None]:
            self.tells[tell] = Turn(self, tell, run, writes)  # type: ignore[index]
            return run

        return declare

    def answers(self, ticket: type[Ticket]) -> Callable[[Callable[..., Reply]], Callable[..., Reply]]:
        """Make the reply to ``ticket`` from what storage holds: ``(ticket, events or rows) -> Reply``."""

        def declare(answer: Callable[..., Reply]) -> Callable[..., Reply]:
            self.queries[ticket] = answer
            return answer

        return declare

    def fetches(self, ticket: type[FetchTicket]) -> Callable[[Fetch], Fetch]:
        """Make the reply to ``ticket`` with the decorated ``async (ticket, reach) -> Reply``, which may also refuse."""

        def declare(fetch: Fetch) -> Fetch:
            self.fetched[ticket] = fetch
            return fetch

        return declare

    def calls(self, message: type[Tell]) -> Callable[[Call], Call]:
        """Run the decorated ``async (message, reach) -> Tell | None`` for ``Context.call(message)``."""

        def declare(call: Call) -> Call:
            self.called[message] = call
            return call

        return declare

    def replicates(self, sql: str, make: Callable[[Sequence[tuple[Any, ...]]], Any]) -> None:
        """Have every node keep what ``make`` builds from the rows of ``sql`` in memory (``Context.replica``)."""
        self.replicated = ReplicaOf(sql, make)

    def serves(self, service: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Have a part of the room live as long as the node: ``service(reach)`` makes a ``Service``."""
        self.service = service
        return service

    def publishes_as(self, topic: str, actor: str, stored: type[M]) -> Callable[[Render], Render]:
        """Give the durable topic ``topic`` of ``actor`` a name of its own. What is stored there, of type ``stored``, is
        not what is sent: the decorated function renders it for each reader."""

        def declare(render: Render) -> Render:
            self.named[topic] = actor
            self.renders[topic] = render
            self.stored.append(stored)
            return render

        return declare

    def readable(self, prefix: str) -> Callable[[Callable[[S, str, str], bool]], Callable[[S, str, str], bool]]:
        """Decide with the decorated ``(slice, player, actor) -> bool`` who may follow the topic ``prefix + actor``, or
        the topic ``prefix`` where it has a name of its own (``publishes_as``)."""

        def declare(may_read: Callable[[S, str, str], bool]) -> Callable[[S, str, str], bool]:
            self.topics[prefix] = may_read
            return may_read

        return declare

    def greeting(self, greet: Callable[["Context", S], Struct]) -> Callable[["Context", S], Struct]:
        """Have the struct that ``greet`` makes of a player's slice put into the welcome, under the room's name.

        It is run at sign-in and only looks: the context is there for the time and the place of a topic.
        """
        self.greets = greet
        return greet

    def publishes(self, *events: type[Message]) -> None:
        """Declare the events of the room, for the catalogue and for replay."""
        self.events.extend(events)


def _by_field(kind: str, key: str) -> Address:
    if key == CALLER:
        return lambda _request, caller: f"{kind}:{caller}"
    return lambda request, _caller: f"{kind}:{getattr(request, key)}"


def reply_of(request: type[Message]) -> type[Reply]:
    """The reply type that a request names: ``Request[ChatSent]`` names ``ChatSent``."""
    for base in getattr(request, "__orig_bases__", ()):
        for argument in getattr(base, "__args__", ()):
            if isinstance(argument, type) and issubclass(argument, Reply):
                return argument
    raise TypeError(f"{request.__name__} names no reply")
