"""A worker that does nothing but run its loop for a second or two, and then hangs in ``stuck_here``."""

import asyncio
import signal
import sys
import time

from server.workers.heart import beating, show_stacks_when_asked
from server.workers.place import end_with_supervisor, parse_worker


def stuck_here() -> None:
    time.sleep(60.0)


async def main(seconds: float) -> None:
    place = parse_worker(sys.argv[-1])
    end_with_supervisor(place, 1.0)
    show_stacks_when_asked()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with beating(place.heart):
        await asyncio.sleep(seconds)
        stuck_here()


asyncio.run(main(float(sys.argv[1])))
