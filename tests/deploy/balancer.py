"""The load balancer of deploy/haproxy.cfg, run for real on loopback before nodes of this machine."""

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.ports import free_port
from tests.deploy.dockerfile import ROOT
from tests.support.nodes import NodeProcess
from tests.support.servers import Server, program

CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
NODES = ("node-a", "node-b")


def haproxy() -> str:
    """Path of HAProxy's program, installed first if that is possible."""
    return program("haproxy", "haproxy", "PATH")


class Balancer(Server):
    """A running load balancer."""

    def __init__(self, folder: Path, configuration: str, port: int) -> None:
        path = folder / "haproxy.cfg"
        path.write_text(configuration)
        super().__init__("haproxy", [haproxy(), "-db", "-f", str(path)], folder / "haproxy.log", port)
        self.url = f"ws://127.0.0.1:{port}/ws"
        self.http = f"http://127.0.0.1:{port}"

    def answers(self) -> bool:
        """Whether it runs and has found both nodes ready."""
        return self.status("/healthz") == 200

    def status(self, path: str) -> int:
        """Status of a GET; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"{self.http}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


class Passage(Balancer):
    """A load balancer that passes on bytes, TLS among them, and says in a PROXY header whose they are."""

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True


def passing(node: NodeProcess, port: int, header: str) -> str:
    """The configuration of one, with how its header is called: ``send-proxy`` or ``send-proxy-v2``."""
    return f"""
global
    maxconn 1000
defaults
    mode tcp
    timeout connect 2s
    timeout client 30s
    timeout server 30s
listen players
    bind 127.0.0.1:{port}
    server node 127.0.0.1:{node.gateway_port} {header}
"""


def before(nodes: tuple[NodeProcess, NodeProcess], port: int, *, idle: str = "30s", header: str = "") -> str:
    """The configuration with these nodes, this port, few files, and ``idle`` as the time-out of plain HTTP; ``header``
    is what a server's line says of PROXY headers."""
    text = CONFIGURATION.read_text("utf-8")
    for name, node in zip(NODES, nodes, strict=True):
        place = f"127.0.0.1:{node.gateway_port} port {node.http_port} {header}".rstrip()
        text = _replace(text, rf"{name}:7350 port 7351", place)
        text = _replace(text, rf"{name}:7351", f"127.0.0.1:{node.http_port}")
    text = _replace(text, r"timeout client 30s", f"timeout client {idle}")
    text = _replace(text, r"timeout server 30s", f"timeout server {idle}")
    text += "    timeout server 30s\n"  # of the last section, sign-in: it may take its time on a busy machine
    text = _replace(text, r"maxconn 40000", "maxconn 1000")
    return _replace(text, r"bind :8080", f"bind 127.0.0.1:{port}")


def _replace(text: str, old: str, new: str) -> str:
    changed, times = re.subn(rf"(?<=[ \n]){old}(?=[ \n])", new, text)
    assert times == 1, f"{old} is there {times} times"
    return changed


@contextmanager
def balancer(folder: Path, nodes: tuple[NodeProcess, NodeProcess], *, idle: str = "30s") -> Iterator[Balancer]:
    """A load balancer before two nodes, ended with the block."""
    port = free_port()
    running = Balancer(folder, before(nodes, port, idle=idle), port)
    try:
        running.start()
        yield running
    finally:
        running.stop()
