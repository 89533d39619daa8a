"""Simulations block nobody. The long ones are run when asked for: ``make sim-planted``."""

import pytest


@pytest.fixture(autouse=True)
def _the_loop_never_blocks() -> None:
    """In a simulated world nothing takes time; looking at every call for it would take half of ours."""
