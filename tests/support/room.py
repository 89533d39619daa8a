"""Runs the turns of rooms without loop, socket or database: state in, reply and effects out.

room = Room(gifts, actor="player:bo", caller="ann")
reply = room.ask(GiftSend(id="1", to="bo", item="potion"))
assert room.published == [("player:bo", GiftReceived(...))]
"""

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from actors.runtime.actor import Actor, Tools
from actors.runtime.blueprint import Blueprint
from actors.runtime.context import DEFERRED, Caller, Effect, Publish, SessionRef, TellEffect
from actors.runtime.draft import Ran
from actors.runtime.feature import Feature
from actors.runtime.node import make_decoders
from protocol import Event, GuildhallError, Reply, Request, Tell, digest, tag_of
from storage import ActorWrite, Snapshot

R = TypeVar("R", bound=Reply)
NOON = 1_700_000_000_000  # milliseconds since the Unix epoch


class Room:
    """One actor with the given features (the first is ``state``'s); every turn is checked for stray changes."""

    def __init__(
        self,
        features: Feature[Any] | Sequence[Feature[Any]],
        *,
        actor: str,
        caller: str = "ann",
        name: str = "",
        snapshot: Snapshot | None = None,
    ) -> None:
        self.features = [features] if isinstance(features, Feature) else list(features)
        self.blueprint = Blueprint(self.features)
        kind = self.blueprint.kind_of(actor)
        assert kind is not None, f"none of the features has actors like {actor}"
        self.kind = kind
        self.now_ms = NOON
        self.caller = caller
        self.name = name
        self.replicas: dict[str, Any] = {room: spec.make(()) for room, spec in self.blueprint.replicated().items()}
        """What the node knows of replicated rows, by room; a test puts there what it needs."""
        self._stamps = 0
        self.session = SessionRef("s1", "node1", "g1")
        self.actor = self._open(snapshot or Snapshot(actor=actor, fence=1, version=0, told=0))
        self.effects: list[Effect] = []
        """Everything declared so far, in order."""
        self._told: dict[str, int] = {}

    def _open(self, snapshot: Snapshot) -> Actor:
        decoders = make_decoders(self.blueprint)
        tools = Tools(
            digest=digest,
            decode_tell=self.decode_tell,
            decode_reply=decoders.reply.decode,
            decode_ticket=decoders.ticket.decode,
            random=Random(7),
            stamp=self._stamp,
            replicas=self.replicas,
            epoch="e1",
            verify=True,
        )
        return Actor(self.kind, snapshot, tools)

    def _stamp(self) -> int:
        self._stamps += 1
        return self.now_ms * 1000 + self._stamps

    def decode_tell(self, body: bytes) -> Tell:
        tag = msgspec.msgpack.decode(body)["t"]
        return msgspec.msgpack.decode(body, type=self.blueprint.tells[tag])

    @property
    def state(self) -> Any:
        """The slice of the first feature."""
        return self.actor.states()[self.features[0].name]

    def ask(self, request: Request[R], *, caller: str | None = None, name: str | None = None) -> Any:
        """The reply (or ticket, or Deferred) of the request's turn; raises what it refuses with."""
        who = caller or self.caller
        shown = self.name if name is None else name
        ran = self._ran(self.actor.ask(request, Caller(who, shown, self.session), self.now_ms))
        return DEFERRED if ran.deferred else ran.ticket or ran.reply

    def hear(
        self,
        tell: Tell,
        *,
        sender: str,
        number: int | None = None,
        refused: type[GuildhallError] | None = None,
    ) -> Ran | None:
        """Run the turn of a tell; None when (sender, number) was heard before. Without a number: the sender's next."""
        if number is None:
            number = self._told[sender] = self._told.get(sender, 0) + 1
        ran = self.actor.hear(tell, sender, number, self.now_ms, refused)
        return ran if ran is None else self._ran(ran)

    def take(self, tell: Tell) -> Ran:
        """Run the turn of what a call has brought back."""
        return self._ran(self.actor.take(tell, self.now_ms))

    def pass_time(self, seconds: float) -> None:
        """Move the clock on and fire what is due, in order."""
        self.now_ms += int(seconds * 1000)
        timers = self.actor.draft.timers
        while due := sorted(
            (t.due_ms, t.name) for t in timers.values() if t.failed is None and t.due_ms <= self.now_ms
        ):
            ran = self.actor.fire(due[0][1], due[0][0], self.now_ms)
            assert ran is not None
            self._ran(ran)

    def commit(self) -> ActorWrite:
        """What would be saved now."""
        return self.actor.collect()

    @property
    def published(self) -> list[tuple[str, Event]]:
        """(topic, event) of every publish so far."""
        return [(e.topic, e.event) for e in self.effects if isinstance(e, Publish)]

    @property
    def told(self) -> list[tuple[str, Tell]]:
        """(actor, tell) of every tell so far."""
        return [(e.to, e.message) for e in self.effects if isinstance(e, TellEffect)]

    def effects_of(self, kind: type[Struct]) -> list[Any]:
        """Effects of one type, e.g. ``AnswerOp`` or ``Follow``."""
        return [e for e in self.effects if isinstance(e, kind)]

    def _ran(self, ran: Ran) -> Ran:
        self.effects.extend(self.actor.context.effects)
        self.actor.context.effects = []
        return ran


def tags(events: Sequence[tuple[str, Event]]) -> list[str]:
    """The tags of published events, for short assertions."""
    return [tag_of(event) for _, event in events]
