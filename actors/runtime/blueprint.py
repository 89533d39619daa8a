"""All features put together: which kinds of actors there are, and where each message goes."""

from collections.abc import Iterable, Sequence
from typing import Any

from actors.runtime.access import TopicOpen
from actors.runtime.feature import Address, Call, Feature, Fetch, Greet, Render, Turn
from actors.runtime.replicas import ReplicaOf
from actors.runtime.tickets import Ticket
from protocol import Message, Request, Tell, tag_of
from storage import Migration

CALLER_PLACED = "player"
"""The kind that is claimed where its session is; every other kind is placed by hash."""


class Kind:
    """One kind of actor: the slices that it carries and the turns that it can run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.features: dict[str, Feature[Any]] = {}
        self.turns: dict[type[Message], Turn] = {}
        self.topics: dict[str, Feature[Any]] = {}
        """Topic prefix, or a topic with a name of its own, to the feature that decides who may read it."""
        self.greeters: list[tuple[Feature[Any], Greet]] = []
        """The rooms that say something at a sign-in, and what says it."""
        self.named: dict[str, str] = {}
        """Topics with a name of their own, to the actor of this kind that publishes them."""

    def add(self, feature: Feature[Any]) -> None:
        """Have the kind carry the room, or run the turns of one that is of every kind.

        Raises:
            Ambiguous: another room has claimed some of it.
        """
        if feature.kinds:
            _put(self.features, feature.name, feature)
            if feature.greets is not None:
                self.greeters.append((feature, feature.greets))
        for prefix in feature.topics:
            _put(self.topics, prefix, feature)
        self.named.update({t: actor for t, actor in feature.named.items() if actor.partition(":")[0] == self.name})
        for request, route in feature.routes.items():
            _put(self.turns, request, route.turn)
        for tell, turn in feature.tells.items():
            _put(self.turns, tell, turn)

    def prefix_of(self, topic: str, actor: str) -> str | None:
        """The key in ``topics`` of a topic of ``actor``; None where it has no such topic."""
        if topic in self.named:
            return topic if self.named[topic] == actor else None
        prefix = topic.removesuffix(actor)
        return prefix if prefix + actor == topic and prefix in self.topics else None

    def keep_events(self, topic: str) -> int:
        """How many of a topic's newest events are kept."""
        for prefix, feature in self.topics.items():
            if prefix and topic.startswith(prefix):
                return feature.keep_events
        return self.topics[""].keep_events if "" in self.topics else 10_000


class Ambiguous(Exception):
    """Two features claim the same message, topic or slice of one kind: a mistake in the rooms' declarations."""


class Blueprint:
    """Built once, at start, from the list of features."""

    def __init__(self, features: Iterable[Feature[Any]]) -> None:
        self.features = tuple(features)
        self.kinds: dict[str, Kind] = {}
        self.addresses: dict[type[Request[Any]], Address] = {}
        self.requests: list[type[Request[Any]]] = []
        """What clients may send, in order of their tags."""
        self.internal: list[type[Request[Any]]] = [TopicOpen]
        self.tells: dict[str, type[Tell]] = {}
        self.tickets: list[type[Ticket]] = []
        self.queries: dict[type[Ticket], Any] = {}
        self.fetched: dict[type[Ticket], Fetch] = {}
        self.called: dict[type[Tell], Call] = {}
        self.renders: dict[str, Render] = {}
        """Topics whose stored events are rendered for each reader."""
        self.named: dict[str, str] = {}
        """Topics with a name of their own, to the actor that publishes them."""
        self._prefixes: list[str] = []
        for feature in self.features:
            self._add(feature)
        for feature in self.features:
            if not feature.kinds:
                for kind in self.kinds.values():
                    kind.add(feature)
        self.requests.sort(key=tag_of)
        self._prefixes.sort(key=len, reverse=True)

    def migrations(self) -> dict[str, Sequence[Migration]]:
        """Each room's schema changes, by room."""
        return {f.name: f.migrations for f in self.features if f.migrations}

    def replicated(self) -> dict[str, ReplicaOf]:
        """What rooms replicate, by room."""
        return {f.name: f.replicated for f in self.features if f.replicated is not None}

    def kind_of(self, actor: str) -> Kind | None:
        """The kind of an address, None where there is no such kind."""
        return self.kinds.get(actor.partition(":")[0])

    def actor_of(self, topic: str) -> str:
        """The actor that publishes ``topic``: ``chat:guild:42`` and ``guild:42`` both belong to ``guild:42``."""
        if topic in self.named:
            return self.named[topic]
        for prefix in self._prefixes:
            if topic.startswith(prefix):
                return topic[len(prefix) :]
        return topic

    def events(self) -> list[type[Message]]:
        """Every event of every room that clients see."""
        return [event for feature in self.features for event in feature.events]

    def stored_events(self) -> list[type[Message]]:
        """Every event that lies in a log or travels between nodes."""
        return [*self.events(), *(event for feature in self.features for event in feature.stored)]

    def _add(self, feature: Feature[Any]) -> None:
        for name in feature.kinds:
            kind = self.kinds.setdefault(name, Kind(name))
            kind.add(feature)
        for request, route in feature.routes.items():
            if request not in self.addresses:
                self.addresses[request] = route.address
                (self.internal if route.internal else self.requests).append(request)
        for tell in feature.tells:
            self.tells[tag_of(tell)] = tell
        for ticket, answer in feature.queries.items():
            self.tickets.append(ticket)
            _put(self.queries, ticket, answer)
        for ticket, fetch in feature.fetched.items():
            self.tickets.append(ticket)
            _put(self.fetched, ticket, fetch)
        self.called.update(feature.called)
        self.renders.update(feature.renders)
        for topic, actor in feature.named.items():
            _put(self.named, topic, actor)
        self._prefixes.extend(p for p in feature.topics if p and p not in self._prefixes and p not in feature.named)


def _put(where: dict[Any, Any], key: Any, value: Any) -> None:
    if key in where:
        raise Ambiguous(f"{key!r} is declared twice, by {where[key]!r} and {value!r}")
    where[key] = value
