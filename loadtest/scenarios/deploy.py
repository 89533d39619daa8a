"""A deploy at peak time: the nodes are drained and replaced one after the other while everybody plays on."""

from loadtest.running.stage import Stage
from loadtest.scenario import Scenario
from loadtest.scenarios import evening


async def direct(stage: Stage) -> None:
    """After a third of the time, when everybody has come."""
    await stage.until(0.33)
    await stage.replace_nodes()


SLO = """
[latency.resume]
p99 = 5000
longest = 15000
[latency.delivery]
p99 = 2000
[requests]
unanswered = 0
[players]
online = 0.95
online_at_end = 0.99
refused = 0
failed = 0
"""
"""Nobody is away for longer than a reconnect takes, and everybody comes back."""

SCENARIO = Scenario(play=evening.play, direct=direct, duration_s=90.0, networks=evening.SCENARIO.networks, slo=SLO)
