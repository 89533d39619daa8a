"""Simulate: ``python -m tests.simulation SEED`` or ``--seeds N``; see ``make sim``.

Exit code 0: every seed is good; 1: some seed is not, and how to see it again is printed.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from secrets import randbelow
from typing import Any

from loadtest.history import write_history
from tests.simulation.planted import BUGS, planted
from tests.simulation.rules import judge
from tests.simulation.run import Size, simulate

EACH = 5  # seeds of one process: each leaves some 20 MB, which go with it at once where sweeping takes long
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


def outcomes(seeds: Sequence[int], size: Size, plant: str | None = None) -> Iterator[Outcome]:
    """Run seeds on all cores, in processes that do nothing else."""
    context, running = get_context("fork"), dict[Connection, Any]()
    waiting = (seeds[n : n + EACH] for n in range(0, len(seeds), EACH))
    try:
        while True:
            for some in islice(waiting, (os.cpu_count() or 1) - len(running)):
                ours, theirs = context.Pipe(duplex=False)
                running[ours] = context.Process(target=_send_outcomes, args=(theirs, some, size, plant))
                running[ours].start()
                theirs.close()
            if not running:
                return
            for speaking in wait(list(running)):
                assert isinstance(speaking, Connection)
                try:
                    yield speaking.recv()
                except EOFError:
                    process = running.pop(speaking)
                    process.join()
                    speaking.close()
                    assert process.exitcode == 0, "a simulation has failed itself"
    finally:
        for process in running.values():
            process.terminate()


def _send_outcomes(to: Connection, seeds: Sequence[int], size: Size, plant: str | None) -> None:
    gc.disable()
    for seed in seeds:
        started = time.monotonic()
        with planted(plant):
            wrong, _ = judge(simulate(seed, size))
        to.send((seed, wrong, time.monotonic() - started))


def _say(text: object) -> None:
    print(text, flush=True)  # noqa: T201 - a command-line tool


if __name__ == "__main__":
    sys.exit(main())
