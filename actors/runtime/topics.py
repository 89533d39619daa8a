"""Fan-out: every topic that somebody on this node follows is a ``Stream``; the ``Hub`` feeds them and their readers.

An event is encoded once for each wire format and framed once; what a topic gathers in one turn of the event loop goes
to each reader as one piece. Durable streams are gap-free and in order: a hole (the bus lost something) is filled from
the table before anything later is delivered, and what was seen is dropped.

    commit ──> Hub.released ──> Stream ──(end of the loop's turn)──> Reader.push
                  └─> bus tick ──> other nodes' Hub ──> Stream ──> Reader.push
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from msgspec import MsgspecError

from actors.runtime.clock import Clock
from actors.runtime.context import Follow
from actors.runtime.draft import Published
from actors.runtime.feature import Render
from actors.runtime.frames import TickFrame, decode_tick, encode, topic_channel
from actors.runtime.observer import Delivered, Observer
from actors.runtime.slicer import Slicer
from actors.runtime.stream import Item, Reader, Stream, Tap, Writer
from protocol import Message, Wire
from storage import Bus, EventRange, EventRow, Position, Store, StoreDown

log = structlog.get_logger()
CHECK_S = 5.0  # between two looks for a lost last event of an idle topic
PAGE = 500  # events in one read of the log that fills a hole
PAGE_TO_READER = 50  # events that one reader is given at once while it catches up
PACE_S = 0.05  # between two looks at whether a reader that catches up has room again

Frame = Callable[[Wire, Message | bytes], bytes]
"""Makes the bytes that go to a socket: of an event, or of an event's MessagePack where that is the wire format."""
Read = Callable[[EventRange], Awaitable[Sequence[EventRow]]]


class Hub:
    """The topics that sessions of this node follow."""

    def __init__(  # noqa: PLR0913 - the node's composition, all by name
        self,
        *,
        node: str,
        bus: Bus,
        store: Store,
        read: Read,
        decode_event: Callable[[bytes], Message],
        frame: Frame,
        renders: Mapping[str, Render],
        alone: Callable[[], bool],
        shared: bool,
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._node = node
        self._bus = bus
        self._store = store
        self._read = read
        self._decode_event = decode_event
        self._frame = frame
        self._renders = renders
        self._taps: dict[str, Tap] = {}
        self._alone = alone
        self._shared = shared
        self._clock = clock
        self._observe = observe
        self._streams: dict[str, Stream] = {}
        self._dirty: list[Stream] = []
        self._ticks: dict[str, TickFrame] = {}
        self._scheduled = False
        self._slicer = Slicer(lambda advance: self._running_loop().call_soon(advance))
        self._tasks: asyncio.TaskGroup | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: dict[str, None] = {}
        self._bell = asyncio.Event()
        self._writers: list[Writer] = []
        self.deliveries = 0
        """Events handed to sessions since the start: one for each event and session."""

    # From this node's actors.
    def released(self, events: Sequence[Published]) -> None:
        """Events of actors of this node that are safe to be seen, in order."""
        shared = self._shared
        for event in events:
            stream = self._streams.get(event.topic)
            if event.redacts:
                if stream is not None:
                    stream.redact(event.redacts)
            elif stream is not None:
                self._take(stream, Item(event.seq, event.ends, event.event, event.body))
            if shared:
                self._tick(event)
        if not self._scheduled:
            self._schedule()

    def _tick(self, event: Published) -> None:
        tick = self._ticks.get(event.topic)
        if tick is None:
            tick = self._ticks[event.topic] = TickFrame(self._node, event.topic, "", [], [])
        if event.redacts:
            tick.redacted.append(event.redacts)
            return
        body = event.body if event.body is not None else encode(event.event)
        tick.events.append((event.seq, event.ends, body))

    # From other nodes.
    def _receive(self, payload: bytes) -> None:
        try:
            tick = decode_tick.decode(payload)
        except MsgspecError as error:
            log.error("bus.tick_not_understood", reason=str(error), size=len(payload))
            return
        stream = self._streams.get(tick.topic)
        if tick.node == self._node or stream is None:
            return
        for seq in tick.redacted:
            stream.redact(seq)
        for seq, ends, body in tick.events:
            self._take(stream, Item(seq, ends, None, body))
        if not self._scheduled:
            self._schedule()

    def _take(self, stream: Stream, item: Item) -> None:
        if stream.take(item):
            if not stream.dirty:
                stream.dirty = True
                self._dirty.append(stream)
            if item.ends is not None:
                self._flush_stream(stream)
                stream.end(item.ends)
                self._drop_if_unwanted(stream)
        elif stream.has_hole and not stream.filling:
            self._fill(stream)

    # To the sessions.
    def hold(self, follow: Follow) -> None:
        """Keep the topic's events from here on, for a reader that is about to follow it: between an actor's answer and
        ``follow`` there may be a read of storage. Ended by ``let_go``."""
        if follow.durable:
            self._stream_for(follow).holds += 1

    def let_go(self, follow: Follow) -> None:
        """End a ``hold``; the reader follows by now, or never will."""
        stream = self._streams.get(follow.topic)
        if follow.durable and stream is not None:
            stream.holds -= 1
            self._drop_if_unwanted(stream)

    def tap(self, topic: str, tap: Tap) -> None:
        """Have ``tap`` hear of every delivery of ``topic`` on this node; to be called before anybody follows it."""
        self._taps[topic] = tap

    def place(self, topic: str) -> Position | None:
        """Where a topic that is followed or held here stands, as far as this node has heard; None for another one."""
        stream = self._streams.get(topic)
        if stream is None or not stream.durable or stream.has_hole:
            return None
        return Position(stream.epoch, stream.seq)

    def given(self, reader: Reader, topic: str) -> Position | None:
        """Up to where a reader of ``topic`` has been given everything; None while it is still given what it missed."""
        stream = self._streams.get(topic)
        seq = stream.given(reader) if stream is not None else None
        return None if stream is None or seq is None else Position(stream.epoch, seq)

    def progress(self, topic: str) -> Stream | None:
        """The topic, for one who follows it and wants to know its ``seq`` at every message: the newest event that
        readers here have, or will have by the end of this turn. Valid for as long as it is followed."""
        return self._streams.get(topic)

    def follow(self, reader: Reader, follow: Follow) -> None:
        """Give ``reader`` what it has missed since ``follow.after``, then what comes: no gap, no double, in order.

        To be called in the same turn of the loop in which the actor's answer came, or under a ``hold`` since then.
        """
        stream = self._stream_for(follow)
        stream.forget(reader)  # who follows already starts over: one replay, and nothing live before or within it
        if stream.dirty:
            self._flush_stream(stream)
        reader.topics.add(follow.topic)
        if not follow.durable:
            stream.readers[reader] = None
        elif not stream.admit(reader, follow.after, follow.seq):
            token = stream.joining[reader] = object()  # one that unfollows and follows again has another
            self._start(self._catch_up(stream, reader, follow, token), f"catch-up {follow.topic}")
        self._drop_if_unwanted(stream)

    def _stream_for(self, follow: Follow) -> Stream:
        stream = self._streams.get(follow.topic)
        if stream is None:
            stream = self._streams[follow.topic] = Stream(
                follow.topic,
                follow.seq,
                durable=follow.durable,
                decode=self._decode_event,
                frame=self._frame,
                epoch=follow.epoch,
                render=self._render_of(follow.topic),
                tap=self._taps.get(follow.topic),
            )
            self._listen(follow.topic)
        return stream

    def _render_of(self, topic: str) -> Callable[[Message, str], Message] | None:
        render = self._renders.get(topic)
        if render is None:
            return None
        now_ms = self._clock.now_ms
        return lambda event, locale: render(event, locale, now_ms())

    def unfollow(self, reader: Reader, topic: str) -> None:
        """Stop giving ``topic`` to ``reader``; no error if it does not follow it."""
        stream = self._streams.get(topic)
        reader.topics.discard(topic)
        if stream is None:
            return
        stream.forget(reader)
        self._drop_if_unwanted(stream)

    def leave(self, reader: Reader) -> None:
        """Forget a session that is gone."""
        for topic in sorted(reader.topics):
            self.unfollow(reader, topic)

    def at_flush(self, writer: Writer) -> None:
        """Have ``writer`` flushed at the end of this turn of the loop, after what topics have gathered was pushed."""
        self._writers.append(writer)
        if not self._scheduled:
            self._schedule()

    def _listen(self, topic: str) -> None:
        if self._shared:
            self._changed[topic] = None
            self._bell.set()

    def _drop_if_unwanted(self, stream: Stream) -> None:
        if not stream.wanted and self._streams.get(stream.topic) is stream:
            del self._streams[stream.topic]
            self._listen(stream.topic)

    def _schedule(self) -> None:
        self._scheduled = True
        self._running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for stream in dirty:
            if stream.dirty:
                self._flush_stream(stream)
        ticks, self._ticks = self._ticks, {}
        for topic, tick in ticks.items():
            self._bus.publish(topic_channel(topic), encode(tick))
        self._scheduled = False
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.flush()

    def _flush_stream(self, stream: Stream) -> None:
        try:
            events, readers = stream.flush()
        except Exception:
            # Left to itself it would end every later flush of this node: its readers find the hole and ask again.
            log.exception("topic.not_delivered", topic=stream.topic)
            return
        self.deliveries += events * readers
        if readers:
            self._observe(Delivered(stream.topic, events, readers))
        if stream.advancing:
            self._slicer.add(stream)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    # Holes and late-comers.
    async def _keep_listening(self) -> None:
        """Have the bus channels of exactly those topics that are followed here."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            changed, self._changed = self._changed, {}
            for topic in [topic for topic in changed if topic not in self._streams]:
                await self._bus.unsubscribe(topic_channel(topic))
            wanted = [stream for topic in changed if (stream := self._streams.get(topic))]
            await self._bus.subscribe_all([topic_channel(stream.topic) for stream in wanted], self._receive)
            if not self._alone():
                await self._look_for_missed([s for s in wanted if s.durable])

    def _fill(self, stream: Stream) -> None:
        stream.filling = True
        self._start(self._fill_hole(stream), f"fill {stream.topic}")

    async def _fill_hole(self, stream: Stream) -> None:
        """Read what is missing until the stream has no hole; what the log no longer has was cut, and is skipped."""
        try:
            while stream.has_hole and stream.wanted:
                span = EventRange(topic=stream.topic, after=stream.seq, limit=PAGE)
                try:
                    rows = await self._read(span)
                except StoreDown:
                    await self._clock.sleep(0.5)
                    continue
                oldest = rows[0].seq if rows else None
                if stream.seq == span.after and oldest != span.after + 1:
                    stream.skip_hole(oldest)
                for row in rows:
                    self._take(stream, _item(row))
                for item in stream.held():
                    self._take(stream, item)
                if not self._scheduled:
                    self._schedule()
        finally:
            stream.filling = False

    async def _catch_up(self, stream: Stream, reader: Reader, follow: Follow, token: object) -> None:
        """Push the missed events to one reader, a page at a time and no faster than it reads; live from the first page
        that reaches the present."""
        after = follow.after
        while stream.joining.get(reader) is token:
            if reader.behind:
                await self._clock.sleep(PACE_S)
                continue
            if stream.dirty:
                self._flush_stream(stream)  # else the reader would have it from memory, and then again
            items = stream.page(after, PAGE_TO_READER)
            if items is None:
                items = await self._page_of_log(stream, after)
                if stream.joining.get(reader) is not token:
                    break
            missed = [item for item in items if item.seq > after]
            if missed:
                stream.replay(reader, missed, follow.seq)
                self.deliveries += len(missed)
                after = missed[-1].seq
                if stream.joining.get(reader) is not token:
                    break
            if not stream.admit(reader, after, follow.seq) and not items:
                stream.joining.pop(reader, None)
                stream.readers[reader] = None
        self._drop_if_unwanted(stream)

    async def _page_of_log(self, stream: Stream, after: int) -> list[Item]:
        """Events from the table; those that are new to the stream go to all its readers.

        Pages begin at the same places for everybody, so that readers who come together share their reads.
        """
        first = min(after, stream.seq)
        span = EventRange(topic=stream.topic, after=first - first % PAGE_TO_READER, limit=PAGE_TO_READER)
        rows: Sequence[EventRow] | None = None
        while rows is None:
            try:
                rows = await self._read(span)
            except StoreDown:
                if not stream.wanted:
                    return []  # also when the node ends: it must not wait for the store
                await self._clock.sleep(0.5)
        items = [_item(row) for row in rows if row.seq > first]
        for item in items:
            self._take(stream, item)
        if stream.dirty:
            self._flush_stream(stream)
        return items

    async def _check(self) -> None:
        while True:
            await self._clock.sleep(CHECK_S)
            if self._alone():
                continue
            streams = [s for s in self._streams.values() if s.durable and not s.filling]
            for start in range(0, len(streams), PAGE):
                await self._look_for_missed(streams[start : start + PAGE])

    async def _look_for_missed(self, streams: Sequence[Stream]) -> None:
        try:
            positions = await self._store.positions([stream.topic for stream in streams])
        except StoreDown:
            return  # the next look finds it
        self.compare(positions)

    def compare(self, positions: Mapping[str, Position]) -> None:
        """Look for what this node's readers lack of topics that stand at ``positions``. An owner that died between its
        commit and its publish has left events that nobody else will ever say."""
        for topic, here in positions.items():
            stream = self._streams.get(topic)
            if stream is not None and here.seq > stream.seq:
                stream.expect(here.seq)
                if not stream.filling:
                    self._fill(stream)

    def _bus_gap(self) -> None:
        streams = [s for s in self._streams.values() if s.durable]
        if streams:
            self._start(self._look_for_missed(streams), "bus-gap")

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        if self._tasks is None:
            work.close()  # the node is going down; its sessions resume elsewhere
        else:
            self._tasks.create_task(work, name=name)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen, fill and check until the context is left."""
        self._bus.on_gap(self._bus_gap)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            running = [
                tasks.create_task(self._check(), name="hub-check"),
                tasks.create_task(self._keep_listening(), name="hub-listen"),
            ]
            try:
                yield
            finally:
                self._tasks = None
                for task in running:
                    task.cancel()
                for stream in self._streams.values():
                    stream.close()


def _item(row: EventRow) -> Item:
    return Item(row.seq, row.ends, None, row.body)
