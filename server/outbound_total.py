"""What waits for all slow readers of this node together: bounded in bytes, and paid by those who hold the most.

Known here are only sessions that are behind: their transport holds bytes that the kernel has not taken
(``server.connection.BEHIND_BYTES``). Whoever keeps up is never looked at.
"""

from typing import Final, Protocol

import structlog

from actors.runtime.meters import Meters

log = structlog.get_logger()
LEAN_ABOVE: Final = 1 / 2  # of the bound: from here on those who hold the most get no ephemeral events
CUT_DOWN_TO: Final = 3 / 4  # of the bound: what is left after a cut, so that the next one is not due at once
LOOK_EVERY: Final = 1 / 32  # of the bound, in bytes written: how far the sum may be out before it is taken anew


class Holder(Protocol):
    """What is behind: one session's way out."""

    lean: bool
    """Whether it gets no ephemeral events."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet; 0 once the connection is gone."""
        ...

    @property
    def cut(self) -> bool:
        """Whether it is being closed."""
        ...

    def give_up(self, waiting: int, bound: str) -> None:
        """Take no more and close with 4001."""
        ...


class OutboundTotal:
    """The sum of what is unsent, and who is behind.

    ``wrote`` costs an addition; the sum is taken anew after ``LOOK_EVERY`` of the bound, and by whoever calls ``look``
    (four times a second). Those that are being closed do not count: their bytes go within
    ``server.connection.CLOSING_S``.
    """

    def __init__(self, limit_bytes: int, meters: Meters) -> None:
        self._limit = limit_bytes
        self._meters = meters
        self._behind: dict[Holder, None] = {}
        self._written = 0

    def wrote(self, holder: Holder, size: int) -> None:
        """``holder`` has written ``size`` bytes and is behind."""
        self._behind[holder] = None
        self._written += size
        if self._written > self._limit * LOOK_EVERY:
            self.look()

    def look(self) -> None:
        """Add up; past half of the bound ephemeral events end for those above the mean, past all of it the largest
        are cut."""
        self._written = 0
        held = {holder: holder.unsent_bytes for holder in self._behind if not holder.cut}
        held = {holder: unsent for holder, unsent in held.items() if unsent}
        total = sum(held.values())
        for holder in self._behind.keys() - held.keys():
            holder.lean = False
        self._behind = dict.fromkeys(held)
        if total > self._limit:
            total = self._cut_largest(held, total)
        mean = total / len(held) if total > self._limit * LEAN_ABOVE else None
        for holder, unsent in held.items():
            holder.lean = mean is not None and unsent >= mean
        self._meters.outbound_waiting_bytes = total
        self._meters.sessions_behind = len(self._behind)

    def _cut_largest(self, held: dict[Holder, int], total: int) -> int:
        """Cut those who hold the most until the rest has room; what is left."""
        before, cut = total, 0
        for holder, unsent in sorted(held.items(), key=lambda item: item[1], reverse=True):
            if total <= self._limit * CUT_DOWN_TO:
                break
            holder.give_up(unsent, "node")
            del held[holder], self._behind[holder]
            total -= unsent
            cut += 1
        log.warning("outbound.total_passed", waiting_bytes=before, left_bytes=total, sessions_cut=cut)
        return total
