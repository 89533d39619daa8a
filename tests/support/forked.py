"""Nodes as processes that begin where importing the server has ended.

Importing takes a node a second of its start, and the tests start some two hundred of them. Each test process has one
small process that has imported the server and does nothing else: a node is forked from it, and from there on it is what
``python -m server`` is, a process of its own that is stopped, killed and drained as such. (tests/e2e/test_restart.py,
tests/deploy and tests/docs start nodes by their command line.)
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path

_IMPORTED = ("tests.support.forked", "server.cli", "server.app", "uvloop", "encodings.idna")
_fork = get_context("forkserver")
_fork.set_forkserver_preload(list(_IMPORTED))


class ForkedNode:
    """One node, as ``subprocess.Popen`` would have it. Ended with the test process at the latest."""

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
        """``arguments``: of the ``guildhall`` command, run in ``folder``; what it prints is added to ``log``."""
        asked = (list(arguments), str(folder), dict(environment), str(log))
        self._process = _fork.Process(target=_be_a_node, args=asked, name="node", daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, less than 0 for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("node", timeout or 0.0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _be_a_node(arguments: list[str], folder: str, environment: dict[str, str], log: str) -> None:
    from server.cli import main  # noqa: PLC0415 - the test process, which imports this module, does without it

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    said = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(said, stream.fileno())
    os.close(said)
    sys.argv = ["server", *arguments]
    sys.exit(main(arguments))
