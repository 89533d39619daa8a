"""What ``/readyz`` says of a node: whether it should get traffic, why not, and what goes badly though it should."""

from actors.runtime.node import Node
from server.shedding import CONNECTIONS, EXPENSIVE, REQUESTS, SIGN_INS, Shedder
from storage import Bus

SHEDS = {
    CONNECTIONS: "takes no new connections",
    SIGN_INS: "takes no new sign-ins",
    EXPENSIVE: "takes no sign-ins and no expensive requests",
    REQUESTS: "takes no requests",
}
SLOW_S = 1.0  # that a commit takes; a tenth of it is much already, but no reason to look


class Status:
    """Asked anew at each look."""

    def __init__(self, shedder: Shedder) -> None:
        self._shedder = shedder
        self.starting = "the store is not open yet"
        self.draining = False
        self.node: Node | None = None
        self.bus: Bus | None = None

    def reasons(self) -> list[str]:
        """Why no traffic should come here; empty while it should."""
        if self.draining:
            return ["this node is draining"]
        if self.starting or self.node is None:
            return [self.starting or "the node is not up yet"]
        reasons = []
        if not self.node.membership.serving:
            reasons.append("this node has lost its lease")
        if not self.node.committer.store_up:
            reasons.append("the store does not answer")
        if self.bus is not None and not self.bus.connected:
            reasons.append("the bus is not connected")
        if self._shedder.level:
            reasons.append(f"this node has too much to do and {SHEDS[self._shedder.level]}")
        return reasons

    def notes(self) -> list[str]:
        """What goes badly without being a reason to send players elsewhere: other nodes have the same store."""
        took_s = self.node.committer.took_s if self.node is not None else 0.0
        return [f"the store is slow: a commit takes {took_s:.1f} s"] if took_s >= SLOW_S else []
