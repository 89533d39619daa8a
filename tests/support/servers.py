"""Private MariaDB and Redis servers for tests: own folder, own port, ended with the block.

``TEST_MYSQL_URL`` and ``TEST_REDIS_URL`` name servers to use instead (the MySQL user must be allowed to create
databases): such a server cannot be killed or paused, so fault tests ask for ``private_mariadb()`` and
``private_redis()``. A missing server is a failure, never a skip.
"""

import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql

from loadtest.ports import free_port
from storage.urls import MysqlPlace

START_S = 60.0
"""A server must answer within this time, in seconds; it takes one or two."""

STOP_S = 20.0
"""A server must have ended within this time after SIGTERM; then it is killed."""

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_NO_SYNC = ("--debug-no-sync", "--innodb-flush-method=nosync")
"""Options of MariaDB that leave the disk to the kernel, which outlives it; a database costs a third of the time."""
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 4 << 30
"""Room for the databases of a few processes. On a disk, what waits to be written stops a writer for up to a second."""
_USER, _PASSWORD = "guildhall", "p@ss/word"  # needs escaping in a URL, so that every test proves it works


def driver(place: MysqlPlace, **options: Any) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    """A connection of the driver's own to a store's database, beside the store."""
    return pymysql.connect(
        host=place.host,
        port=place.port,
        user=place.user,
        password=place.password,
        database=place.database,
        **options,
    )


class ServerMissing(Exception):
    """No server to test against; the sentence says what to do."""


class Server:
    """A server process that this test run owns."""

    def __init__(self, name: str, command: Sequence[str], log: Path, port: int) -> None:
        self._name = name
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port
        """On 127.0.0.1; the same after every start."""

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops us in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, no lock taken
            )
        atexit.register(self.stop)
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerMissing(f"{self._name} did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order; nothing happens if it is not running."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """SIGKILL, as if the machine lost power but for what its kernel had been given."""
        self._signal(signal.SIGKILL)
        process, self._process = self._process, None
        if process is not None:
            process.wait()

    def discard(self) -> None:
        """End it at once if it runs; nobody wants its files any more."""
        if self._process is not None:
            self.kill()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def answers(self) -> bool:
        """Whether it can be used."""
        raise NotImplementedError

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise ServerMissing(f"{self._name} is not a private server, or not running")
        self._process.send_signal(number)


class MariadbServer(Server):
    """MariaDB. ``url(database)`` is a storage URL; databases are the tests' to create."""

    def __init__(self, command: Sequence[str] = (), log: Path = Path(os.devnull), port: int = 0) -> None:
        super().__init__("mariadbd", command, log, port)
        self.host, self.user, self.password = "127.0.0.1", _USER, _PASSWORD

    def url(self, database: str) -> str:
        """Storage URL of a database that need not exist."""
        password = "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in self.password)
        return f"mysql://{self.user}:{password}@{self.host}:{self.port}/{database}"

    def run(self, *statements: str) -> None:
        """Run statements as an operator would, in no database."""
        with self._connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def told(self, statement: str) -> dict[str, Any]:
        """The first row of an answer, by column; empty if there is none."""
        with self._connect() as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(statement)
            return cursor.fetchone() or {}

    def column(self, statement: str) -> list[str]:
        """The first column of an answer."""
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return [row[0] for row in cursor.fetchall()]

    def answers(self) -> bool:
        try:
            self._connect().close()
        except (pymysql.MySQLError, OSError):
            return False
        return True

    def _connect(self) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            connect_timeout=5,
            autocommit=True,
        )


class RedisServer(Server):
    """Redis without persistence."""

    def __init__(self, command: Sequence[str], log: Path, port: int) -> None:
        super().__init__("redis-server", command, log, port)
        self.url = f"redis://127.0.0.1:{port}/0"

    def answers(self) -> bool:
        parts = urlsplit(self.url)
        try:
            with socket.create_connection((parts.hostname, parts.port or 6379), 1.0) as link:
                link.settimeout(1.0)
                link.sendall(b"PING\r\n")
                return link.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


@contextmanager
def mariadb_server() -> Iterator[MariadbServer]:
    """The server that the tests share: the one of TEST_MYSQL_URL, or a private one."""
    url = os.environ.get("TEST_MYSQL_URL")
    if not url:
        with private_mariadb() as private:
            yield private
        return
    parts = urlsplit(url)
    server = MariadbServer(port=parts.port or 3306)
    server.host = parts.hostname or "127.0.0.1"
    server.user, server.password = unquote(parts.username or "root"), unquote(parts.password or "")
    if not server.answers():
        raise ServerMissing("no MySQL server answers at TEST_MYSQL_URL")
    yield server


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """The server that the tests share: the one of TEST_REDIS_URL, or a private one."""
    url = os.environ.get("TEST_REDIS_URL")
    if not url:
        with private_redis() as private:
            yield private
        return
    server = RedisServer((), Path(os.devnull), urlsplit(url).port or 6379)
    server.url = url
    if not server.answers():
        raise ServerMissing("no Redis server answers at TEST_REDIS_URL")
    yield server


@contextmanager
def private_mariadb(*, durable: bool = False, options: Sequence[str] = ("--skip-log-bin",)) -> Iterator[MariadbServer]:
    """A MariaDB of this test's own, without a binary log unless ``options`` of the daemon want one.

    A commit outlives ``kill()``; ``durable``: it reaches the disk, as it must in production.
    """
    install = program("mariadb-install-db", "mariadb-server", "TEST_MYSQL_URL")
    daemon = program("mariadbd", "mariadb-server", "TEST_MYSQL_URL")
    with _folder("guildhall-mariadb-", durable=durable) as folder:
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        # A server that starts removes what looks like a left table from there: of another one, were it /tmp.
        own_tmp = f"--tmpdir={folder / 'tmp'}"
        (folder / "tmp").mkdir()
        made = subprocess.run(
            [
                *(install, "--no-defaults", f"--datadir={folder / 'data'}", own_tmp, *as_root),
                *("--auth-root-authentication-method=normal", "--skip-test-db", *_NO_SYNC),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise ServerMissing(f"mariadb-install-db failed:\n{made.stdout}{made.stderr}")
        grants = folder / "grants.sql"
        grants.write_text(
            "SET sql_log_bin = 0;\n"  # each server has its own
            f"CREATE USER IF NOT EXISTS '{_USER}'@'%' IDENTIFIED BY '{_PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{_USER}'@'%' WITH GRANT OPTION;\n"
        )
        port = free_port()
        command = [
            *(daemon, "--no-defaults", *as_root, f"--datadir={folder / 'data'}", own_tmp),
            *("--bind-address=127.0.0.1", f"--port={port}", f"--socket={folder / 'socket'}"),
            *(f"--pid-file={folder / 'pid'}", f"--init-file={grants}", "--skip-name-resolve"),
            *(*options, "--max-connections=200", "--innodb-buffer-pool-size=64M"),
            *("--innodb-log-file-size=64M", "--performance-schema=OFF"),
            # Tables in one file are made and dropped quickly: each test has a database.
            "--innodb-file-per-table=0",
            f"--innodb-flush-log-at-trx-commit={1 if durable else 2}",
            *(() if durable else _NO_SYNC),
        ]
        server = MariadbServer(command, folder / "log", port)
        try:
            server.start()
            yield server
        finally:
            server.discard()


@contextmanager
def private_redis() -> Iterator[RedisServer]:
    """A Redis of this test's own."""
    daemon = program("redis-server", "redis-server", "TEST_REDIS_URL")
    with _folder("guildhall-redis-") as folder:
        port = free_port()
        command = [
            *(daemon, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)),
            *("--save", "", "--appendonly", "no"),
        ]
        server = RedisServer(command, folder / "log", port)
        try:
            server.start()
            yield server
        finally:
            server.discard()


def program(name: str, package: str, variable: str) -> str:
    """Path of a server's program, installed first if that is possible."""
    found = shutil.which(name, path=_PATH)
    if found is None and _install(package):
        found = shutil.which(name, path=_PATH)
    if found is None:
        raise ServerMissing(f"{name} is not installed: install {package}, or set {variable}")
    return found


def _install(package: str) -> bool:
    if shutil.which("apt-get") is None:
        return False
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    steps = (["update"], ["install", "-y", "--no-install-recommends", package])
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for step in steps:
            subprocess.run(
                [*sudo, "apt-get", "-q", *step],
                check=True,
                capture_output=True,
                env=environment,
                timeout=600,
            )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


@contextmanager
def _folder(prefix: str, *, durable: bool = True) -> Iterator[Path]:
    """A folder until the end of the block; one that need not be ``durable`` is memory, where there is enough of it."""
    memory = _MEMORY if not durable and _MEMORY.exists() and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES else None
    with tempfile.TemporaryDirectory(prefix=prefix, dir=memory, ignore_cleanup_errors=True) as name:
        yield Path(name)


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """In the new process: be ended by the kernel if the test run is killed."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
