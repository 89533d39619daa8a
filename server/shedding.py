"""What a node turns away while it has too much to do: the cheapest first, new ones before those who are there.

Pure: it is told how late the event loop is, four times a second, and knows nothing else of the node. A level is reached
when two of the last three looks were past its threshold, so that one long turn, or a process that was stopped, sheds
nothing. It is left, one level at a time, after ``calm_s`` with the lag below half of its threshold.
"""

from collections import deque
from math import ceil
from random import Random
from typing import Annotated, Final

import structlog
from msgspec import Meta, Struct, field

from actors.runtime.meters import Meters
from protocol.errors import Unavailable

log = structlog.get_logger()
LOOKS: Final = 3
Lag = Annotated[float, Meta(ge=0.01, le=60)]

CALM, CONNECTIONS, SIGN_INS, EXPENSIVE, REQUESTS = range(5)
"""Levels; each turns away what those before it do as well."""
DEAREST: Final = (
    "chat.history",
    "inbox.list",
    "leaderboard.around",
    "leaderboard.list",
    "leaderboard.periods",
    "leaderboard.top",
    "guild.find",
)
ALWAYS: Final = frozenset({"hello", "ping", "frame"})
"""Never turned away as requests: a sign-in is judged by itself, and who pings is alive."""
RETRY_S: Final = (1.0, 5.0)  # within which who was turned away comes back, each at a moment of its own


class SheddingLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What is turned away while the event loop is late, by how many seconds it is. Rising."""

    connections_s: Lag = 0.25
    """New connections: 503 with `Retry-After`, before they have said anything."""
    sign_ins_s: Lag = 0.5
    """A `hello` that resumes no session, and sign-ins over HTTP: `unavailable`."""
    expensive_s: Lag = 1.0
    """Requests of the kinds `expensive`, and every `hello`: `unavailable`."""
    requests_s: Lag = 2.0
    """All requests but pings: `unavailable`."""
    calm_s: Annotated[float, Meta(ge=0, le=600)] = 2.0
    """Seconds with the lag below half of a threshold until what it turns away is taken again."""
    expensive: list[str] = field(default_factory=lambda: list(DEAREST))
    """Kinds of message that cost the database most, by tag."""

    @property
    def thresholds(self) -> tuple[float, ...]:
        """By level, from ``CONNECTIONS`` on."""
        return (self.connections_s, self.sign_ins_s, self.expensive_s, self.requests_s)

    @property
    def rising(self) -> bool:
        """Whether they make sense together."""
        return list(self.thresholds) == sorted(self.thresholds)


class Shedder:
    """One node's level, and what it means for who comes."""

    def __init__(self, settings: SheddingLimits, meters: Meters, random: Random) -> None:
        self.level = CALM
        self._settings = settings
        self._expensive = frozenset(settings.expensive)
        self._meters = meters
        self._random = random
        self._lags: deque[float] = deque(maxlen=LOOKS)
        self._calm_since: float | None = None

    def set(self, settings: SheddingLimits) -> None:
        """Go by these from the next look on."""
        self._settings = settings
        self._expensive = frozenset(settings.expensive)

    def observe(self, now: float, lag_s: float) -> None:
        """At ``now`` the loop was late by ``lag_s``."""
        self._lags.append(lag_s)
        lag = sorted(self._lags)[len(self._lags) - 2] if len(self._lags) > 1 else 0.0
        thresholds = self._settings.thresholds
        reached = sum(lag >= threshold for threshold in thresholds)
        if reached > self.level:
            self._go_to(reached, lag)
        elif self.level == CALM or lag >= thresholds[self.level - 1] / 2:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= self._settings.calm_s:
            self._go_to(self.level - 1, lag)
            self._calm_since = now

    def retry_s(self) -> float:
        """When somebody who is turned away now should come again."""
        return self._random.uniform(*RETRY_S)

    def shed_connection(self) -> int | None:
        """Seconds of ``Retry-After`` for a new connection; None: it is taken."""
        return self._whole_seconds("connection") if self.level >= CONNECTIONS else None

    def shed_hello(self, *, resumes: bool) -> None:
        """Let a sign-in on the gateway pass; one that resumes a session comes before a new one.

        Raises:
            Unavailable: not now.
        """
        if self.level >= (EXPENSIVE if resumes else SIGN_INS):
            raise self._unavailable("hello")

    def shed_sign_in(self) -> None:
        """Let a sign-in over HTTP pass.

        Raises:
            Unavailable: not now.
        """
        if self.level >= SIGN_INS:
            raise self._unavailable("sign_in")

    def shed_request(self, tag: str) -> None:
        """Let a request of a session pass.

        Raises:
            Unavailable: not now.
        """
        if tag in self._expensive and self.level >= EXPENSIVE:
            raise self._unavailable("expensive")
        if self.level >= REQUESTS and tag not in ALWAYS:
            raise self._unavailable("request")

    @property
    def sheds_requests(self) -> bool:
        """Whether ``shed_request`` has to be asked at all."""
        return self.level >= EXPENSIVE

    def _unavailable(self, what: str) -> Unavailable:
        self._meters.shed.add(what)
        return Unavailable("this node has too much to do", retry_after_ms=int(self.retry_s() * 1000))

    def _whole_seconds(self, what: str) -> int:
        self._meters.shed.add(what)
        return ceil(self.retry_s())

    def _go_to(self, level: int, lag_s: float) -> None:
        if level > self.level:
            log.warning("node.sheds", level=level, lag_ms=round(lag_s * 1000))
        else:
            log.info("node.sheds_less", level=level)
        self.level = self._meters.shedding_level = level
        self._calm_since = None
