"""What makes a process one of several workers, and how it learns that its supervisor is gone."""

import os
import signal
import socket
import threading
from math import ceil

import msgspec
import structlog
from msgspec import Struct, structs

from server.config import Config, ConfigError, split_address

log = structlog.get_logger()
MARGIN_S = 15.0  # what a worker takes to end besides its drain: the store's last answers, the ports
NAME_CHARS = 64  # as ``server.config.NodeName`` has it


class WorkersFailed(Exception):
    """A worker could not be kept running; the others were drained."""


class Worker(Struct, frozen=True, forbid_unknown_fields=True):
    """The place of one worker; its supervisor writes it on the command line (``--worker``)."""

    number: int
    """From 0; stays the same when the worker is started again."""
    name: str
    """Of the node; new at each start, so that the others notice that there is a new one."""
    gateway_port: int
    http_port: int
    """Both are shared with the other workers."""
    own_ports: tuple[int, ...]
    """Where each worker tells its own health and metrics, by number."""
    before: str = ""
    """Name of the node that this worker was in its last life, which has ended for certain."""
    heart: int | None = None
    """The pipe by which it says that it runs (``server.workers.heart``); its number in the worker's process."""

    @property
    def own_port(self) -> int:
        """Where this worker tells its own."""
        return self.own_ports[self.number]

    def settings(self, config: Config) -> Config:
        """``config`` as it is for this worker."""
        return structs.replace(
            config,
            gateway=structs.replace(config.gateway, port=self.gateway_port),
            http=structs.replace(config.http, port=self.http_port),
            node=structs.replace(config.node, name=self.name),
        )


def parse_worker(text: str) -> Worker:
    """The place that a supervisor has written.

    Raises:
        ConfigError: it is not of this form.
    """
    try:
        return msgspec.json.decode(text, type=Worker)
    except msgspec.DecodeError as error:
        raise ConfigError(f"option --worker is for the supervisor to give: {error}; use --workers N") from None


def worker_name(base: str, number: int, start: int) -> str:
    """``game-a.0``, and ``game-a.0.2`` at the second start: sorts together, and is never used twice."""
    suffix = f".{number}" + (f".{start}" if start > 1 else "")
    return base[: NAME_CHARS - len(suffix)] + suffix


def check_workers(config: Config) -> None:
    """Refuse settings with which several workers cannot be one cluster.

    Raises:
        ConfigError: the first thing that they could not share, or could not have each.
    """
    workers = config.node.workers
    if workers == 1:
        return
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError(f"node.workers is {workers}: this system cannot share a port (SO_REUSEPORT); allowed: 1")
    needs = f"node.workers is {workers}: workers are nodes of one cluster and need"
    if not config.store.url.startswith("mysql:"):
        raise ConfigError(f"{needs} a database server; allowed for store.url: mysql://USER:PASSWORD@HOST:PORT/NAME")
    if config.bus.url == "local:":
        raise ConfigError(f"{needs} a bus between processes; allowed for bus.url: redis://[:PASSWORD@]HOST:PORT/DB")
    _check_own_ports(config)


def own_ports(config: Config) -> range:
    """The ports after the HTTP port, one a worker."""
    return range(config.http.port + 1, config.http.port + 1 + config.node.workers)


def _check_own_ports(config: Config) -> None:
    if not config.http.port:
        return  # free ones are taken
    own = own_ports(config)
    taken = {"gateway.port": config.gateway.port}
    if config.http.staff_address:
        taken["http.staff_address"] = split_address(config.http.staff_address)[1]
    for name, port in taken.items():
        if port in own:
            raise ConfigError(f"{name} {port} is one of the workers' own HTTP ports, {own[0]} to {own[-1]}")
    if own[-1] > 65535:
        raise ConfigError(f"http.port {config.http.port} leaves no ports for {len(own)} workers after it")


def stop_s(drain_s: float) -> float:
    """Seconds in which a worker has ended after SIGTERM: its sessions and its actors may each take ``drain_s``."""
    return 2 * drain_s + MARGIN_S


def end_with_supervisor(worker: Worker, within_s: float) -> None:
    """Drain as after SIGTERM when the supervisor is gone, and be gone ``within_s`` seconds later whatever happens.

    Standard input is a pipe that only the supervisor holds the other end of: its end means the supervisor's, SIGKILL
    included. A thread waits for it, so that it also works before the loop runs, and when it hangs.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is passed on to all; whoever has a use for it sets a handler
    threading.Thread(target=_outlive, args=(worker, within_s), name="supervisor-watch", daemon=True).start()


def _outlive(worker: Worker, within_s: float) -> None:
    while os.read(0, 1):
        pass
    log.warning("supervisor.lost", node=worker.name)
    signal.alarm(ceil(within_s))  # SIGALRM ends the process: nobody handles it
    os.kill(os.getpid(), signal.SIGTERM)
