"""The included scenarios, and what may be wrong with one of somebody's own."""

from pathlib import Path

import pytest

from loadtest.players.networks import NETWORKS
from loadtest.reporting.slo import parse_slo
from loadtest.scenario import Scenario
from loadtest.scenarios import BadScenario, load, names
from tests.support.nodes import ROOT


@pytest.mark.parametrize("name", names())
def test_every_scenario_says_what_it_is_has_limits_that_can_be_read_and_networks_that_there_are(name: str) -> None:
    scenario, says = load(name)

    assert says.endswith(".")
    assert scenario.networks.keys() <= NETWORKS.keys()
    assert sum(scenario.networks.values()) == pytest.approx(1)
    parse_slo(scenario.slo, name)
    assert scenario.ramp_s < scenario.duration_s
    assert f"| `{name}` |" in (ROOT / "docs/loadtest.md").read_text()


@pytest.mark.parametrize("name", names())
def test_everybody_arrives_once_in_the_ramp_and_in_line(name: str) -> None:
    scenario, _ = load(name)
    arrivals = [scenario.arrival(share / 100) for share in range(101)]

    assert arrivals == sorted(arrivals)
    assert 0 <= arrivals[0] <= arrivals[-1] <= 1


def test_a_scenario_of_ones_own_is_named_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        '"""Mine.\n\nMore of it."""\n'
        "from loadtest.scenario import Scenario\n"
        "async def play(me): ...\n"
        "SCENARIO = Scenario(play=play, players=7)\n"
    )

    scenario, says = load(str(file))

    assert isinstance(scenario, Scenario)
    assert scenario.players == 7
    assert says == "Mine."


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not there"),
        ("def", "does not run: SyntaxError"),
        ("import nowhere", "does not run: ModuleNotFoundError: No module named 'nowhere'"),
        ("SCENARIO = 1", "has no SCENARIO of type loadtest.scenario.Scenario"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused_with_the_reason(content: str | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    if content is not None:
        file.write_text(content)

    with pytest.raises(BadScenario, match=r"broken\.py") as refused:
        load(str(file))

    assert says in str(refused.value)
