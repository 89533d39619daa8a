"""The table of a node's activations."""

from actors.runtime.activation import Activation
from actors.runtime.meters import Counts


class Held(dict[str, Activation]):
    """Activations by address, and how many there are of each kind.

    Counted here, where they come and go, and not by events: an actor is loaded again in the same place, and some leave
    that were never loaded. To be changed by setting and deleting entries only.
    """

    __slots__ = ("kinds",)

    def __init__(self) -> None:
        super().__init__()
        self.kinds = Counts()
        """As ``Meters.active`` shows it."""

    def __setitem__(self, address: str, activation: Activation) -> None:
        new = address not in self
        super().__setitem__(address, activation)
        if new:
            self.kinds.add(_kind(address))

    def __delitem__(self, address: str) -> None:
        super().__delitem__(address)
        self.kinds.add(_kind(address), -1)


def _kind(address: str) -> str:
    return address.partition(":")[0]
