"""The subway: tunnels, stations, Wi-Fi that comes and goes, apps in the background, and chat all the while."""

from loadtest.players.homes import home
from loadtest.players.player import Player
from loadtest.scenario import Scenario, exponential


async def play(me: Player) -> None:
    """Talk much: whatever is lost, doubled or out of order would show."""
    channel = f"guild:{await home(me)}"
    async for _ in me.moments(exponential(6.0)):
        if me.random.random() < 0.6:
            await me.say(channel)
        else:
            await me.ask("chat.history", channel=channel, limit=20)


SLO = """
[latency."chat.send"]
p50 = 1000
[requests]
unanswered = 0
[players]
online = 0.8
refused = 0
failed = 0
"""
"""Slow is what such networks are. That nothing is lost is the judge's to say."""

SCENARIO = Scenario(
    play=play,
    duration_s=120.0,
    networks={"subway": 0.5, "commuter": 0.2, "background": 0.1, "edge": 0.1, "hostile": 0.1},
    patience_s=180.0,  # a tunnel, a background and a switch in a row
    slo=SLO,
)
