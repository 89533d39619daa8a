"""Who has how much of a mailbox that is getting full, so that whoever shouts loudest does not have all of it."""

from collections import Counter
from collections.abc import Collection

from actors.runtime.mailbox import Envelope


class Shares:
    """The messages of each sender in a mailbox of ``capacity``.

    Nobody has more than an equal part, and there is one part more than senders: so one that comes new finds room, be
    there ever so many messages of the others.
    """

    def __init__(self, mailbox: Collection[Envelope], capacity: int) -> None:
        self._left = capacity - len(mailbox)
        self._capacity = capacity
        self._waiting = Counter(envelope.source for envelope in mailbox)

    def take(self, envelope: Envelope) -> bool:
        """Count one more message; False, and it is not counted, where there is no room for it."""
        sender = envelope.source
        if self._left <= 0 or (sender and self._waiting[sender] >= self._part):
            return False
        self._left -= 1
        self._waiting[sender] += 1
        return True

    @property
    def _part(self) -> int:
        return max(1, self._capacity // (len(self._waiting) + 1))
