"""Topics with very many readers on one node: a slice of one topic in each turn of the loop, so that sockets are heard
in between."""

from collections import deque
from collections.abc import Callable

import structlog

from actors.runtime.stream import Stream

log = structlog.get_logger()


class Slicer:
    """Advances the streams that were given to it, in turn, until each has served its readers."""

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        """``soon``: as ``loop.call_soon``."""
        self._soon = soon
        self._streams: deque[Stream] = deque()

    def add(self, stream: Stream) -> None:
        """Serve the readers that ``stream.flush`` has left; asking twice is asking once."""
        if stream in self._streams:
            return
        if not self._streams:
            self._soon(self._advance)
        self._streams.append(stream)

    def _advance(self) -> None:
        stream = self._streams.popleft()
        try:
            stream.advance()
        except Exception:
            log.exception("topic.not_delivered", topic=stream.topic)
        if stream.advancing:
            self._streams.append(stream)
        if self._streams:
            self._soon(self._advance)
