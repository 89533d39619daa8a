"""Ports of this machine for servers that are about to be started."""

import socket
from contextlib import ExitStack, suppress
from random import SystemRandom

HOST = "127.0.0.1"
UNASSIGNED = (20_000, 32_000)  # below what Linux gives to outgoing connections (ip(7), ip_local_port_range)


def free_ports(in_a_row: int) -> int:
    """The first of some TCP ports, one after the other, that nobody has now, nor gets for a connection to somebody."""
    while True:
        port = SystemRandom().randrange(*UNASSIGNED)
        with ExitStack() as probes, suppress(OSError):
            for more in range(in_a_row):
                probes.enter_context(socket.socket()).bind((HOST, port + more))
            return port


def free_port() -> int:
    """One of them."""
    return free_ports(1)
