"""An activated actor: its state in memory and the running of turns. Pure: no loop, no I/O, time is an argument.

``ask``, ``hear``, ``fire`` run one turn each and return what came of it (``Ran``); a refusal raises and has changed
nothing. What is to be saved gathers until ``collect`` takes it as one ``ActorWrite``.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, structs

from actors.runtime.access import NotReadable, TopicOpen, TopicOpened
from actors.runtime.aside import Aside, type_of
from actors.runtime.blueprint import Kind
from actors.runtime.context import DEFERRED, Caller, Context, SliceOf
from actors.runtime.draft import Draft, Ran
from actors.runtime.feature import Feature, Turn
from actors.runtime.ops import TICKET, Digest, Kept, OpWindow, Place
from actors.runtime.slices import Slot, new_slot, open_slots
from actors.runtime.tickets import Ticket
from protocol import GuildhallError, Invalid, Reply, Request, Tell, Unavailable, tag_of
from storage import ActorWrite, Position, Snapshot, TimerRow

S = TypeVar("S", bound=Struct)
EARLY_MS = 2_000  # so far two clocks may differ before a timer that is due by the one waits for the other
_encode = msgspec.msgpack.Encoder().encode


class Tools(Struct, frozen=True):
    """What every actor of a node is built with."""

    digest: Digest
    decode_tell: Callable[[bytes], Any]
    decode_reply: Callable[[bytes], Reply]
    decode_ticket: Callable[[bytes], Ticket]
    random: Random
    stamp: Callable[[], int]
    """See ``Context.stamp``."""
    replicas: Mapping[str, Any]
    """What this node knows of the rows that rooms replicate, by room."""
    epoch: str
    """Epoch of topics that nobody has published to yet: that of this database's history."""
    verify: bool = False
    """Check that a refusal, and a turn that says so, has changed nothing: for tests, it encodes at every turn."""


class Changed(AssertionError):
    """A turn changed its slice although it refused or was declared ``writes=False`` (only raised with ``verify``)."""


class Actor:
    """State of one actor of ``kind``, as loaded and as changed since."""

    __slots__ = ("_slots", "_tools", "_used", "address", "context", "draft", "fence", "kind")

    def __init__(self, kind: Kind, snapshot: Snapshot, tools: Tools) -> None:
        self.kind = kind
        self.address = snapshot.actor
        self.fence = snapshot.fence
        self._tools = tools
        self._slots: dict[str, Slot] = open_slots(kind, snapshot.slices)
        self.draft = Draft(kind, snapshot, tools.epoch)
        self._used = False
        self.context = Context(self.address, self, tools.random)

    # Turns.
    def ask(self, request: Request[Any], caller: Caller, now_ms: int, lifted: str | None = None) -> Ran:
        """Run the turn of a client's request, or give the kept reply of one that ran before. ``lifted``: see
        ``Context.lifted``.

        Raises:
            GuildhallError: the turn refused, or the id was used for another body or is too old.
        """
        turn = self.kind.turns.get(type(request))
        if turn is None:
            if isinstance(request, TopicOpen):
                return Ran(self._open_topic(request, caller.player, now_ms))
            raise Invalid(f"{self.kind.name} actors take no such request")
        window, place = self.draft.windows.get(caller.player), None
        if window is not None:
            kept = window.ops.get(request.id)
            if kept is not None:
                return self._repeat(kept, request)
            place = window.place(request.id)
            window.refuse_if_too_old(place)
        ctx = self.context
        ctx.caller_info = caller
        ctx.op = request.id
        ctx.sender = ""
        ctx.refused = None
        ctx.lifted = lifted
        ran = self._run(turn, request, now_ms)
        keeps = turn.keeps and (turn.writes or ran.durable) and not ran.follows
        if keeps and (ran.ticket is None or ran.ticket.kept):
            if window is None:
                window = self.draft.windows[caller.player] = OpWindow()
            self._keep(request, caller.player, ran, window, place or window.place(request.id))
        return ran

    def hear(
        self,
        tell: Tell,
        sender: str,
        number: int,
        now_ms: int,
        refused: type[GuildhallError] | None = None,
    ) -> Ran | None:
        """Run the turn of a tell; None when it was heard before."""
        if number <= self.draft.heard.get(sender, 0):
            return None
        turn = self.kind.turns.get(type(tell))
        if turn is None:
            raise Invalid(f"{self.kind.name} actors hear no {type(tell).__name__}")
        ctx = self.context
        ctx.caller_info, ctx.op, ctx.sender, ctx.refused = None, None, sender, refused
        try:
            ran = self._run(turn, tell, now_ms)
        except GuildhallError:
            self.draft.note_heard(sender, number)
            raise
        self.draft.note_heard(sender, number)
        ran.durable = True
        return ran

    def take(self, tell: Tell, now_ms: int) -> Ran:
        """Run the turn of what a call has brought back."""
        ctx = self.context
        ctx.caller_info, ctx.op, ctx.sender, ctx.refused = None, None, self.address, None
        return self._run(self.kind.turns[type(tell)], tell, now_ms)

    def fire(self, name: str, due_ms: int, now_ms: int) -> Ran | None:
        """Run the turn of a timer that is due; None when it has fired, was cancelled, set anew or set aside.

        Whoever has found it due went by another clock, or by ours before that went back. Up to ``EARLY_MS`` that one is
        as good, and the turn's time is when the timer was due; a timer that is earlier waits, and is found again.

        Raises:
            Unavailable: it is of a newer release, and waits for a node that knows it.
        """
        timer = self._timer(name, due_ms)
        now_ms = max(now_ms, self.context.now_ms)
        if timer is None or now_ms < due_ms - EARLY_MS:
            return None
        try:
            tell = self._tools.decode_tell(timer.body)
        except msgspec.ValidationError:
            if type_of(timer.body) in map(tag_of, self.kind.turns):
                raise
            raise Unavailable(f"timer {name} is of a newer release") from None
        ctx = self.context
        ctx.caller_info, ctx.op, ctx.sender, ctx.refused = None, None, self.address, None
        self.draft.drop_timer(name)
        ran = self._run(self.kind.turns[type(tell)], tell, max(now_ms, due_ms))
        ran.durable = True
        return ran

    def set_timer_aside(self, name: str, due_ms: int, reason: str) -> Ran | None:
        """Keep a timer that cannot be fired from being fired; None when it was fired, changed or set aside before."""
        timer = self._timer(name, due_ms)
        if timer is None:
            return None
        self.draft.set_timer_aside(timer, reason)
        return Ran(durable=True)

    def redeemed(self, player: str, op: str, reply: Reply) -> Reply:
        """What the kept ticket of an op has come to: ``reply``, or an earlier one where it was redeemed before.

        It is saved with the actor's next commit; until then a crash has the ticket redeemed once more.
        """
        window = self.draft.windows.get(player)
        kept = window.ops.get(op) if window else None
        if kept is None:
            return reply
        if isinstance(kept.reply, bytes) and not kept.reply.startswith(TICKET):
            kept.reply = self._tools.decode_reply(kept.reply)
        if isinstance(kept.reply, Reply):
            return kept.reply
        structs.force_setattr(reply, "re", op)
        kept.reply = reply
        self.draft.keep_op(player, kept)
        return reply

    def collect(self, *, release: bool = False) -> ActorWrite:
        """Take everything that changed since the last call."""
        return self.draft.collect(self._tools.digest, release=release)

    # What a context may see (ActorView).
    def state_of(self, feature: SliceOf[S], *, writes: bool) -> S:
        """The slice of ``feature``; marked for saving when it ``writes``."""
        slot = self._slot(self.kind.features[feature.name])
        if writes and slot.stored:
            self.draft.dirty[feature.name] = slot
            self._used = True
        state: S = slot.state
        return state

    def pack(self, feature: SliceOf[Any], part: Struct) -> bytes:
        """An object of the slice of ``feature`` as MessagePack."""
        return self._slot(self.kind.features[feature.name]).pack(part)

    def position_of(self, topic: str) -> Position:
        """Where a topic stands with all turns so far, committed or not."""
        return self.draft.position_of(topic)

    def aside(self, key: int | str) -> Aside | None:
        """See ``Context.aside``."""
        if isinstance(key, int):
            return self.draft.aside.get(key)
        timer = self.draft.timers.get(key)
        return timer if timer is not None and timer.failed is not None else None

    def replica_of(self, name: str) -> Any:
        """What this node knows of a room's replicated rows."""
        return self._tools.replicas[name]

    def stamp(self) -> int:
        """See ``Context.stamp``."""
        return self._tools.stamp()

    def greetings(self) -> dict[str, Any]:
        """What the rooms say at sign-in, by room."""
        said = {}
        for feature, greet in self.kind.greeters:
            slot = self._slots.get(feature.name)
            said[feature.name] = greet(self.context, slot.state if slot is not None else feature.state())
        return said

    def states(self) -> dict[str, Struct]:
        """Every slice by its room's name: for inspection and tests, not to be changed."""
        return {name: self._slot(feature).state for name, feature in self.kind.features.items()}

    # Inside.
    def _slot(self, feature: Feature[Any]) -> Slot:
        """The slice of ``feature``; one that nothing was saved of begins when it is first looked at, since a player has
        many and most stay empty. A feature of every kind has none, and gets an empty one that is not kept."""
        slot = self._slots.get(feature.name)
        if slot is None:
            own = self.kind.features.get(feature.name)
            slot = new_slot(self.kind, own or feature)
            if own is not None:
                self._slots[feature.name] = slot
        return slot

    def _timer(self, name: str, due_ms: int) -> TimerRow | None:
        """The timer that is to be fired at ``due_ms``."""
        timer = self.draft.timers.get(name)
        return timer if timer is not None and timer.due_ms == due_ms and timer.failed is None else None

    def _run(self, turn: Turn, message: Any, now_ms: int) -> Ran:
        ctx = self.context
        if now_ms > ctx.now_ms:  # noqa: PLR1730 - max() takes as long as the rest of this function's beginning
            ctx.now_ms = now_ms
        if ctx.effects:
            ctx.effects = []
        self._used = False
        slot = self._slots.get(turn.feature.name)
        if slot is None:
            slot = self._slot(turn.feature)
        given = self._verified(turn, slot, message) if self._tools.verify else turn.run(ctx, slot.state, message)
        if type(given) is turn.reply:  # isinstance() with a struct's type that it is not takes 0.13 µs
            ran = Ran(given)
        elif isinstance(given, Ticket):
            ran = Ran(ticket=given)
        else:
            ran = Ran(deferred=True) if given is DEFERRED else Ran(given)
        if turn.writes and slot.stored:
            self.draft.dirty[turn.feature.name] = slot
            ran.durable = True
        elif self._used:
            ran.durable = True
        if ctx.effects:
            self.draft.apply(ctx, ran)
        return ran

    def _verified(self, turn: Turn, slot: Slot, message: Any) -> Any:
        """Run the turn's function.

        Raises:
            Changed: it has changed what it must not.
        """
        before = self._photo()
        try:
            given = turn.run(self.context, slot.state, message)
        except GuildhallError:
            if self._photo() != before:
                raise Changed(f"{turn.message.__name__} refused after it had changed something") from None
            raise
        if not turn.writes and not self._used and self._photo() != before:
            raise Changed(f"{turn.message.__name__} is declared writes=False and changed its slice")
        return given

    def _photo(self) -> dict[str, bytes]:
        return {name: _encode(state) for name, state in self.states().items()}

    def _repeat(self, kept: Kept, request: Request[Any]) -> Ran:
        kept.check(request, self._tools.digest)
        reply = kept.reply
        if reply is None:
            return Ran(deferred=True)
        if isinstance(reply, bytes):
            tools = self._tools
            kept_ticket = reply.startswith(TICKET)
            reply = kept.reply = tools.decode_ticket(reply[1:]) if kept_ticket else tools.decode_reply(reply)
        return Ran(ticket=reply) if isinstance(reply, Ticket) else Ran(reply)

    def _keep(self, request: Request[Any], player: str, ran: Ran, window: OpWindow, place: Place) -> None:
        if ran.reply is not None:
            structs.force_setattr(ran.reply, "re", request.id)
        kept = window.add(request, place, self.context.now_ms, ran.reply or ran.ticket)
        if ran.durable:
            self.draft.keep_op(player, kept)

    def _open_topic(self, request: TopicOpen, player: str, now_ms: int) -> TopicOpened:
        topic = request.topic
        prefix = self.kind.prefix_of(topic, self.address)
        if prefix is None:
            raise NotReadable(f"no topic {topic!r}")
        feature = self.kind.topics[prefix]
        may_read = feature.topics[prefix]
        if not may_read(self._slot(feature).state, player, self.address):
            raise NotReadable(f"{player} may not follow {topic}")
        here = self.position_of(topic)
        self.context.now_ms = max(self.context.now_ms, now_ms)
        self.context.effects = []  # those of the last turn, which a topic's place would count once more
        state = self.greetings() if request.greet else None
        return TopicOpened(re=request.id, epoch=here.epoch, seq=here.seq, floor=here.floor, state=state)
