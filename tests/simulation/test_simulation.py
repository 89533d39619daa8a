"""The whole server in virtual time: no history that a seed makes may break a promise."""

import os
import subprocess
import sys
from pathlib import Path
from secrets import randbelow

import pytest
import structlog

from tests.simulation.__main__ import outcomes
from tests.simulation.planted import BUGS
from tests.simulation.rules import judge
from tests.simulation.run import Size, simulate

log = structlog.get_logger()
FAILED = Path(__file__).with_name("failed_seeds.txt")
FRESH = [randbelow(1_000_000) for _ in range(3)]
SMALL = Size(seconds=15.0, players=8)
SEEDS = 200  # within which every planted bug is found


def _failed() -> list[int]:
    lines = FAILED.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("seed", _failed())
def test_a_seed_that_has_failed_is_green(seed: int) -> None:
    assert_green(seed)


def test_fresh_seeds_are_green() -> None:
    for seed in FRESH:
        assert_green(seed)


def assert_green(seed: int) -> None:
    """Simulate, judge, and say how to see it again."""
    wrong, verdict = judge(simulate(seed))
    assert not wrong, f"make sim SEED={seed}\n" + "\n".join(wrong[:5])
    assert verdict.judged["order"] > 1_000


@pytest.mark.parametrize("seed", [3, 7])
def test_a_seed_gives_the_same_history_byte_for_byte(seed: int) -> None:
    digests = {simulate(seed, SMALL).digest, simulate(seed, SMALL).digest}
    digests |= {_digest_of_another_process(seed, hash_seed) for hash_seed in ("1", "2")}

    assert len(digests) == 1
    assert simulate(seed + 1, SMALL).digest not in digests


def _digest_of_another_process(seed: int, hash_seed: str) -> str:
    code = (
        "from tests.simulation.run import Size, simulate;"
        f"print(simulate({seed}, Size(seconds={SMALL.seconds}, players={SMALL.players})).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_makes_a_seed_red(bug: str) -> None:
    for tried, (_, wrong, _) in enumerate(outcomes(range(1, SEEDS + 1), Size(), bug), start=1):
        if wrong:
            log.info("simulation.planted_bug_found", bug=bug, seeds=tried, finding=wrong[0])
            return
    pytest.fail(f"{SEEDS} seeds with {bug} were green")
