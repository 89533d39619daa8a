"""What an actor's turns have changed and caused: ``Ran`` for one turn, ``Draft`` for all of them until the commit."""

from collections.abc import Callable, Sequence
from typing import Any, final

import msgspec
from msgspec import Struct, structs

from actors.runtime.answer import Answer
from actors.runtime.aside import GiveUp, TryAgain
from actors.runtime.blueprint import Kind
from actors.runtime.context import (
    AnswerOp,
    CallEffect,
    CancelTimer,
    ClosePlayer,
    CloseSession,
    Command,
    Context,
    Effect,
    Follow,
    Keep,
    MutePlayer,
    OpRef,
    Publish,
    Redact,
    RenameSession,
    SetTimer,
    ShareRates,
    TellEffect,
    Unfollow,
)
from actors.runtime.ops import TICKET, Digest, Kept, OpWindow
from actors.runtime.slices import Slot
from actors.runtime.tickets import Ticket
from protocol import ErrorReply, Event, GuildhallError, Reply, Tell
from storage import ActorWrite, EventRow, OpRow, Position, Redaction, Snapshot, TellRow, TimerRow

REASON_CHARS = 255  # of a reason why something was set aside; the column takes no more
TRIM_EVERY = 64  # events of a topic between two cuts of its log; one DELETE then covers many rows
_encode = msgspec.msgpack.Encoder().encode


class Published(Struct, frozen=True):
    """An event that leaves with the commit of its turn. ``body`` is its MessagePack, None for an ephemeral one."""

    topic: str
    seq: int
    event: Event
    body: bytes | None
    ends: str | None
    redacts: int = 0
    """Seq of the older event that is not as it was from here on; 0: none."""


@final
class Ran(Answer, eq=False):
    """What came of one turn: the answer to its message, and what else is to be let go with it."""

    deferred: bool = False
    """Whether another turn gives the reply."""
    durable: bool = False
    """Whether anything must be committed before it is seen."""
    effects: bool = False
    """Whether there is anything below; nearly all turns that only read have nothing."""
    events: Sequence[Published] = ()
    tells: Sequence[TellRow] = ()
    commands: Sequence[Command] = ()
    calls: Sequence[Tell] = ()
    answers: Sequence[tuple[OpRef, Reply]] = ()
    records: Sequence[Keep] = ()


class Draft:
    """Everything of one actor that goes into its next commit. Takes next to no memory while there is nothing."""

    __slots__ = (
        "_actor",
        "_dirty_ops",
        "_epoch",
        "_fence",
        "_kind",
        "_open_write",
        "_told",
        "_topics",
        "aside",
        "dirty",
        "heard",
        "timers",
        "version",
        "windows",
    )

    def __init__(self, kind: Kind, snapshot: Snapshot, epoch: str) -> None:
        self.version = snapshot.version
        """Version that the row has when everything collected so far is committed."""
        self.timers: dict[str, TimerRow] = {row.name: row for row in snapshot.timers}
        self.aside: dict[int, TellRow] = {row.number: row for row in snapshot.outbox if row.failed is not None}
        """Own tells that were set aside, by number."""
        self.windows: dict[str, OpWindow] = _open_windows(snapshot.ops)
        """By player."""
        self.heard = dict(snapshot.heard)
        """Newest number heard from each sender."""
        self.dirty: dict[str, Slot] = {}
        """Slices to be saved, by name."""
        self._kind = kind
        self._actor = snapshot.actor
        self._fence = snapshot.fence
        self._epoch = epoch
        self._topics = dict(snapshot.topics)
        self._told = snapshot.told
        self._dirty_ops: dict[tuple[str, str], Kept] = {}
        self._open_write: ActorWrite | None = None

    @property
    def _write(self) -> ActorWrite:
        """The write under way; begun when first needed."""
        write = self._open_write
        if write is None:
            write = self._open_write = self._fresh()
        return write

    @property
    def empty(self) -> bool:
        """Whether ``collect`` would have nothing to say."""
        return not (self.dirty or self._dirty_ops or self._open_write)

    def collect(self, digest: Digest, *, release: bool) -> ActorWrite:
        """Take everything that changed since the last call."""
        write = self._write
        write.version = self.version
        write.told = self._told
        write.release = release
        write.slices = {name: slot.row() for name, slot in self.dirty.items()}
        write.ops = [_op_row(player, kept, digest) for (player, _), kept in self._dirty_ops.items()]
        self.version += 1
        self._open_write = None
        self.dirty = {}
        self._dirty_ops = {}
        return write

    def position_of(self, topic: str) -> Position:
        """Where a topic stands with all turns so far, committed or not."""
        return self._topics.get(topic) or Position(self._epoch, 0, 1)

    def apply(self, ctx: Context, ran: Ran) -> None:
        """Put the effects that the turn has declared into the draft and into ``ran``."""
        ran.effects = True
        for effect in ctx.effects:
            _APPLY[type(effect)](self, ctx, ran, effect)

    # What is noted without an effect.
    def note_heard(self, sender: str, number: int) -> None:
        """The tell needs no further delivery."""
        self.heard[sender] = self._write.heard[sender] = number

    def delivered(self, numbers: list[int]) -> None:
        """Own tells that were heard: their outbox rows go."""
        self._write.delivered.extend(numbers)

    def set_aside(self, tell: TellRow, reason: str) -> None:
        """A tell that cannot be delivered; it stays visible in the outbox."""
        row = self.aside[tell.number] = structs.replace(tell, failed=reason[:REASON_CHARS])
        self._write.outbox.append(row)

    def keep_op(self, player: str, kept: Kept) -> None:
        """Save a kept op beside the state."""
        self._dirty_ops[player, kept.op] = kept

    def drop_timer(self, name: str) -> None:
        """The timer has fired or was cancelled."""
        del self.timers[name]
        write = self._write
        write.timers = [t for t in write.timers if t.name != name]
        write.cancelled.append(name)

    def set_timer_aside(self, timer: TimerRow, reason: str) -> None:
        """A timer that cannot be fired; its row stays visible."""
        self._put_timer(structs.replace(timer, failed=reason[:REASON_CHARS]))

    # Effects, one function each.
    def publish(self, ctx: Context, ran: Ran, effect: Publish) -> None:
        event = effect.event
        if event.topic != effect.topic or event.at != ctx.now_ms or not effect.ephemeral:
            event = event if event.topic is None else structs.replace(event)
            structs.force_setattr(event, "topic", effect.topic)
            structs.force_setattr(event, "at", ctx.now_ms)
        if effect.ephemeral:
            ran.events = (*ran.events, Published(effect.topic, 0, event, None, effect.ends))
            return
        here = self.position_of(effect.topic)
        seq = here.seq + 1
        floor = here.floor
        if seq % TRIM_EVERY == 0:
            floor = max(floor, seq - self._kind.keep_events(effect.topic) + 1)
        structs.force_setattr(event, "seq", seq)
        body = _encode(event)
        self._topics[effect.topic] = self._write.topics[effect.topic] = Position(here.epoch, seq, floor)
        player = op = None
        if ctx.op is not None:
            player, op = ctx.caller, ctx.op
        part = sum(done.topic == effect.topic for done in ran.events)
        self._write.events.append(EventRow(effect.topic, seq, ctx.now_ms, body, player, op, part, effect.ends))
        ran.events = (*ran.events, Published(effect.topic, seq, event, body, effect.ends))
        ran.durable = True

    def tell(self, ctx: Context, ran: Ran, effect: TellEffect) -> None:
        self._put_tell(ctx, ran, effect.to, _encode(effect.message))

    def set_timer(self, _ctx: Context, ran: Ran, effect: SetTimer) -> None:
        self._put_timer(TimerRow(effect.name, effect.due_ms, _encode(effect.message)))
        ran.durable = True

    def cancel_timer(self, _ctx: Context, ran: Ran, effect: CancelTimer) -> None:
        if effect.name in self.timers:
            self.drop_timer(effect.name)
            ran.durable = True

    def try_again(self, ctx: Context, ran: Ran, effect: TryAgain) -> None:
        row = effect.row
        if isinstance(row, TellRow):
            self._drop_aside(row)
            self._put_tell(ctx, ran, row.to, row.body)
        else:
            self._put_timer(TimerRow(row.name, ctx.now_ms, row.body))
        ran.durable = True

    def give_up(self, _ctx: Context, ran: Ran, effect: GiveUp) -> None:
        if isinstance(effect.row, TellRow):
            self._drop_aside(effect.row)
        else:
            self.drop_timer(effect.row.name)
        ran.durable = True

    def keep_record(self, _ctx: Context, ran: Ran, effect: Keep) -> None:
        self._write.records.append(effect.record)
        ran.records = (*ran.records, effect)
        ran.durable = True

    def redact(self, _ctx: Context, ran: Ran, effect: Redact) -> None:
        event = structs.replace(effect.event, topic=effect.topic, seq=effect.seq)
        self._write.redactions.append(Redaction(effect.topic, effect.seq, _encode(event)))
        ran.events = (*ran.events, Published(effect.topic, 0, event, None, None, redacts=effect.seq))
        ran.durable = True

    def call(self, _ctx: Context, ran: Ran, effect: CallEffect) -> None:
        ran.calls = (*ran.calls, effect.message)

    def follow(self, _ctx: Context, ran: Ran, effect: Follow | Unfollow) -> None:
        ran.follows = (*ran.follows, effect)

    def command(self, _ctx: Context, ran: Ran, effect: Command) -> None:
        ran.commands = (*ran.commands, effect)

    def answer(self, _ctx: Context, ran: Ran, effect: AnswerOp) -> None:
        ref = effect.ref
        reply = effect.reply if isinstance(effect.reply, Reply) else refusal_reply(effect.reply)
        structs.force_setattr(reply, "re", ref.op)
        ran.answers = (*ran.answers, (ref, reply))
        ran.durable = True
        window = self.windows.get(ref.player)
        kept = window.ops.get(ref.op) if window else None
        if kept is not None and kept.reply is None:
            kept.reply = reply
            self.keep_op(ref.player, kept)

    def _put_tell(self, ctx: Context, ran: Ran, to: str, body: bytes) -> None:
        self._told += 1
        row = TellRow(self._told, to, body, ctx.now_ms)
        self._write.outbox.append(row)
        ran.tells = (*ran.tells, row)
        ran.durable = True

    def _put_timer(self, row: TimerRow) -> None:
        write = self._write
        write.timers = [t for t in write.timers if t.name != row.name]
        write.timers.append(row)
        self.timers[row.name] = row

    def _drop_aside(self, tell: TellRow) -> None:
        del self.aside[tell.number]
        self.delivered([tell.number])

    def _fresh(self) -> ActorWrite:
        return ActorWrite(actor=self._actor, fence=self._fence, version=0, told=0)


_APPLY: dict[type[Effect], Callable[[Draft, Context, Ran, Any], None]] = {
    Publish: Draft.publish,
    TellEffect: Draft.tell,
    SetTimer: Draft.set_timer,
    CancelTimer: Draft.cancel_timer,
    Keep: Draft.keep_record,
    Redact: Draft.redact,
    CallEffect: Draft.call,
    Follow: Draft.follow,
    Unfollow: Draft.follow,
    CloseSession: Draft.command,
    RenameSession: Draft.command,
    ShareRates: Draft.command,
    ClosePlayer: Draft.command,
    MutePlayer: Draft.command,
    AnswerOp: Draft.answer,
    TryAgain: Draft.try_again,
    GiveUp: Draft.give_up,
}


def refusal_reply(error: GuildhallError) -> ErrorReply:
    """A refusal in the form in which it is kept beside an op; the trace is put in where it is sent."""
    return ErrorReply(
        code=error.code,
        message=str(error),
        retry=error.retry,
        retry_after_ms=error.retry_after_ms,
        trace="",
    )


def _op_row(player: str, kept: Kept, digest: Digest) -> OpRow:
    reply = kept.reply
    if isinstance(reply, Reply):
        reply = _encode(reply)
    elif isinstance(reply, Ticket):
        reply = TICKET + _encode(reply)
    return OpRow(player, kept.op, kept.count, kept.digest(digest), kept.at_ms, reply)


def _open_windows(rows: list[OpRow]) -> dict[str, OpWindow]:
    by_player: dict[str, list[OpRow]] = {}
    for row in rows:
        by_player.setdefault(row.player, []).append(row)
    return {player: OpWindow(ops) for player, ops in by_player.items()}
