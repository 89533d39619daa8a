"""As fast as it goes: each player asks again as soon as it is answered. Finds the ceiling, says nothing of players."""

from loadtest.players.player import Player
from loadtest.scenario import Scenario


async def play(me: Player) -> None:
    """One request through the player's actor after the other."""
    while not me.over:
        await me.ask("player.get")


SCENARIO = Scenario(play=play, players=50, duration_s=20.0, ramp_s=1.0, closed_loop=True)
