"""Simulate: ``python -m tests.simulation SEED`` or ``--seeds N``; see ``make sim``.

Exit code 0: every seed is good; 1: some seed is not, and how to see it again is printed.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from secrets import randbelow

from loadtest.history import write_history
from tests.simulation.planted import BUGS, planted
from tests.simulation.rules import judge
from tests.simulation.run import Size, simulate

SWEPT = 4  # seeds after which a process sweeps; each leaves some 20 MB
Outcome = tuple[int, list[str], float]
"""Seed, what is wrong, seconds."""


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seed", type=int, nargs="*", help="seeds to run, and to say everything about")
    parser.add_argument("--seeds", type=int, default=0, help="how many to run")
    parser.add_argument("--first", type=int, help="the first of them; by chance, if not said")
    parser.add_argument("--seconds", type=float, default=Size().seconds, help="virtual seconds of each")
    parser.add_argument("--players", type=int, default=Size().players)
    parser.add_argument("--history", type=Path, help="write the history of a single seed there")
    parser.add_argument("--plant", choices=BUGS, help="a bug to plant")
    chosen = parser.parse_args()
    size = Size(seconds=chosen.seconds, players=chosen.players)
    if chosen.seed:
        return max(_show(seed, size, chosen.plant, chosen.history) for seed in chosen.seed)
    first = chosen.first if chosen.first is not None else randbelow(1_000_000)
    return _run_many(range(first, first + chosen.seeds), size, chosen.plant)


def _show(seed: int, size: Size, plant: str | None, history: Path | None) -> int:
    with planted(plant):
        run = simulate(seed, size)
    wrong, verdict = judge(run)
    if history is not None:
        write_history(history, run.records)
    _say(verdict)
    _say(f"plan: {run.plan}")
    for text in wrong:
        _say(text)
    _say(f"seed {seed}: {'RED' if wrong else 'green'}, {len(run.records)} records, {run.digest}")
    return int(bool(wrong))


def _run_many(seeds: range, size: Size, plant: str | None) -> int:
    started = time.monotonic()
    red = 0
    for seed, wrong, _ in outcomes(seeds, size, plant):
        if wrong:
            red += 1
            _say(f"seed {seed}: RED, {len(wrong)} findings; the first:\n{wrong[0]}\n  again: make sim SEED={seed}")
    took = time.monotonic() - started
    rate = len(seeds) / took * 60
    _say(f"{len(seeds)} seeds from {seeds.start} in {took:.0f} s ({rate:.0f} a minute): {red} red")
    return int(bool(red))


def outcomes(seeds: range, size: Size, plant: str | None = None) -> Iterator[Outcome]:
    """Run seeds on all cores, in processes that do nothing else."""
    work = ((seed, size, plant) for seed in seeds)
    with get_context("fork").Pool(os.cpu_count()) as pool:
        yield from pool.imap_unordered(_outcome, work)


def _say(text: object) -> None:
    print(text, flush=True)  # noqa: T201 - a command-line tool


def _outcome(work: tuple[int, Size, str | None]) -> Outcome:
    seed, size, plant = work
    started = time.monotonic()
    gc.disable()  # a history is one heap of records: what it leaves behind is swept now and then, between two
    with planted(plant):
        wrong, _ = judge(simulate(seed, size))
    if seed % SWEPT == 0:
        gc.collect()
    return seed, wrong, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
