"""What a node counts: plain numbers that cost some ten nanoseconds to raise. ``server.telemetry``
shows them.

Everything is kept on one event loop, so nothing here locks.
"""

from bisect import bisect_left
from collections.abc import Sequence

LABELS = 256  # values of one label; later ones count as "other", so that nobody can fill memory

SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Counts(dict[str, int]):
    """A number for each value of a label."""

    __slots__ = ()

    def add(self, label: str, amount: int = 1) -> None:
        """Raise the number of ``label``, or that of ``other`` once there are ``LABELS`` labels."""
        try:
            self[label] += amount
        except KeyError:
            if len(self) >= LABELS:
                label = "other"
            self[label] = self.get(label, 0) + amount


class Spread:
    """How values are spread: a number for each range up to the next of ``bounds``, and one for what
    is above."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Note ``value``, as if ``times`` times: a batch notes its mean once."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


class Spreads(dict[str, Spread]):
    """A spread for each value of a label."""

    __slots__ = ()

    def observe(self, label: str, value: float) -> None:
        """Note ``value`` under ``label``, or under ``other`` once there are ``LABELS`` labels."""
        spread = self.get(label)
        if spread is None:
            if len(self) >= LABELS:
                label = "other"
            spread = self.setdefault(label, Spread())
        spread.observe(value)


class Meters:
    """All numbers of a node. Numbers only rise unless the comment says "now"."""

    __slots__ = (
        "activated",
        "active",
        "bus_dropped",
        "bus_published",
        "bus_received",
        "closes",
        "commit_outcomes",
        "commit_seconds",
        "commit_size",
        "connections",
        "connections_opened",
        "deliveries",
        "ephemeral_left_out",
        "inbound_bytes",
        "limited",
        "loop_lag",
        "loop_lag_s",
        "mailbox_wait",
        "messages_in",
        "messages_out",
        "outbound_bytes",
        "outbound_waiting_bytes",
        "passivated",
        "quarantined",
        "refusals",
        "refused_connections",
        "sessions_behind",
        "shed",
        "shedding_level",
        "slow_readers",
        "store_up",
        "tls_expires_at_s",
        "turns",
        "writes",
    )

    def __init__(self) -> None:
        # The gateway.
        self.connections = 0  # now
        self.connections_opened = 0
        self.messages_in = Counts()  # by tag; what no room knows is counted as "unknown"
        self.messages_out = 0  # replies and events, one for each session that gets it
        self.inbound_bytes = 0
        self.outbound_bytes = 0
        self.writes = 0  # to sockets; a tick's messages of a session are one
        self.refusals = Counts()  # by error code
        self.closes = Counts()  # by close code
        # What is kept out.
        self.refused_connections = Counts()  # by reason
        self.limited = Counts()  # rate.limited, by whose rate: session, session_kind, player, player_kind, sign_in
        self.shedding_level = 0  # now; see server/shedding.py
        self.shed = Counts()  # turned away for the loop's lag: connection, hello, sign_in, expensive, request
        self.sessions_behind = 0  # now: with bytes that the kernel has not taken
        self.outbound_waiting_bytes = 0  # now: what these are
        self.ephemeral_left_out = 0  # events that a slow reader did not get
        self.slow_readers = Counts()  # closed with 4001, by the bound that was passed: session, node
        # Actors.
        self.mailbox_wait = Spread()  # seconds from arrival to turn
        self.turns = Spreads()  # seconds, by kind of actor
        self.active = Counts()  # now, by kind; the host's own (``Held.kinds``) once there is one
        self.activated = Counts()  # by kind
        self.passivated = Counts()  # by kind
        self.quarantined = 0  # now
        # Commits and topics.
        self.commit_size = Spread(SIZES)  # actors in one transaction
        self.commit_seconds = Spread()
        self.commit_outcomes = Counts()  # of each actor in a commit: done, fenced, taken, refused
        self.deliveries = 0  # events put into a session's buffer
        # Around.
        self.bus_published = 0
        self.bus_received = 0
        self.bus_dropped = 0
        self.loop_lag = Spread()  # seconds by which the event loop ran a due timer late
        self.loop_lag_s = 0.0  # now
        self.store_up = False  # now
        self.tls_expires_at_s = 0.0  # of the certificate, since the Unix epoch; 0: no TLS
