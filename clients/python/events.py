"""What waits for the application's reader: bounded, with an answer to "full" that loses nothing silently."""

import asyncio
from collections import deque
from typing import Any

Event = dict[str, Any]
"""An event as it came over the wire, or one of the client's own, whose ``t`` begins with ``client.``."""

EVENT_LIMIT = 4096  # a resume brings up to 1,000 events of each topic at once

ONLINE = "client.online"
OFFLINE = "client.offline"
RESET = "client.reset"
GONE = "client.gone"


class EventQueue:
    """Events between one ClientSession and one reader.

    Full, it refuses ephemeral events (those without ``seq``). Where a durable one does not fit, everything that waits
    is dropped, and a ``client.reset`` for each topic that lost something takes its place: to the reader a topic that
    it was too slow for looks like one whose history does not reach back. The client's own events are never dropped;
    of equal ones the last stays.
    """

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._waiting: deque[Event] = deque()
        self._marks = 0
        self._news = asyncio.Event()
        self._end: BaseException | None = None

    def put(self, event: Event) -> None:
        """Take an event of the server."""
        if len(self._waiting) - self._marks >= self._limit:
            if event.get("seq") is None:
                return
            self._give_up(event)
            return
        self._waiting.append(event)
        self._news.set()

    def mark(self, event: Event) -> None:
        """Take an event of the client's own."""
        if self._marks >= self._limit:
            self._merge_marks()
        self._waiting.append(event)
        self._marks += 1
        self._news.set()

    def end(self, why: BaseException) -> None:
        """What waits can still be read; then the reader gets ``why``."""
        self._end = why
        self._news.set()

    def resume(self) -> None:
        """It was not the end."""
        self._end = None

    async def get(self) -> Event:
        """The next event, in order; for one reader at a time."""
        while not self._waiting:
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()
        event = self._waiting.popleft()
        if event["t"].startswith("client."):
            self._marks -= 1
        return event

    def _give_up(self, event: Event) -> None:
        """Put marks in the place of everything that waits, and of ``event``."""
        newest: dict[str, Event] = {}
        for lost in (*self._waiting, event):
            if lost.get("seq") is not None and not lost["t"].startswith("client."):
                newest[lost["topic"]] = lost
        marks = [waiting for waiting in self._waiting if waiting["t"].startswith("client.")]
        resets = [{"t": RESET, "topic": topic, "seq": lost["seq"]} for topic, lost in newest.items()]
        self._waiting = deque([*marks, *resets])
        self._merge_marks()

    def _merge_marks(self) -> None:
        """Of the marks that say the same of the same topic keep the last; there are few kinds and topics."""
        last = {(event["t"], event.get("topic")): event for event in self._waiting if event["t"].startswith("client.")}
        kept = {id(event) for event in last.values()}
        self._waiting = deque(
            event for event in self._waiting if not event["t"].startswith("client.") or id(event) in kept
        )
        self._marks = len(last)
        self._news.set()
