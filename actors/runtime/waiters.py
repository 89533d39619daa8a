"""Who waits for the reply of an op that a turn has deferred: who asked first, and who has sent the same id since."""

from collections.abc import Callable, Iterator

from actors.runtime.answer import Answer
from actors.runtime.context import OpRef
from actors.runtime.mailbox import Asked, Envelope
from protocol import Reply


class Waiters:
    """The waiting requests of one actor, by op. Takes next to no memory while there are none."""

    __slots__ = ("_by_op",)

    def __init__(self) -> None:
        self._by_op: dict[OpRef, list[Envelope]] | None = None

    def __bool__(self) -> bool:
        return bool(self._by_op)

    def __iter__(self) -> Iterator[Envelope]:
        for waiting in (self._by_op or {}).values():
            yield from waiting

    def add(self, envelope: Asked) -> None:
        """It waits for the reply of its op."""
        if self._by_op is None:
            self._by_op = {}
        self._by_op.setdefault(OpRef(envelope.caller.player, envelope.request.id), []).append(envelope)

    def answer(self, ref: OpRef, reply: Reply) -> None:
        """Give all who wait for ``ref`` its reply."""
        for envelope in (self._by_op or {}).pop(ref, ()):
            envelope.finish(Answer(reply))

    def keep(self, wanted: Callable[[Envelope], bool]) -> None:
        """Forget those who are not ``wanted``."""
        kept = {ref: [e for e in waiting if wanted(e)] for ref, waiting in (self._by_op or {}).items()}
        self._by_op = {ref: waiting for ref, waiting in kept.items() if waiting} or None

    def take(self) -> list[Envelope]:
        """All of them; nobody waits any more."""
        waiting = list(self)
        self._by_op = None
        return waiting
