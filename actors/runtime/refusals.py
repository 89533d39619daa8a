"""Requests that were refused for good, remembered while another copy of one may be on its way.

A refusal has changed nothing and is not kept with the state. But a router sends a request again while it hears nothing,
and a client does so over another connection and another node. A copy that comes late must not be run after its sender
has been told that the answer is no, whatever has changed since.
"""

from typing import Any

from protocol import GuildhallError, Request

REMEMBERED = 256  # refusals of one actor; the oldest is forgotten first
FOR_S = 60.0  # longer than any router or client sends a request again that it takes to be under way


class Refusals:
    """Those of one activation; they go with it."""

    __slots__ = ("_by_op",)

    def __init__(self) -> None:
        self._by_op: dict[tuple[str, str], tuple[Request[Any], GuildhallError, float]] = {}

    def note(self, player: str, request: Request[Any], refusal: GuildhallError, now: float) -> None:
        """The request was refused; ``now`` is monotonic seconds."""
        self._by_op.pop((player, request.id), None)
        self._by_op[player, request.id] = (request, refusal, now + FOR_S)
        if len(self._by_op) > REMEMBERED:
            del self._by_op[next(iter(self._by_op))]

    def find(self, player: str, request: Request[Any], now: float) -> GuildhallError | None:
        """The refusal of this very request; None where it is not known to have been refused."""
        known = self._by_op.get((player, request.id))
        if known is None or known[2] < now or known[0] != request:
            return None
        return known[1]
