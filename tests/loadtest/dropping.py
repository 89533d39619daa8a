"""A server that breaks its promise: it withholds one packet of durable events in ``TEST_DROP_ONE_IN``.

    TEST_DROP_ONE_IN=10000 python -m tests.loadtest.dropping serve --dev

For seeing that the load tester finds it. Each is withheld from one listener only; the others hear it.
"""

import os
import sys
from random import Random

from server.cli import main
from server.outbound import Outbound

_RANDOM = Random(1)
_push = Outbound.push


def _drop_one_in(n: int) -> None:
    def push(outbound: Outbound, piece: bytes, *, ephemeral: bool = False, replay: bool = False) -> None:
        if ephemeral or _RANDOM.randrange(n):
            _push(outbound, piece, ephemeral=ephemeral, replay=replay)

    Outbound.push = push  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    _drop_one_in(int(os.environ["TEST_DROP_ONE_IN"]))
    sys.exit(main())
