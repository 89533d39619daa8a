"""The ports of all workers: found free before the first one is started, and held while the supervisor runs."""

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from msgspec import Struct

from server.config import Config
from server.workers.place import own_ports


class Ports(Struct, frozen=True):
    """Bound ones, none of them 0."""

    gateway: int
    http: int
    own: tuple[int, ...]


@contextmanager
def held_ports(config: Config) -> Iterator[Ports]:
    """Ports for the workers of ``config``. The shared ones stay bound here, without listening: the kernel gives
    connections to listeners only, and nobody else's server can take a port while its workers are started again.

    Raises:
        OSError: one is in use, also by the workers of another supervisor, who would share it unasked.
    """
    gateway, http = config.gateway, config.http
    with ExitStack() as held:
        shared = [_hold(held, host, port) for host, port in ((gateway.host, gateway.port), (http.host, http.port))]
        yield Ports(shared[0], shared[1], _own(config))


def _own(config: Config) -> tuple[int, ...]:
    asked: Sequence[int] = own_ports(config) if config.http.port else [0] * config.node.workers
    with ExitStack() as held:
        return tuple(_bound(held, config.http.host, port, share=False) for port in asked)


def _hold(held: ExitStack, host: str, port: int) -> int:
    with ExitStack() as tried:
        _bound(tried, host, port, share=False)  # a port that can be shared can also be shared with strangers
    return _bound(held, host, port, share=True)


def _bound(held: ExitStack, host: str, port: int, *, share: bool) -> int:
    places = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(places):
        holder = held.enter_context(socket.socket(family, kind, protocol))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if share:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            holder.bind((address[0], port, *address[2:]))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise OSError(f"port {port} at {host} is in use by another process ({os.strerror(error.errno)})") from None
        port = port or holder.getsockname()[1]
    return port
