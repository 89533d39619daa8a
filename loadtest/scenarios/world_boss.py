"""A world boss: everybody in one channel that nothing is stored of, announcements, a score for each hit."""

from loadtest.players.player import Player
from loadtest.running.stage import Stage
from loadtest.scenario import Scenario, exponential

INSTANCE_OF = 1_000  # players who see each other: a game divides a busy world


async def play(me: Player) -> None:
    """Much to read, little to say."""
    channel = f"world:{me.run}-{me.number // INSTANCE_OF}"
    await me.ask("chat.join", channel=channel)

    async def shout() -> None:
        await me.say(channel)

    async def look() -> None:
        await me.ask("player.get")

    async def read_the_mail() -> None:
        await me.ask("inbox.list", limit=10)

    async for _ in me.moments(exponential(30.0)):
        await me.one_of((0.5, shout), (0.3, look), (0.2, read_the_mail))


async def direct(stage: Stage) -> None:
    """Staff speaks while it goes on."""
    await stage.until(0.3)
    await stage.announce("The world boss has woken.")
    await stage.until(0.6)
    await stage.announce("Half of its strength is gone.")
    await stage.until(0.9)
    await stage.announce("The world boss is defeated.")


SLO = """
[latency."*"]
p99 = 1000
[latency.delivery]
p99 = 2000
[requests]
unanswered = 0
[players]
online = 0.98
refused = 0
failed = 0
"""

SCENARIO = Scenario(play=play, direct=direct, ramp_s=15.0, networks={"wifi": 0.6, "4g": 0.4}, slo=SLO)
