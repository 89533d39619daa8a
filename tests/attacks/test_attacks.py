"""Attacks with few sockets on a real node: each ends as it has to, and nobody else is harmed.

What they cost with many is measured by ``make attacks``, and stands in docs/THREAT_MODEL.md.
"""

from collections.abc import Iterator

import pytest

from tests.attacks.attacks import ATTACKS, Attack
from tests.attacks.experiment import attacked
from tests.support.nodes import NodeProcess, node

MOST_MEMORY = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def attacked_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node with its limits, and with compression, so that it can be bombed."""
    folder = tmp_path_factory.mktemp("node")
    settings = folder / "guildhall.toml"
    settings.write_text("[gateway]\ncompression = true\n")
    with node(folder, "node", "--config", str(settings), "--store", f"sqlite:///{folder}/g.db") as running:
        yield running


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.partition(":")[0])
async def test_attackers_end_and_nobody_else_is_harmed(attacked_node: NodeProcess, attack: Attack) -> None:
    few, _ = attack.sockets
    cost = await attacked(attacked_node, attack, few)
    assert cost.ends.keys() <= attack.good, cost.ends
    assert cost.ends.total() == few
    assert cost.memory < MOST_MEMORY
    assert attack.name != "connections from one address" or cost.ends["503"]
