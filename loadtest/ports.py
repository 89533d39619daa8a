"""Ports of this machine for servers that are about to be started."""

import os
import socket
from contextlib import ExitStack, suppress
from random import SystemRandom

HOST = "127.0.0.1"
FIRST, LAST = 20_000, 32_000  # below what Linux gives to outgoing connections (ip(7), ip_local_port_range)
SHARE = 1_000
"""Ports of one process. A port that was found is free until its server has it: two processes that look for some at the
same time, one started after the other, look in different places."""


class _Ports:
    """Walks through a share, so that no port is given twice before all were."""

    def __init__(self) -> None:
        self._pid = 0
        self._start = self._next = 0

    def take(self, in_a_row: int) -> int:
        if self._pid != os.getpid():  # a fork has a share of its own
            self._pid = os.getpid()
            self._start = FIRST + self._pid * SHARE % (LAST - FIRST)
            self._next = SystemRandom().randrange(SHARE)
        if self._next + in_a_row > SHARE:
            self._next = 0
        port = self._start + self._next
        self._next += in_a_row
        return port


_ports = _Ports()


def free_ports(in_a_row: int) -> int:
    """The first of some TCP ports, one after the other, that nobody has now, nor gets for a connection to somebody."""
    while True:
        port = _ports.take(in_a_row)
        with ExitStack() as probes, suppress(OSError):
            for more in range(in_a_row):
                probes.enter_context(socket.socket()).bind((HOST, port + more))
            return port


def free_port() -> int:
    """One of them."""
    return free_ports(1)
