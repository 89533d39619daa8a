"""What waits to be published to Redis."""

from collections import deque

BATCH_MESSAGES = 512  # messages in one pipeline: packed in about 1 ms, so the loop is not held longer
BATCH_BYTES = 256 * 1024  # payload bytes in one pipeline; a larger message goes alone
MESSAGE_OVERHEAD = 150  # bytes that Python takes for a waiting message besides name and payload


class Outgoing:
    """Messages that wait to be published, bounded in bytes. Pure.

    When it is full the oldest are dropped: after an outage the newest event is what lets readers
    find the hole, and the oldest asks have passed their deadlines.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.dropped = 0
        """Messages that were given up, also after they were taken."""
        self._limit = limit_bytes
        self._size = 0
        self._waiting: deque[tuple[bytes, bytes]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def size_bytes(self) -> int:
        """Bytes that wait, names and overhead included; never above the limit."""
        return self._size

    def add(self, channel: bytes, payload: bytes) -> None:
        """Queue it, dropping the oldest for it; one larger than the limit is dropped itself."""
        size = len(channel) + len(payload) + MESSAGE_OVERHEAD
        if size > self._limit:
            self.dropped += 1
            return
        self._size += size
        self._waiting.append((channel, payload))
        while self._size > self._limit:
            self._pop()
            self.dropped += 1

    def take(self) -> list[tuple[bytes, ...]]:
        """The next PUBLISH commands in order, at most a batch; they are gone from here."""
        batch: list[tuple[bytes, ...]] = []
        size = 0
        while self._waiting and len(batch) < BATCH_MESSAGES and size < BATCH_BYTES:
            channel, payload = self._pop()
            size += len(payload)
            batch.append((b"PUBLISH", channel, payload))
        return batch

    def clear(self) -> None:
        """Drop all that waits."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._size = 0

    def _pop(self) -> tuple[bytes, bytes]:
        channel, payload = self._waiting.popleft()
        self._size -= len(channel) + len(payload) + MESSAGE_OVERHEAD
        return channel, payload
