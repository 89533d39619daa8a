"""Networks as players have them: how slow, how lossy, and what happens to the phone while it is on them.

``loadtest.players.phone`` does it to a player's connections.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace


class Trouble(StrEnum):
    """What is counted of what was done to players."""

    STALL = "stall"
    """A message that was lost at least once, and came by a retransmission."""
    UNREACHED = "unreached"
    """A dial that was made to fail."""
    SWITCH = "switch"
    """Another network: the connections of the old one are gone."""
    TUNNEL = "tunnel"
    BACKGROUND = "background"
    REPEATED = "repeated"
    """A request that was sent a second time."""


class Network(Struct, frozen=True, kw_only=True):
    """One kind of network. Intervals are means of exponential ones; a duration is up to half shorter or longer."""

    latency_ms: float = 0.0
    """One way, in each direction."""
    jitter_ms: float = 0.0
    """By so much at most a message takes longer or shorter than that. None overtakes another."""
    loss: float = 0.0
    """Share of TCP segments that are lost. What is behind a lost one waits with it for the retransmission."""
    rto_ms: float = 200.0
    """From a loss to its retransmission, beyond the round trip, and twice as much each time that that is lost as well.
    Linux never waits for less than this (TCP_RTO_MIN; RFC 6298 for the doubling)."""
    down_kbps: float | None = None
    """To the phone, in 1,000 bits a second; bytes queue behind each other. None: no limit."""
    up_kbps: float | None = None
    """From the phone."""
    connect_trips: float = 0.0
    """Round trips until a connection stands: one each for TCP, TLS 1.3 and the upgrade."""
    dial_fails: float = 0.0
    """Share of dials that lead to nothing."""
    dial_fails_s: float = 2.0
    """After so long, on average."""
    switch_every_s: float | None = None
    """Interval at which the phone gets another address (Wi-Fi to 4G): the app hears at once that its connection is
    gone, the server hears nothing. None, here and below: never."""
    half_open_s: float = 15.0
    """For how long the server then keeps the old connection, on which nobody speaks, reads or says goodbye."""
    tunnel_every_s: float | None = None
    """Interval at which nothing goes through in either direction. What was sent arrives afterwards, in order, unless
    either side has given the connection up."""
    tunnel_s: float = 30.0
    background_every_s: float | None = None
    """Interval at which the app goes to the background: its process is frozen; it neither reads, writes nor runs
    timers. Its sockets stay open."""
    background_s: float = 60.0
    clock_ahead_s: float = 0.0
    """By up to so much the player's clock is ahead. A session uses differences only: nothing may follow from this."""
    clock_drift: float = 0.0
    """By up to this share the player's clock runs fast or slow, and with it the timers of the session."""
    twice: bool = False
    """Whether every request is sent a second time: right behind the first, up to two seconds later, or on the next
    connection. No network does so; it is the load tester's own way to ask whether effects happen once."""

    @property
    def shapes(self) -> bool:
        """Whether anything at all is done to a connection."""
        return self != replace(_PERFECT, clock_ahead_s=self.clock_ahead_s, clock_drift=self.clock_drift)


_PERFECT = Network()

# Bandwidth and round trips: WebPageTest's connectivity profiles (connectivity.ini): Cable 28 ms, LTE 12 Mbps and 70 ms,
# 3G 1.6 Mbps, 768 kbps and 300 ms, Edge 240 and 200 kbps and 840 ms. Jitter, and the loss of 3G (0.5 %) and Edge (1 %):
# Loadero's network conditions. Loss of Wi-Fi (0.2 %) and 4G (0.5 %): Codavel, "Real-world latency and packet loss".
# "hostile" is worse than any of them on purpose. Everything else, how often things happen above all, is chosen here, so
# that a run of five minutes sees each of them.
_WIFI = Network(
    latency_ms=14, jitter_ms=5, loss=0.002, down_kbps=40_000, up_kbps=33_000, connect_trips=3, clock_drift=0.0001
)
_4G = replace(_WIFI, latency_ms=35, jitter_ms=15, loss=0.005, down_kbps=12_000, up_kbps=12_000, dial_fails=0.005)
_3G = replace(_4G, latency_ms=150, jitter_ms=50, down_kbps=1_600, up_kbps=768, dial_fails=0.02)

NETWORKS: Mapping[str, Network] = {
    "perfect": _PERFECT,
    "wifi": _WIFI,
    "4g": _4G,
    "3g": _3G,
    "edge": replace(_3G, latency_ms=420, jitter_ms=100, loss=0.01, down_kbps=240, up_kbps=200, dial_fails=0.05),
    "subway": replace(_4G, jitter_ms=30, loss=0.02, dial_fails=0.1, tunnel_every_s=90, tunnel_s=20, switch_every_s=180),
    "commuter": replace(_4G, dial_fails=0.05, switch_every_s=60),
    "background": replace(_4G, background_every_s=90, background_s=30),
    "hostile": Network(
        latency_ms=500,
        jitter_ms=150,
        loss=0.1,
        down_kbps=1_000,
        up_kbps=1_000,
        connect_trips=3,
        dial_fails=0.2,
        switch_every_s=60,
        tunnel_every_s=90,
        background_every_s=120,
        clock_ahead_s=86_400,
        clock_drift=0.05,
        twice=True,
    ),
}
"""By name, as scenarios call them."""
