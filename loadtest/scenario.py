"""What a scenario is. Its file holds a docstring, one or more async functions over ``Player``, and ``SCENARIO``.

async def play(me: Player) -> None:
    channel = f"room:{me.run}-{me.group}"
    await me.ask("chat.join", channel=channel)
    async for _ in me.moments(exponential(10.0)):
        await me.ask("chat.send", channel=channel, text=me.line())

SCENARIO = Scenario(play, session_s=lognormal(600.0, 1.0))
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from random import Random

    from loadtest.players.player import Player
    from loadtest.running.stage import Stage

Distribution = Callable[["Random"], float]
"""Draws seconds."""
Play = Callable[["Player"], Awaitable[None]]
Direct = Callable[["Stage"], Awaitable[None]]
Arrival = Callable[[float], float]
"""When a player arrives, as a share of the ramp, by the player's place in line from 0 to 1. Never falls."""


class Scenario(Struct, frozen=True, kw_only=True):
    """What players do, and how they come and go. The command line may say otherwise of numbers."""

    play: Play
    """One session of a player, from the first welcome on: ends when it returns, or when the session's time is over."""
    direct: Direct | None = None
    """Runs beside the players, once: live-ops staff and whoever deploys."""
    players: int = 100
    duration_s: float = 60.0
    """From the first arrival to the end of playing."""
    ramp_s: float = 10.0
    """In which everybody arrives."""
    arrival: Arrival = lambda share: share
    session_s: Distribution | None = None
    """How long a session lasts; None: to the end of the run."""
    pause_s: Distribution | None = None
    """After which a player whose session is over comes back; None: never."""
    group_of: int = 30
    """Players who know each other: they play in one process and share ``Player.shared``."""
    networks: Mapping[str, float] = field(default_factory=lambda: {"wifi": 1.0})
    """Share of the players on each network of ``loadtest.players.networks``."""
    closed_loop: bool = False
    """Whether players ask again as soon as they are answered: the tester's core may be full then."""
    patience_s: float = 30.0
    """For the answer to a request; a player gives it up then."""
    slo: str = ""
    """The limits that the run is judged by unless ``--slo`` names others: TOML, see docs/loadtest.md."""


def always(seconds: float) -> Distribution:
    """Always the same."""
    return lambda _: seconds


def uniform(least: float, most: float) -> Distribution:
    """Anything between, equally likely."""
    return lambda random: random.uniform(least, most)


def exponential(mean: float) -> Distribution:
    """Independent of what was before: the pauses of a Poisson process."""
    return lambda random: random.expovariate(1.0 / mean)


def lognormal(median: float, sigma: float) -> Distribution:
    """Most are short, a few very long, as sessions of a game are: half of them below ``median``."""
    return lambda random: random.lognormvariate(math.log(median), sigma)
