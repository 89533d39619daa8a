"""Raids: guilds that are quiet until all of their members shout at once, and start again a minute later."""

from random import Random

from loadtest.players.homes import home
from loadtest.players.player import Player
from loadtest.scenario import Scenario, exponential

BETWEEN_S = (20.0, 60.0)
RAID_S = 10.0
SHOUTS = exponential(1.0)
MURMUR = exponential(30.0)


async def play(me: Player) -> None:
    """The same raids for the whole group: their times come from its number."""
    channel = f"guild:{await home(me)}"
    raids = Random(f"{me.run}/{me.group}")
    while not me.over:
        async for _ in me.moments(MURMUR, lasting=raids.uniform(*BETWEEN_S)):
            await me.ask("chat.typing", channel=channel)
        async for _ in me.moments(SHOUTS, lasting=RAID_S):
            await me.say(channel)


SCENARIO = Scenario(play=play, group_of=50, networks={"wifi": 0.7, "4g": 0.3})
