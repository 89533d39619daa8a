"""A server that breaks its promise: it withholds one packet of durable events in ``TEST_DROP_ONE_IN``.

    TEST_DROP_ONE_IN=10000 python -m tests.loadtest.dropping serve --dev

For seeing that the load tester finds it. Each is withheld from one listener only; the others hear it.
"""

import os
import sys
from random import Random

from server.cli import main
from server.session import Session

_RANDOM = Random(1)
_push = Session.push


def _drop_one_in(n: int) -> None:
    def push(session: Session, piece: bytes, *, ephemeral: bool = False, replay: bool = False) -> None:
        if ephemeral or _RANDOM.randrange(n):
            _push(session, piece, ephemeral=ephemeral, replay=replay)

    Session.push = push  # type: ignore[method-assign]


if __name__ == "__main__":
    _drop_one_in(int(os.environ["TEST_DROP_ONE_IN"]))
    sys.exit(main())
