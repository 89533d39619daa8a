"""The outbox's way out: each tell is delivered until its receiver has noted it, in order for each pair of actors.

Between two actors one tell is under way at a time, so that the receiver's note of the newest number is enough to know a
repeat. A tell that its receiver cannot run is set aside after some tries, visible in the outbox, and the next one goes;
what becomes of it then: ``actors.runtime.aside``.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import structlog
from msgspec import MsgspecError

from actors.runtime.answer import Answer
from actors.runtime.aside import type_of
from actors.runtime.backoff import Backoff
from actors.runtime.clock import Clock
from actors.runtime.host import Host
from actors.runtime.router import Router
from protocol import Defect, Invalid
from storage import Snapshot, TellRow

log = structlog.get_logger()
NEWER_S = 30.0  # between two tries of a tell that this release does not know
TRIES = 5  # of a tell that fails for a defect, before it is set aside


class _Pair:
    """Tells of one actor to another, oldest first; the first is under way."""

    __slots__ = ("defects", "rows", "tries")

    def __init__(self) -> None:
        self.rows: deque[TellRow] = deque()
        self.tries = 0
        self.defects = 0


class Relay:
    """Delivers the committed tells of this node's actors."""

    def __init__(
        self,
        *,
        host: Host,
        router: Router,
        decode_tell: Callable[[bytes], Any],
        known: Collection[str],
        clock: Clock,
        random: Random,
    ) -> None:
        self._host = host
        self._router = router
        self._decode_tell = decode_tell
        self._known = known
        self._clock = clock
        self._backoff = Backoff(random)
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._retries: set[asyncio.Task[None]] = set()

    def restore(self, snapshot: Snapshot) -> None:
        """Go on with what an earlier activation of the actor had not seen delivered."""
        self.forget(snapshot.actor)
        activation = self._host.find(snapshot.actor)
        if activation is not None:
            activation.unheard = 0
        rows = [row for row in snapshot.outbox if row.failed is None]
        if rows:
            self.send(snapshot.actor, sorted(rows, key=lambda row: row.number))

    def send(self, sender: str, rows: Sequence[TellRow]) -> None:
        """Deliver tells that have just been committed."""
        activation = self._host.find(sender)
        if activation is None:
            return  # whoever owns the sender now finds them in its outbox
        activation.unheard += len(rows)
        for row in rows:
            key = (sender, row.to)
            pair = self._pairs.get(key)
            if pair is None:
                pair = self._pairs[key] = _Pair()
            pair.rows.append(row)
            if len(pair.rows) == 1:
                self._deliver(key, pair)

    def forget(self, sender: str) -> None:
        """The actor is not here any more: its new owner delivers."""
        for key in [key for key in self._pairs if key[0] == sender]:
            del self._pairs[key]

    @property
    def waiting(self) -> int:
        """Tells that were committed and not yet noted by their receivers."""
        return sum(len(pair.rows) for pair in self._pairs.values())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Allow for pauses before repeated tries until the context is left."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                self._pairs.clear()
                for retry in self._retries:
                    retry.cancel()

    def _deliver(self, key: tuple[str, str], pair: _Pair) -> None:
        sender, receiver = key
        row = pair.rows[0]
        try:
            tell = self._decode_tell(row.body)
        except MsgspecError as error:
            if type_of(row.body) in self._known:
                self._done(key, pair, f"not understood: {error}")
            else:  # of a newer release, whose nodes are not up yet, or not any more
                log.info("tell.of_newer_release", sender=sender, receiver=receiver, number=row.number)
                self._try_again(key, pair, row, NEWER_S)
            return
        self._router.tell(
            receiver,
            tell,
            sender,
            row.number,
            lambda answer: self._answered(key, pair, row, answer),
        )

    def _answered(self, key: tuple[str, str], pair: _Pair, row: TellRow, answer: Answer) -> None:
        if self._pairs.get(key) is not pair or not pair.rows or pair.rows[0] is not row:
            return  # the sender was loaded anew meanwhile
        error = answer.error
        if error is not None and error.code == Invalid.code:
            self._done(key, pair, f"nobody hears it: {error}")
            return
        if error is None or error.retry == "never":
            if error is not None:
                log.warning(
                    "tell.refused",
                    sender=key[0],
                    receiver=key[1],
                    code=error.code,
                    reason=str(error),
                )
            self._done(key, pair, None)
            return
        if error.code == Defect.code:
            pair.defects += 1
            if pair.defects >= TRIES:
                self._done(key, pair, f"{error.code} under trace {error.trace}")
                return
        self._try_again(key, pair, row, self._backoff.pause(pair.tries))

    def _try_again(self, key: tuple[str, str], pair: _Pair, row: TellRow, pause_s: float) -> None:
        if self._tasks is not None:
            retry = self._tasks.create_task(self._again(key, pair, row, pause_s), name="relay-retry")
            self._retries.add(retry)
            retry.add_done_callback(self._retries.discard)

    async def _again(self, key: tuple[str, str], pair: _Pair, row: TellRow, pause_s: float) -> None:
        await self._clock.sleep(pause_s)
        pair.tries += 1
        if self._pairs.get(key) is pair and pair.rows and pair.rows[0] is row:
            self._deliver(key, pair)

    def _done(self, key: tuple[str, str], pair: _Pair, failed: str | None) -> None:
        row = pair.rows.popleft()
        pair.tries = pair.defects = 0
        activation = self._host.find(key[0])
        if activation is not None and activation.actor is not None:
            activation.unheard = max(0, activation.unheard - 1)
            if failed is None:
                activation.actor.draft.delivered([row.number])
            else:
                log.error(
                    "tell.set_aside",
                    sender=key[0],
                    receiver=key[1],
                    number=row.number,
                    reason=failed,
                )
                activation.actor.draft.set_aside(row, failed)
            self._host.wake(activation)
        if pair.rows:
            self._deliver(key, pair)
        elif self._pairs.get(key) is pair:
            del self._pairs[key]
