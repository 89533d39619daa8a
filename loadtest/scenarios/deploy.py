"""A deploy at peak time: the nodes are drained and replaced one after the other while everybody plays on."""

from loadtest.running.stage import Stage
from loadtest.scenario import Scenario
from loadtest.scenarios import evening


async def direct(stage: Stage) -> None:
    """After a third of the time, when everybody has come."""
    await stage.until(0.33)
    await stage.replace_nodes()


SCENARIO = Scenario(play=evening.play, direct=direct, duration_s=90.0, networks=evening.SCENARIO.networks)
