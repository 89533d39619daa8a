"""An experiment can fail: what is taken away behind the nodes' backs is found."""

from pathlib import Path

import pytest

from tests.faults.experiment import Cluster, Experiment
from tests.faults.finals import ask
from tests.faults.town import Town

pytestmark = [pytest.mark.timeout(120), pytest.mark.faults]


async def test_a_line_that_was_acknowledged_and_is_not_kept_fails_the_experiment(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.add()

    async def steal(_: Town) -> None:
        await ask(cluster.store, "DELETE FROM topic_events WHERE topic = 'chat:room:0' ORDER BY seq DESC LIMIT 1")

    with pytest.raises(AssertionError, match="the log has a hole"):
        await Experiment(cluster, tmp_path, players=12).run("a line is stolen", steal)


async def test_gold_from_nowhere_fails_the_experiment(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.add()

    async def forge(_: Town) -> None:
        await ask(cluster.store, "UPDATE wallet_ledger SET delta = delta + 1 WHERE player = 'p0' AND number = 1")

    with pytest.raises(AssertionError, match="the balance in gold is not the sum of the ledger"):
        await Experiment(cluster, tmp_path, players=12).run("gold is forged", forge)
