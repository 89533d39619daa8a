"""What is to be run, with everything decided that can be decided before the first player comes."""

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct, structs

from loadtest.outcome import Setting
from loadtest.players.orders import Orders
from loadtest.scenario import Scenario

ROOT = Path(__file__).parent.parent.parent
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class Plan(Struct, frozen=True, kw_only=True):
    """A run as it was asked for: the command line over the scenario's own numbers."""

    scenario: Scenario
    name: str
    """Of the scenario, or the path of its file."""
    says: str
    urls: Sequence[str] = ()
    http: Sequence[str] = ()
    """HTTP ports of the nodes, for metrics and staff."""
    serve: int = 0
    """Nodes to start for the run."""
    store: str = ""
    bus: str = ""
    players: int
    processes: int = 1
    duration_s: float
    ramp_s: float
    seed: int
    networks: dict[str, float]
    twice: bool = False
    tokens: str = "dev"
    staff_key: str = ""
    replace: Sequence[str] = ()
    check: bool = True
    """Whether to record the history and judge it."""
    history: Path | None = None
    """Where to keep it; None: only while it is needed, or in ``evidence`` if something was found."""
    evidence: Path
    """Folder of the report."""
    command: str = ""

    def run_name(self, now: datetime) -> str:
        """Short and new at every run: its seconds since 2026 in base 36, for names of players and rooms."""
        left, digits = int((now - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()), ""
        while left:
            left, digit = divmod(left, len(ALPHABET))
            digits = ALPHABET[digit] + digits
        return digits

    def orders(self, run: str, began: float, folder: Path) -> list[Orders]:
        """What each process plays. A group is never divided."""
        groups = ceil(self.players / self.scenario.group_of)
        made, first = [], 0
        for process in range(self.processes):
            end = min(self.players, (groups * (process + 1) // self.processes) * self.scenario.group_of)
            if end > first:
                made.append(
                    Orders(
                        process=process,
                        scenario=self.name,
                        urls=list(self.urls),
                        run=run,
                        first=first,
                        count=end - first,
                        players=self.players,
                        seed=self.seed,
                        began=began,
                        ramp_s=self.ramp_s,
                        networks=self.networks,
                        twice=self.twice,
                        tokens=self.tokens,
                        history=str(folder / f"history-{process}.jsonl") if self.check else "",
                    )
                )
            first = end
        return [structs.replace(orders, process=number) for number, orders in enumerate(made)]

    def setting(self, now: datetime, processes: int, servers: Sequence[str], notes: Sequence[str]) -> Setting:
        """The report's first page."""
        return Setting(
            scenario=self.name,
            says=self.says,
            urls=list(self.urls),
            players=self.players,
            processes=processes,
            duration_s=self.duration_s,
            ramp_s=self.ramp_s,
            seed=self.seed,
            networks=self.networks,
            twice=self.twice,
            started_at=now.isoformat(timespec="seconds"),
            command=self.command,
            python=f"{platform.python_implementation()} {platform.python_version()}",
            machine=_machine(),
            commit=_commit(),
            servers=list(servers),
            notes=list(notes),
        )


def http_of(url: str) -> str:
    """Where the HTTP port of a gateway is if nobody says otherwise: one above."""
    place = urlsplit(url)
    scheme = "https" if place.scheme == "wss" else "http"
    return f"{scheme}://{place.hostname}:{(place.port or 7350) + 1}"


def _machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else model


def _commit() -> str:
    asked = subprocess.run(
        ("git", "describe", "--always", "--dirty"),  # noqa: S607 - whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()
