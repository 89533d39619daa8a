"""Who watches a run."""

from collections.abc import Sequence
from typing import Protocol

from loadtest.outcome import Mark, ServerFigures
from loadtest.running.gathering import Gathering


class View(Protocol):
    """Shows a run while it goes on."""

    def says(self, what: str) -> None:
        """What is being done now, when nobody plays."""
        ...

    def update(
        self, second: int, gathering: Gathering, servers: Sequence[ServerFigures], marks: Sequence[Mark]
    ) -> None:
        """The newest second of the run."""
        ...
