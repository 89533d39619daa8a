"""What an interval of a load cost: seconds of processor that the server used and that the driver used."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # a second: processor time in /proc is counted in hundredths on Linux


class Spent:
    """Filled when the interval has ended."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.server_s = 0.0
        self.driver_s = 0.0

    @property
    def server_share(self) -> float:
        """Of one core; the threads of SQLite count, so it may be more than 1."""
        return self.server_s / self.seconds

    @property
    def driver_share(self) -> float:
        """Of one core. Near 1 the driver is what was measured."""
        return self.driver_s / self.seconds

    def server_us(self, operations: float) -> float:
        """Microseconds of the server's processor time for each of ``operations``; 0 without any."""
        return self.server_s * 1e6 / operations if operations else 0.0


@contextmanager
def spending(pid: int) -> Iterator[Spent]:
    """The interval of the block; ``pid`` is the server."""
    spent = Spent()
    started, server, driver = time.perf_counter(), processor_s(pid), time.process_time()
    yield spent
    spent.seconds = time.perf_counter() - started
    spent.server_s = processor_s(pid) - server
    spent.driver_s = time.process_time() - driver


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has used so far, its threads and the kernel's work for it included
    (proc(5), /proc/PID/stat, utime and stime)."""
    return ticks_of(Path(f"/proc/{pid}/stat").read_text()) / TICKS


def ticks_of(stat: str) -> int:
    """utime + stime of a line of /proc/PID/stat, whose second field may hold spaces and brackets."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
