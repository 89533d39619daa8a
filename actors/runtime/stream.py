"""One topic on one node: what came, in order, and who reads it. Pure: no loop, no I/O."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Protocol

import msgspec
from msgspec import MsgspecError, Struct

from protocol import Message, Wire

RECENT = 256  # events kept in memory for those who resume; older ones come from the table
AT_ONCE = 50  # missed events that a reader is given in one piece when it joins
SLICE = 250  # readers that are given events in one turn of the loop: about 2.5 ms with the writes that follow
HELD = 1024  # events kept while a hole before them is being filled; more are left to the table


Tap = Callable[[Sequence[Message], int], None]
"""Hears of each delivery: the stored events, and to how many readers they went."""


class Reader(Protocol):
    """A session, as far as a stream knows it."""

    wire: Wire
    locale: str
    player: str
    topics: set[str]
    """What it follows; kept by the hub."""

    @property
    def behind(self) -> bool:
        """Whether so much waits for it already that a replay should pause."""
        ...

    def push(self, piece: bytes, *, ephemeral: bool = False, replay: bool = False) -> None:
        """Take whole frames for the socket, to be written at the end of this turn of the loop. Must not call back into
        the hub: a stream may be going through its readers. A ``replay`` is paced by ``behind`` and never too much."""
        ...


class Writer(Protocol):
    """What a session has gathered for its socket."""

    def flush(self) -> None:
        """Write it. Must not call back into the hub."""
        ...


class Item(Struct, eq=False):
    """One event: decoded, or as MessagePack, or both; framed for each wire format when first asked for."""

    seq: int
    ends: str | None
    event: Message | None
    body: bytes | None
    framed_json: bytes | None = None
    framed_msgpack: bytes | None = None


class _Batch:
    """Rendered events on their way to more readers than one turn of the loop serves."""

    __slots__ = ("ephemeral", "events", "waiting")

    def __init__(self, events: "list[Item]", waiting: dict[Reader, None], *, ephemeral: bool) -> None:
        self.events = events
        self.waiting = waiting
        self.ephemeral = ephemeral


class Stream:
    """``seq`` is the newest event that readers have, or will have at the end of this turn of the loop."""

    __slots__ = (
        "_batches",
        "_decode",
        "_expected",
        "_frame",
        "_held",
        "_pending",
        "_recent",
        "_redacted",
        "_render",
        "_tap",
        "dirty",
        "durable",
        "epoch",
        "filling",
        "holds",
        "joining",
        "readers",
        "seq",
        "topic",
    )

    def __init__(  # noqa: PLR0913 - made in one place, all by name
        self,
        topic: str,
        seq: int,
        *,
        durable: bool,
        decode: Callable[[bytes], Message],
        frame: Callable[[Wire, Message | bytes], bytes],
        epoch: str = "",
        render: Callable[[Message, str], Message] | None = None,
        tap: Tap | None = None,
    ) -> None:
        """``render`` makes of a stored event what readers of a locale get; None: the event itself."""
        self.topic = topic
        self.epoch = epoch
        self.seq = seq
        self.durable = durable
        self.readers: dict[Reader, None] = {}
        self.joining: dict[Reader, object] = {}
        """Readers that are still being given what they missed, each with a token of its present following."""
        self.holds = 0
        """Readers that are about to follow."""
        self.dirty = False
        self.filling = False
        self._decode = decode
        self._frame = frame
        self._render = render
        self._tap = tap
        self._batches: list[_Batch] = []
        self._recent: deque[Item] | None = None  # an empty deque takes 700 bytes, and most topics are quiet
        self._pending: list[Item] = []
        self._held: dict[int, Item] = {}
        self._expected = seq
        self._redacted = 0  # highest seq that was redacted before it came

    # In.
    def take(self, item: Item) -> bool:
        """Put an event in its place. False if it was there before, or comes after a hole (then it is held)."""
        if item.seq == 0:
            self._pending.append(item)
            return True
        if item.seq <= self.seq:
            return False
        if item.seq > self.seq + 1:
            self.expect(item.seq)
            if len(self._held) < HELD:
                self._held[item.seq] = item
            return False
        self.seq = item.seq
        self._pending.append(item)
        if item.seq <= self._redacted:
            return True  # it may have been read, or said, before the redaction: only the log shows it again
        if self._recent is None:
            self._recent = deque(maxlen=RECENT)
        self._recent.append(item)
        return True

    def expect(self, seq: int) -> None:
        """The table has events up to ``seq``."""
        self._expected = max(self._expected, seq)
        if self.has_hole:
            self._recent = None  # the word of a redaction may be among what was lost

    @property
    def has_hole(self) -> bool:
        """Whether something is known to be missing."""
        return self._expected > self.seq

    def redact(self, seq: int) -> None:
        """The event ``seq`` is not what it was: memory must not show it again; the log has it as it is now."""
        if seq > self.seq:
            self._redacted = max(self._redacted, seq)
        elif self._recent and self._recent[0].seq <= seq:
            self._recent = None

    def held(self) -> list[Item]:
        """What waited for the hole to be filled, in order; it is let go."""
        items = [self._held[seq] for seq in sorted(self._held)]
        self._held.clear()
        return items

    def skip_hole(self, oldest: int | None) -> None:
        """The table's first event after ``seq`` is ``oldest``: what is missing was cut. None: it has nothing after
        ``seq``, what is missing is not there yet and will come again."""
        self._recent = None  # what it holds is no longer without a hole
        if oldest is not None:
            self.seq = oldest - 1
        elif self._held:
            self.seq = min(self._held) - 1
        else:
            self._expected = self.seq

    # Readers.
    def admit(self, reader: Reader, after: int, checked: int) -> bool:
        """Give ``reader`` the little that it lacks after ``after`` from memory, and what comes from now on; False if it
        lacks more than ``AT_ONCE``, memory does not reach back that far, or the reader is ahead of it."""
        if not 0 <= self.seq - after <= AT_ONCE:
            return False
        missed = self.page(after, AT_ONCE)
        if missed is None:
            return False
        self.joining.pop(reader, None)
        self.readers[reader] = None
        self.replay(reader, missed, checked)
        return True

    def replay(self, reader: Reader, missed: Sequence[Item], checked: int) -> None:
        """Push ``missed``. An event that took away the reader's right after that was found good, at ``checked``, is the
        last that it hears."""
        for place, item in enumerate(missed, start=1):
            if item.ends == reader.player and item.seq > checked:
                missed = missed[:place]
                self.forget(reader)
                reader.topics.discard(self.topic)
                break
        if missed:
            reader.push(self._piece(missed, reader), replay=True)
            self._tell_tap(missed, 1)

    def page(self, after: int, limit: int) -> list[Item] | None:
        """Up to ``limit`` events after ``after`` from memory, in order; None where it does not reach back that far."""
        if after == self.seq:
            return []
        if after > self.seq or not self._recent or self._recent[0].seq > after + 1:
            return None
        start = after + 1 - self._recent[0].seq
        return list(islice(self._recent, start, start + limit))

    def given(self, reader: Reader) -> int | None:
        """Up to where ``reader`` has been given everything; None while it is still given what it missed."""
        if reader not in self.readers:
            return None
        waiting = [item.seq for batch in self._batches if reader in batch.waiting for item in batch.events]
        waiting += [item.seq for item in self._pending]
        return min((seq - 1 for seq in waiting if seq), default=self.seq)

    def end(self, player: str) -> None:
        """The subscriptions of ``player`` end here, after what was flushed. Those who are still being given what they
        missed end where ``replay`` comes to the event that says so: they have yet to hear it."""
        for reader in [r for r in self.readers if r.player == player]:
            for batch in self._batches:
                if reader in batch.waiting:
                    self._push(batch.events, [reader], ephemeral=batch.ephemeral)
            self.forget(reader)
            reader.topics.discard(self.topic)

    def forget(self, reader: Reader) -> None:
        """Give ``reader`` nothing more."""
        self.readers.pop(reader, None)
        self.joining.pop(reader, None)
        for batch in self._batches:
            batch.waiting.pop(reader, None)

    @property
    def wanted(self) -> bool:
        """Whether anybody follows it, or is about to."""
        return bool(self.readers or self.joining or self.holds > 0)

    def close(self) -> None:
        """Nobody follows it any more, or ever will."""
        self.readers.clear()
        self.joining.clear()
        self.holds = 0

    # Out.
    def flush(self) -> tuple[int, int]:
        """Push what has come since the last flush, one piece a wire format; returns (events, readers).

        Where there are more than ``SLICE`` readers, ``advance`` does it, a slice at a time.
        """
        self.dirty = False
        pending, self._pending = self._pending, []
        readers = self.readers
        if not pending or not readers:
            return len(pending), 0
        ephemeral = not self.durable or all(item.seq == 0 for item in pending)
        if self._batches or len(readers) > SLICE:
            self._batches.append(_Batch(pending, dict(readers), ephemeral=ephemeral))
        else:
            self._push(pending, readers, ephemeral=ephemeral)
        return len(pending), len(readers)

    @property
    def advancing(self) -> bool:
        """Whether ``advance`` has more to do."""
        return bool(self._batches)

    def advance(self) -> None:
        """Give the next ``SLICE`` readers all that waits for them, in order. Who waits in a batch waits in all later
        ones, so what is said faster than it is delivered makes pieces longer, not the line."""
        room = SLICE
        while self._batches and room > 0:
            few = list(islice(self._batches[0].waiting, room))
            room -= len(few)
            runs: list[tuple[bool, list[Item]]] = []
            for batch in self._batches:
                for reader in few:
                    del batch.waiting[reader]
                if not runs or runs[-1][0] is not batch.ephemeral:
                    runs.append((batch.ephemeral, []))
                runs[-1][1].extend(batch.events)
            self._batches = [batch for batch in self._batches if batch.waiting]
            for ephemeral, items in runs:
                self._push(items, few, ephemeral=ephemeral)

    def _push(self, items: Sequence[Item], readers: Collection[Reader], *, ephemeral: bool) -> None:
        if self._tap is not None:
            self._tell_tap(items, len(readers))
        if self._render is not None:
            self._push_rendered(items, readers, ephemeral=ephemeral)
            return
        pieces: dict[Wire, bytes] = {}
        for reader in readers:
            wire = reader.wire
            piece = pieces.get(wire)
            if piece is None:
                piece = pieces[wire] = self._join(items, wire)
            reader.push(piece, ephemeral=ephemeral)

    def _tell_tap(self, items: Sequence[Item], readers: int) -> None:
        if self._tap is not None:
            self._tap([self._event_of(item) for item in items], readers)

    def _push_rendered(self, items: Sequence[Item], readers: Collection[Reader], *, ephemeral: bool) -> None:
        pieces: dict[tuple[Wire, str], bytes] = {}
        for reader in readers:
            key = (reader.wire, reader.locale)
            piece = pieces.get(key)
            if piece is None:
                piece = pieces[key] = self._piece(items, reader)
            reader.push(piece, ephemeral=ephemeral)

    def _piece(self, items: Sequence[Item], reader: Reader) -> bytes:
        """The frames of ``items`` for one reader, one after the other."""
        if self._render is None:
            return self._join(items, reader.wire)
        rendered = [self._render(self._event_of(item), reader.locale) for item in items]
        return b"".join([self._frame(reader.wire, event) for event in rendered])

    def _join(self, items: Sequence[Item], wire: Wire) -> bytes:
        if wire.binary:
            return b"".join([item.framed_msgpack or self._frame_msgpack(item) for item in items])
        return b"".join([item.framed_json or self._frame_json(item) for item in items])

    def _frame_msgpack(self, item: Item) -> bytes:
        source: Message | bytes | None = item.body if item.body is not None else item.event
        assert source is not None
        framed = item.framed_msgpack = self._frame(Wire.MSGPACK, source)
        return framed

    def _frame_json(self, item: Item) -> bytes:
        source: Message | bytes
        try:
            source = self._event_of(item)
        except MsgspecError:
            # A newer release has said it while nodes are replaced: clients skip what they do not know, but not a seq.
            assert item.body is not None
            source = msgspec.json.encode(msgspec.msgpack.decode(item.body))
        framed = item.framed_json = self._frame(Wire.JSON, source)
        return framed

    def _event_of(self, item: Item) -> Message:
        if item.event is None:
            assert item.body is not None
            item.event = self._decode(item.body)
        return item.event
