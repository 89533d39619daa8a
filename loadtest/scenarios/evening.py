"""An evening in the game: guild chat, looking around, inboxes, sessions that come and go."""

from loadtest.players.homes import home, known
from loadtest.players.player import Player
from loadtest.scenario import Scenario, exponential, lognormal


async def play(me: Player) -> None:
    """About one action in ten seconds, most of them reads."""
    guild = await home(me)
    channel = f"guild:{guild}"
    await me.ask("inbox.list", limit=20)

    async def talk() -> None:
        await me.ask("chat.typing", channel=channel)
        await me.rest(me.random.uniform(0.5, 3.0))
        await me.say(channel)

    async def answer() -> None:
        await me.say(channel)

    async def scroll() -> None:
        await me.ask("chat.history", channel=channel, limit=50)

    async def look_at_the_guild() -> None:
        await me.ask("guild.get", guild=guild)

    async def look_at_a_friend() -> None:
        await me.ask("player.look", player=me.random.choice(known(me)))

    async def look_at_conversations() -> None:
        await me.ask("chat.channels")

    async def look_at_the_inbox() -> None:
        await me.ask("inbox.list", limit=20)

    async for _ in me.moments(exponential(10.0)):
        await me.one_of(
            (0.20, talk),
            (0.15, answer),
            (0.10, scroll),
            (0.20, look_at_the_guild),
            (0.20, look_at_a_friend),
            (0.05, look_at_conversations),
            (0.10, look_at_the_inbox),
        )


SLO = """
[latency."*"]
p99 = 750
[latency.delivery]
p99 = 1000
[latency.sign-in]
p99 = 3000
[errors]
share = 0.001
[requests]
unanswered = 0
[players]
online = 0.98
refused = 0
failed = 0
"""
"""As a player has it: the networks alone, which lose one segment in 200 for a quarter of a second, make p99 400 ms."""

SCENARIO = Scenario(
    play=play,
    slo=SLO,
    session_s=lognormal(600.0, 1.0),
    pause_s=exponential(60.0),
    networks={"wifi": 0.6, "4g": 0.35, "3g": 0.05},
)
