"""What a turn sees of the world: who asks, what time it is, and the effects that it may declare.

Nothing here does anything yet: effects are collected and take place with the commit, or, where nothing durable is
involved, when the turn has returned. A turn that raises has declared nothing.
"""

from random import Random
from typing import Any, Protocol, TypeVar

import structlog
from msgspec import Struct

from actors.runtime.access import TopicOpened
from actors.runtime.aside import Aside, Settling
from protocol.closing import CloseCode
from protocol.errors import Defect, GuildhallError
from protocol.messages import Cursor, Event, Reply, Tell
from storage import Position, Record

S = TypeVar("S", bound=Struct)
S_co = TypeVar("S_co", bound=Struct, covariant=True)


class SessionRef(Struct, frozen=True):
    """One connection of a session: ``generation`` differs for each connection, so that a late clean-up of an old one
    cannot hit the new."""

    session: str
    node: str
    generation: str


class Caller(Struct, frozen=True):
    """The signed-in player who asks, by which session."""

    player: str
    name: str = ""
    session: SessionRef | None = None
    muted_until_ms: int = 0
    """Until when the player may not chat, as far as the session knows."""


class OpRef(Struct, frozen=True):
    """An op that was deferred: travels in tells until somebody's turn can answer it."""

    player: str
    op: str


# Effects, as collected.
class Publish(Struct, frozen=True):
    topic: str
    event: Event
    ephemeral: bool
    ends: str | None


class TellEffect(Struct, frozen=True):
    to: str
    message: Tell


class SetTimer(Struct, frozen=True):
    name: str
    due_ms: int
    message: Tell


class CancelTimer(Struct, frozen=True):
    name: str


class Keep(Struct, frozen=True):
    """A row of the room's own table; ``taken`` is the refusal when a unique key of it is."""

    record: Record
    taken: type[GuildhallError]


class Redact(Struct, frozen=True):
    """Another body for a durable event of the actor."""

    topic: str
    seq: int
    event: Event


class CallEffect(Struct, frozen=True):
    message: Tell


class Follow(Struct, frozen=True, tag=True):
    """The asking session follows ``topic`` from here on (or from ``after``), once it has its reply."""

    topic: str
    epoch: str
    seq: int
    after: int
    durable: bool


class Unfollow(Struct, frozen=True, tag=True):
    topic: str


class CloseSession(Struct, frozen=True, tag="close"):
    """End one connection, wherever it is."""

    to: SessionRef
    code: int
    reason: str


class RenameSession(Struct, frozen=True, tag="rename"):
    """The player's name has changed; what the session sends from now on carries it."""

    to: SessionRef
    name: str


class ShareRates(Struct, frozen=True, tag="share_rates"):
    """The node of ``to`` is one of ``among`` that have sessions of the player, and gives its share of the rates."""

    to: SessionRef
    player: str
    among: int


class ClosePlayer(Struct, frozen=True, tag="close_player"):
    """End every connection of a player, on every node."""

    player: str
    code: int
    reason: str


class MutePlayer(Struct, frozen=True, tag="mute_player"):
    """What every session of the player sends from now on says until when it may not chat."""

    player: str
    until_ms: int


class AnswerOp(Struct, frozen=True):
    ref: OpRef
    reply: Reply | GuildhallError


SessionCommand = CloseSession | RenameSession | ShareRates
PlayerCommand = ClosePlayer | MutePlayer
Command = SessionCommand | PlayerCommand
TimerEffect = SetTimer | CancelTimer
Effect = (
    Publish | TellEffect | TimerEffect | Keep | Redact | CallEffect | Follow | Unfollow | Command | AnswerOp | Settling
)


class Deferred:
    """Returned by a turn whose reply another turn will give (``Context.later``)."""


DEFERRED = Deferred()


class SliceOf(Protocol[S_co]):
    """A room, as far as its slice is named by it: a ``Feature``."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> type[S_co]: ...


class ActorView(Protocol):
    """What a context asks of the actor whose turn it is."""

    def state_of(self, feature: SliceOf[S], *, writes: bool) -> S:
        """The actor's slice of ``feature``; ``writes`` has it saved with the next commit."""
        ...

    def pack(self, feature: SliceOf[Any], part: Struct) -> bytes:
        """See ``Context.pack``."""
        ...

    def position_of(self, topic: str) -> Position:
        """Where a durable topic of the actor stands, with all turns so far."""
        ...

    def replica_of(self, name: str) -> Any:
        """What this node knows of the room's replicated rows."""
        ...

    def aside(self, key: int | str) -> Aside | None:
        """See ``Context.aside``."""
        ...

    def stamp(self) -> int:
        """See ``Context.stamp``."""
        ...

    def greetings(self) -> dict[str, Any]:
        """What the rooms say at sign-in, by room."""
        ...


class Context:
    """One for each activation, set anew for each turn."""

    __slots__ = (
        "_log",
        "_view",
        "actor",
        "caller_info",
        "effects",
        "key",
        "lifted",
        "now_ms",
        "op",
        "random",
        "refused",
        "sender",
    )

    def __init__(self, actor: str, view: ActorView, random: Random) -> None:
        self.actor = actor
        """Address of the actor whose turn this is, e.g. ``guild:42``."""
        self.key = actor.partition(":")[2]
        self.caller_info: Caller | None = None
        self.sender = ""
        """In a tell's turn: the actor that told; in a timer's: this one. Empty in a request's."""
        self.op: str | None = None
        """The op id of the request."""
        self.refused: type[GuildhallError] | None = None
        """In a tell's turn: the ``taken`` refusal that undid the previous run of this same tell."""
        self.lifted: str | None = None
        """In a request's turn: why the actor was quarantined until this request ended that (``Lifting``)."""
        self.now_ms = 0
        """Wall clock of the node, milliseconds since the Unix epoch; never behind the actor's last turn."""
        self.random = random
        self.effects: list[Effect] = []
        self._view = view
        self._log: Any = None

    # Who and what.
    @property
    def caller(self) -> str:
        """Player id of the one who asks."""
        if self.caller_info is None:
            raise RuntimeError("a tell's turn has a sender, not a caller")
        return self.caller_info.player

    @property
    def caller_name(self) -> str:
        """The asking player's display name (the player id where none was chosen)."""
        info = self.caller_info
        return (info.name or info.player) if info else ""

    @property
    def session(self) -> SessionRef | None:
        """The connection that asks; None when the server's own parts do."""
        return self.caller_info.session if self.caller_info else None

    @property
    def log(self) -> Any:
        """A logger with the actor bound; for what an operator would count or act on."""
        if self._log is None:
            self._log = structlog.get_logger().bind(actor=self.actor)
        return self._log

    @property
    def muted(self) -> bool:
        """Whether the asking player may not chat now."""
        return self.caller_info is not None and self.caller_info.muted_until_ms > self.now_ms

    def stamp(self) -> int:
        """Microseconds since the Unix epoch, never the same twice on one node: what came earlier has the lower one."""
        return self._view.stamp()

    def new_id(self) -> str:
        """16 characters that nobody has had before (80 random bits in base 32)."""
        bits = self.random.getrandbits(80)
        return "".join("abcdefghijklmnopqrstuvwxyz234567"[(bits >> shift) & 31] for shift in range(0, 80, 5))

    # The actor's other slices.
    def use(self, feature: SliceOf[S]) -> S:
        """Another room's slice of this same actor, to be changed by that room's public functions."""
        return self._view.state_of(feature, writes=True)

    def look(self, feature: SliceOf[S]) -> S:
        """Another room's slice of this same actor, to be read only."""
        return self._view.state_of(feature, writes=False)

    def pack(self, feature: SliceOf[Any], part: Struct) -> bytes:
        """An object of the slice of ``feature`` as MessagePack, for a column of the room's table: with what a newer
        release has written into it."""
        return self._view.pack(feature, part)

    def replica(self, feature: SliceOf[Any]) -> Any:
        """What this node knows of the rows that the room replicates (``Feature.replicates``); to be read only.

        It may lag behind the database for the moment that the word of a change takes to get here.
        """
        return self._view.replica_of(feature.name)

    def aside(self, key: int | str) -> Aside | None:
        """The tell of that number, or the timer of that name, that was set aside; None where there is none."""
        return self._view.aside(key)

    # Effects.
    def publish(self, topic: str, event: Event, *, ephemeral: bool = False, ends: str | None = None) -> int:
        """Say ``event`` to everyone who follows ``topic``; returns its seq (0 for an ephemeral one).

        A durable event gets the topic's next ``seq`` and is in the same commit as the turn. With ``ends``, that
        player's subscriptions to the topic end on every node right after this event.
        """
        seq = 0
        if not ephemeral:
            seq = self.position(topic).seq + 1
        self.effects.append(Publish(topic, event, ephemeral, ends))
        return seq

    def opened(self) -> TopicOpened:
        """Where this actor's own topic stands, and what the rooms say at sign-in, after this turn: for one who signs in
        and may follow the topic. To be called when the turn has done all else; it must not publish."""
        here = self.position(self.actor)
        return TopicOpened(epoch=here.epoch, seq=here.seq, floor=here.floor, state=self._view.greetings())

    def position(self, topic: str) -> Position:
        """Where a durable topic of this actor stands, with what this turn has published."""
        known = self._view.position_of(topic)
        more = sum(isinstance(e, Publish) and e.topic == topic and not e.ephemeral for e in self.effects)
        return Position(known.epoch, known.seq + more, known.floor) if more else known

    def tell(self, to: str, message: Tell) -> None:
        """Have ``message`` heard by actor ``to``, exactly once, in the order of this actor's tells to it."""
        self.effects.append(TellEffect(to, message))

    def at(self, due_ms: int, name: str, message: Tell) -> None:
        """Have this actor hear ``message`` once, at ``due_ms`` or as soon after as can be (within two seconds).

        A timer of the same name is replaced. It survives crashes and takeovers; if its turn keeps failing it is set
        aside.
        """
        self.effects.append(SetTimer(name, due_ms, message))

    def after(self, seconds: float, name: str, message: Tell) -> None:
        """``at``, counted from now."""
        self.at(self.now_ms + int(seconds * 1000), name, message)

    def cancel(self, name: str) -> None:
        """Forget the timer; it is no error if there is none."""
        self.effects.append(CancelTimer(name))

    def keep(self, record: Record, *, taken: type[GuildhallError] = Defect) -> None:
        """Insert, replace or delete a row of the room's own table, in the same commit.

        When a unique key is taken the whole turn is undone and the caller is answered ``taken``.
        """
        self.effects.append(Keep(record, taken))

    def redact(self, topic: str, seq: int, event: Event) -> None:
        """Put ``event`` in the place of the durable event ``seq`` of this actor's ``topic``: in the log, in the same
        commit, and in what nodes remember. Who has seen the old one has to be told by an event of its own."""
        self.effects.append(Redact(topic, seq, event))

    def call(self, message: Tell) -> None:
        """Have the room's async function for ``message`` run on this node after the commit (``Feature.calls``); what it
        returns comes back to this actor as a tell of its own.

        At most once: a call is lost with its node. Who must not miss it sets a timer as well.
        """
        self.effects.append(CallEffect(message))

    def settle(self, what: Settling) -> None:
        """End that something is set aside; a turn does so once for one row, which it has from ``aside``."""
        self.effects.append(what)

    def follow(self, topic: str, *, after: Cursor | None = None, durable: bool = True) -> None:
        """Let the asking session follow ``topic``: from ``after`` where the log still reaches back to it, else from
        now. The right to read must have been checked by this turn."""
        if not durable:
            self.effects.append(Follow(topic, "", 0, 0, durable=False))
            return
        here = self.position(topic)
        start = here.seq
        if after and after[0] == here.epoch and here.floor - 1 <= after[1] <= here.seq:
            start = after[1]
        self.effects.append(Follow(topic, here.epoch, here.seq, start, durable=True))

    def unfollow(self, topic: str) -> None:
        """End the asking session's subscription to ``topic``."""
        self.effects.append(Unfollow(topic))

    def close_session(self, to: SessionRef, code: CloseCode, reason: str = "") -> None:
        """End another connection of this player."""
        self.effects.append(CloseSession(to, int(code), reason))

    def rename_session(self, to: SessionRef, name: str) -> None:
        """Have the lines of that connection carry ``name`` from now on."""
        self.effects.append(RenameSession(to, name))

    def share_rates(self, to: SessionRef, player: str, among: int) -> None:
        """Have the node of ``to`` know how many nodes have sessions of ``player``."""
        self.effects.append(ShareRates(to, player, among))

    def close_player(self, player: str, code: CloseCode, reason: str = "") -> None:
        """End every connection of ``player`` on every node that hears of it, at most once."""
        self.effects.append(ClosePlayer(player, int(code), reason))

    def mute_player(self, player: str, until_ms: int) -> None:
        """Have every session of ``player`` know until when it may not chat (0: it may)."""
        self.effects.append(MutePlayer(player, until_ms))

    def later(self) -> Deferred:
        """To be returned by a turn that cannot answer yet: another turn of this actor calls ``answer``.

        The op counts as under way from this commit on; the same id sent again waits with the first.
        """
        return DEFERRED

    @property
    def op_ref(self) -> OpRef:
        """What ``answer`` needs; put it into the tell that starts the work."""
        if self.op is None:
            raise RuntimeError("only a request can be deferred")
        return OpRef(self.caller, self.op)

    def answer(self, ref: OpRef, reply: Reply | GuildhallError) -> None:
        """Give the reply of an op that this actor deferred; a repeat is ignored."""
        self.effects.append(AnswerOp(ref, reply))
