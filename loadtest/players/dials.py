"""Which node a connection goes to."""

from collections.abc import Sequence
from random import Random

from clients.python import Ear
from loadtest.players.shaping import PausableDial, PausableLink
from protocol import Wire


class BalancedDial:
    """As a load balancer does: to one of the nodes, and to the next where that one does not take it."""

    def __init__(self, dials: Sequence[PausableDial], random: Random) -> None:
        self._dials = dials
        self._random = random

    async def __call__(self, wire: Wire, ear: Ear) -> PausableLink:
        first = self._random.randrange(len(self._dials))
        refused = OSError("there are no nodes")
        for dial in (*self._dials[first:], *self._dials[:first]):
            try:
                return await dial(wire, ear)
            except OSError as error:
                refused = error
        raise refused
