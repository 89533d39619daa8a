"""Launch day: a storm of sign-ins that grows to the last minute of the ramp; whoever is in founds guilds and talks."""

from loadtest.players.homes import home
from loadtest.players.player import Player
from loadtest.scenario import Scenario, exponential, lognormal


async def play(me: Player) -> None:
    """A first session: a name, a guild, a look around, often a short stay."""
    await me.ask("player.get")
    if me.sessions == 1:
        await me.ask("player.rename", name=f"P{me.number} {me.run}")
    guild = await home(me)
    async for _ in me.moments(exponential(8.0)):
        if me.random.random() < 0.3:
            await me.say(f"guild:{guild}")
        else:
            await me.ask("guild.get", guild=guild)


SLO = """
[latency.sign-in]
p99 = 5000
[latency."*"]
p99 = 1000
[errors]
share = 0.01
[requests]
unanswered = 0
[players]
online = 0.95
refused = 0
failed = 0
"""

SCENARIO = Scenario(
    play=play,
    players=500,
    ramp_s=40.0,
    arrival=lambda share: share**0.5,  # twice as many come in the last second as come in a second on average
    session_s=lognormal(120.0, 1.0),
    pause_s=exponential(20.0),
    networks={"wifi": 0.5, "4g": 0.4, "3g": 0.1},
    slo=SLO,
)
