"""Real nodes: ``python -m server serve`` as processes of their own, on loopback and free ports."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.ports import free_port
from tests.support.forked import ForkedNode

ROOT = Path(__file__).parent.parent.parent
START_S = 30.0


class NodeProcess:
    """One node; the same ports and store at every start, and the build that ``module`` names then."""

    def __init__(self, folder: Path, name: str, *options: str) -> None:
        self.gateway_port = free_port()
        self.http_port = free_port()
        self.url = f"ws://127.0.0.1:{self.gateway_port}/ws"
        self.http = f"http://127.0.0.1:{self.http_port}"
        self.log = folder / f"{name}.log"
        self.module = "server"
        """Run by ``python -m``."""
        self.forked = True
        """Whether the usual build may be forked from a process that has imported it: it has no command line then."""
        self._options = options
        self._process: ForkedNode | subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> ForkedNode | subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "start the node first"
        return self._process

    def option(self, name: str) -> str:
        """The value that an option was given."""
        return self._options[self._options.index(name) + 1]

    def start(self, *, wait: bool = True) -> None:
        """Start; with ``wait``, until it is ready."""
        arguments = ["serve", "--dev", *self._options]
        arguments += ["--gateway-port", str(self.gateway_port), "--http-port", str(self.http_port)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GUILDHALL_")}
        if self.module == "server" and self.forked:
            self._process = ForkedNode(arguments, ROOT, environment, self.log)
        else:
            self._process = _by_command_line(self.module, arguments, environment, self.log)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Until ``/readyz`` says yes."""
        deadline = time.monotonic() + START_S
        while self.readyz()[0] != 200:
            assert self.process.poll() is None, f"the node ended: {self.tail()}"
            assert time.monotonic() < deadline, f"the node is not ready: {self.tail()}"
            time.sleep(0.05)

    def readyz(self) -> tuple[int, str]:
        """Status and body of ``/readyz``; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"{self.http}/readyz", timeout=2) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def kill(self) -> None:
        """SIGKILL: nothing is handed over."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM, and the exit code after the drain."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def stop(self) -> None:
        """End it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]


def _by_command_line(
    module: str, arguments: list[str], environment: dict[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", module, *arguments]
    with log.open("ab") as said:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)


@contextmanager
def node(folder: Path, name: str, *options: str) -> Iterator[NodeProcess]:
    """A started node, ended with the block."""
    made = NodeProcess(folder, name, *options)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@contextmanager
def two_nodes(folder: Path, mysql_url: str, redis_url: str, *options: str) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """Two nodes of one cluster, started at once."""
    shared = ("--store", mysql_url, "--bus", redis_url, *options)
    one, two = NodeProcess(folder, "one", *shared), NodeProcess(folder, "two", *shared)
    try:
        for each in (one, two):
            each.start(wait=False)
        for each in (one, two):
            each.wait_ready()
        yield one, two
    finally:
        for each in (one, two):
            each.stop()
