"""A node's own part of announcements: it keeps the topic ready for whoever signs in, and counts whom it reached.

Counts are reported once a second, while there are new ones, each as what it has come to: a report that is made twice
counts once. Those of a node's last second are lost with it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex

import structlog

from actors.broadcasts.messages import Announced, AnnouncementsCount, AnnouncementsCounted
from actors.runtime import Caller, Follow, Reach, TopicOpen, TopicOpened
from protocol import GuildhallError, Message

log = structlog.get_logger()
TOPIC = "announce"
REPORT_S = 1.0
AGAIN_S = 1.0
KNOWN = 500  # counts of announcements kept here; past that all are reported, to learn which are over


class Crier:
    """One for each node."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._life = f"{reach.membership.node}#{token_hex(4)}"
        self._reached: Counter[str] = Counter()
        self._read: Counter[str] = Counter()
        self._news: set[str] = set()
        """Announcements whose counts are to be reported."""
        self._bell = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the topic and report until the context is left."""
        self._reach.topics.tap(TOPIC, self._delivered)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._keep_topic(), name="announce-topic"),
                tasks.create_task(self._report(), name="announce-report"),
            ]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    def read_by_one(self, announcement: str) -> None:
        """A player has read it, for the first time."""
        self._read[announcement] += 1
        self._tell(announcement)

    def _delivered(self, events: Sequence[Message], readers: int) -> None:
        for event in events:
            if isinstance(event, Announced):
                self._reached[event.announcement] += readers
                self._tell(event.announcement)

    def _tell(self, announcement: str) -> None:
        self._news.add(announcement)
        self._bell.set()

    async def _keep_topic(self) -> None:
        """Follow the topic here from the start: a sign-in asks no other node where it stands."""
        while True:
            try:
                opened = await self._reach.ask_actor(
                    "broadcasts:all", TopicOpen(id=token_hex(12), topic=TOPIC), Caller("")
                )
            except GuildhallError as error:
                log.debug("announce.topic_not_open", reason=str(error))
                await self._reach.clock.sleep(AGAIN_S)
                continue
            assert isinstance(opened, TopicOpened)
            self._reach.topics.hold(Follow(TOPIC, opened.epoch, opened.seq, opened.seq, durable=True))
            return

    async def _report(self) -> None:
        while True:
            await self._bell.wait()
            await self._reach.clock.sleep(REPORT_S)
            self._bell.clear()
            news, self._news = self._news, set()
            if len(self._reached) + len(self._read) > KNOWN:
                news |= {*self._reached, *self._read}
            reached = {one: self._reached[one] for one in news}
            read = {one: self._read[one] for one in news}
            request = AnnouncementsCount(id=token_hex(12), node=self._life, reached=reached, read=read)
            try:
                counted = await self._reach.ask(request)
            except GuildhallError as error:
                log.debug("announce.not_reported", reason=str(error))
                self._news |= news
                self._bell.set()
                continue
            assert isinstance(counted, AnnouncementsCounted)
            for over in counted.over:
                del self._reached[over], self._read[over]
