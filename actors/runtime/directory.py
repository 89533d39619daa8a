"""Where actors are, as far as this node knows: a cache of answers, never the truth (that is the actor's row)."""

from collections import OrderedDict

from actors.runtime.blueprint import CALLER_PLACED
from actors.runtime.membership import Membership

REMEMBERED = 100_000  # owners kept; about 20 MB, the least recently used goes first


class Directory:
    """Guesses the owner of an actor; a wrong guess costs one more hop."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._owners: OrderedDict[str, str] = OrderedDict()

    def locate(self, address: str) -> str:
        """The node to ask for ``address``: where it was last seen, else where it would be placed."""
        owner = self._owners.get(address)
        if owner is not None:
            return owner
        if address.startswith(CALLER_PLACED) and address[len(CALLER_PLACED)] == ":":
            return self._membership.node
        return self._membership.owner_by_hash(address)

    def learn(self, address: str, node: str) -> None:
        """``node`` said, or its row says, that it owns ``address``."""
        if node == self._membership.node:
            self._owners.pop(address, None)
            return
        self._owners[address] = node
        self._owners.move_to_end(address)
        if len(self._owners) > REMEMBERED:
            self._owners.popitem(last=False)

    def forget(self, address: str) -> None:
        """What was known of ``address`` turned out to be wrong."""
        self._owners.pop(address, None)

    def forget_nodes(self, gone: frozenset[str]) -> None:
        """Nodes that died own nothing that cannot be taken."""
        for address in [a for a, node in self._owners.items() if node in gone]:
            del self._owners[address]
