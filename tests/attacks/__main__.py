"""Measure what attacks cost, and write the table of docs/THREAT_MODEL.md: ``make attacks``."""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.attacks.attacks import ATTACKS, Attack
from tests.attacks.experiment import Cost, attacked, ms
from tests.support.nodes import ROOT, NodeProcess, node

PAGE = ROOT / "docs" / "THREAT_MODEL.md"
BEGIN, END = "<!-- table: made by `make attacks` -->", "<!-- end of the table -->"
COLUMNS = (
    "attack",
    "sockets",
    "what the node does",
    "how they ended",
    "time",
    "the node's CPU",
    "its wait for a core",
    "its memory",
    "pings of others before, p50 / p99 / worst ms",
    "meanwhile",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}"


def row(attack: Attack, sockets: int, cost: Cost) -> str:
    """A line of the table."""
    ended = ", ".join(f"{times} {end}" for end, times in cost.ends.most_common())
    cells = (
        attack.name,
        f"{sockets:,}",
        attack.does,
        ended,
        f"{cost.seconds:.1f} s",
        f"{cost.cpu_s:.1f} s",
        f"{cost.starved_s:.1f} s",
        f"+{cost.memory / 2**20:.0f} MiB",
        ms(cost.before),
        ms(cost.during),
    )
    return f"| {' | '.join(cells)} |"


async def measured(running: NodeProcess) -> list[str]:
    """Run all attacks, one after the other, on one node."""
    rows = []
    for attack in ATTACKS:
        _, many = attack.sockets
        cost = await attacked(running, attack, many, quiet_s=2.0)
        rows.append(row(attack, many, cost))
        sys.stdout.write(rows[-1] + "\n")
        wrong = cost.ends.keys() - attack.good
        if wrong:
            sys.exit(f"{attack.name}: ended with {sorted(wrong)}")
    return rows


def main() -> None:
    """Measure, then write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = folder / "guildhall.toml"
        settings.write_text("[gateway]\ncompression = true\n")
        with node(folder, "node", "--config", str(settings), "--store", f"sqlite:///{folder}/g.db") as running:
            rows = asyncio.run(measured(running))
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{HEAD}\n" + "\n".join(rows) + f"\n\n{END}{after}")


if __name__ == "__main__":
    main()
