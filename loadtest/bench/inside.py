"""Actor messages inside one node: a whole node, asked from within its process, no socket in between.

``ask`` of the router -> mailbox -> turn -> the answer's ``deliver``, which asks again. Run as
``python -m loadtest.bench.inside --seconds 5``; prints the figures as JSON. The only part of the load tester that looks
inside the server.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence

import msgspec
import uvloop
from msgspec import Struct

from actors.player import PlayerGet
from actors.runtime import Answer, Caller
from actors.runtime.router import Router
from server.app import running_server, settle_collector
from server.config_sources import load
from server.telemetry import configure_logging

WARM_UP_S = 1.0
PLAYERS = 1_000
STRIDE = 7_919  # from one actor to the next; a prime, so that every asker comes to all of them
SAMPLED = 64  # one of so many answers of an asker notes its latency


class Inside(Struct, frozen=True):
    """What was measured."""

    per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float
    server_share: float


class Asker:
    """Asks one actor after the other, the next from within the answer of the last."""

    def __init__(self, router: Router, questions: Sequence[tuple[PlayerGet, Caller]], first: int) -> None:
        self.answered = 0
        self.seconds: list[float] = []
        self.stopped = False
        self._ask = router.ask
        self._questions = questions
        self._next = first
        self._sent = 0.0

    def ask(self) -> None:
        """Ask the next one."""
        self._next = (self._next + STRIDE) % len(self._questions)
        request, caller = self._questions[self._next]
        self._ask(request, caller, self._deliver)

    def _deliver(self, answer: Answer) -> None:
        if answer.error is not None:
            raise answer.error
        self.answered += 1
        turn = self.answered % SAMPLED
        if turn == 0:
            self.seconds.append(time.perf_counter() - self._sent)
        elif turn == SAMPLED - 1:
            self._sent = time.perf_counter()
        if not self.stopped:
            self.ask()


async def ask_inside(seconds: float, players: int) -> Inside:
    """``players`` actors, each with one question under way at a time."""
    with tempfile.TemporaryDirectory(prefix="guildhall-inside-") as folder:
        options = {"dev": "true", "store": f"sqlite:///{folder}/inside.db", "gateway_port": "0", "http_port": "0"}
        config = load({**options, "log_level": "error"}, {})
        configure_logging(config.log, dev=True)
        async with running_server(config) as server:
            # A read keeps no op, so one request for each actor will do.
            questions = [(PlayerGet(id=f"p{n}-1"), Caller(f"p{n}")) for n in range(players)]
            askers = [Asker(server.node.router, questions, n) for n in range(players)]
            settle_collector()
            for asker in askers:
                asker.ask()
            await asyncio.sleep(WARM_UP_S)
            for asker in askers:
                asker.seconds.clear()
            before, started, spent = _answered(askers), time.perf_counter(), time.process_time()
            await asyncio.sleep(seconds)
            took, spent = time.perf_counter() - started, time.process_time() - spent
            answered = _answered(askers) - before
            for asker in askers:
                asker.stopped = True
    taken = sorted(second for asker in askers for second in asker.seconds)
    return Inside(
        answered / took,
        taken[len(taken) // 2] * 1000,
        taken[int(len(taken) * 0.99)] * 1000,
        spent / answered * 1e6,
        spent / took,
    )


def _answered(askers: list[Asker]) -> int:
    return sum(asker.answered for asker in askers)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.inside", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--players", type=int, default=PLAYERS)
    options = parser.parse_args()
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(ask_inside(options.seconds, options.players))) + b"\n")


if __name__ == "__main__":
    main()
