"""A dump is restored: clients hold cursors into events that are gone, and are told to reload, nothing else."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Protocol

import pytest

from tests.lints.sources import ROOT
from tests.support.nodes import NodeProcess, node
from tests.support.servers import MariadbServer, program
from tests.support.wire import Outside, outside

TALK = "chat:room:raid"


def after_a_restore() -> list[str]:
    """The statements that docs/operations.md has an operator run."""
    section = (ROOT / "docs" / "operations.md").read_text("utf-8").partition("## Backups\n")[2].partition("\n## ")[0]
    return [line.strip().rstrip(";") for line in section.splitlines() if line.startswith("    UPDATE")]


class Database(Protocol):
    url: str

    def dump(self) -> None:
        """Take everything down as it is at one moment, while nodes serve."""
        ...

    def restore(self) -> None:
        """Put it back, and do what the page says."""
        ...


class SqliteDatabase:
    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/g.db"
        self._file, self._dump = folder / "g.db", folder / "dump.db"

    def dump(self) -> None:
        with closing(sqlite3.connect(self._file)) as db, closing(sqlite3.connect(self._dump)) as into:
            db.backup(into)

    def restore(self) -> None:
        for left in self._file.parent.glob("g.db-*"):
            left.unlink()
        shutil.copy(self._dump, self._file)
        with closing(sqlite3.connect(self._file, isolation_level=None)) as db:
            for statement in after_a_restore():
                db.execute(statement)


class MysqlDatabase:
    def __init__(self, folder: Path, server: MariadbServer, url: str) -> None:
        self.url = url
        self._server, self._name, self._dump = server, url.rpartition("/")[2], folder / "dump.sql"

    def _run(self, name: str, *words: str) -> list[str]:
        server = self._server
        login = [f"--host={server.host}", f"--port={server.port}", f"--user={server.user}"]
        path = program(name, "mariadb-client", "TEST_MYSQL_URL")
        return [path, "--no-defaults", *login, f"--password={server.password}", *words, self._name]

    def dump(self) -> None:
        with self._dump.open("wb") as into:
            subprocess.run(self._run("mariadb-dump", "--single-transaction", "--hex-blob"), stdout=into, check=True)

    def restore(self) -> None:
        self._server.run(f"DROP DATABASE {self._name}", f"CREATE DATABASE {self._name}")
        with self._dump.open("rb") as dump:
            subprocess.run(self._run("mariadb"), stdin=dump, check=True)
        statements = ";\n".join(after_a_restore()).encode()
        subprocess.run(self._run("mariadb"), input=statements, check=True)


@pytest.fixture(params=["sqlite", "mysql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return SqliteDatabase(tmp_path)
    mariadb: MariadbServer = request.getfixturevalue("mariadb")
    return MysqlDatabase(tmp_path, mariadb, request.getfixturevalue("mysql_url"))


@pytest.fixture
async def restored(database: Database, tmp_path: Path) -> AsyncIterator[tuple[NodeProcess, dict[str, list[object]]]]:
    """A node on a dump from before the newest lines, and the cursors of a client that had seen all of them."""
    # The dump holds the lease of the node that served then: its rooms are waited for until that has run out.
    with node(tmp_path, "node", "--store", database.url, "--limits", "off", "--lease", "2") as server:
        async with talking(server) as ann:
            await say(ann, "one", "two", "three")
            database.dump()
            await say(ann, "four", "five")
            await ann.ask("player.rename", name="Ann the Red")
            await ann.until(lambda events: any(e["t"] == "player.renamed" for e in events))
            epochs = {topic: at["epoch"] for topic, at in ann.welcome["topics"].items()}
            cursors: dict[str, list[object]] = {
                topic: [epoch, max([0, *(e["seq"] for e in ann.events if e.get("topic") == topic and "seq" in e)])]
                for topic, epoch in epochs.items()
            }
            cursors[TALK] = [ann.welcome["joined"]["epoch"], 5]
        server.terminate()
        database.restore()
        server.start()
        yield server, cursors


@asynccontextmanager
async def talking(server: NodeProcess) -> AsyncIterator[Outside]:
    async with outside(server.url, "ann") as ann:
        ann.welcome["joined"] = await ann.ask("chat.join", channel="room:raid")
        yield ann


async def say(player: Outside, *texts: str) -> None:
    for text in texts:
        await player.ask("chat.send", channel="room:raid", text=text)
    await player.until(lambda _: player.lines(TALK)[-1:] != [] and player.lines(TALK)[-1][1] == texts[-1])


def texts(messages: list[dict[str, object]]) -> list[object]:
    return [message["text"] for message in messages]


async def test_clients_are_told_to_reload_and_find_what_the_dump_holds(
    restored: tuple[NodeProcess, dict[str, list[object]]],
) -> None:
    server, cursors = restored
    async with outside(server.url, "ann", resume={"session": "", "cursors": cursors}) as ann:
        statuses = {topic: at["status"] for topic, at in ann.welcome["topics"].items()}
        assert statuses == dict.fromkeys(cursors, "reset")
        assert ann.welcome["state"]["profile"]["name"] == "ann"
        joined = await ann.ask("chat.join", channel="room:raid")
        assert texts(joined["recent"]) == ["one", "two", "three"]
        assert joined["epoch"] != cursors[TALK][0]
        await say(ann, "four again")
        assert ann.lines(TALK) == [(4, "four again")]


async def test_a_cursor_that_the_dump_reaches_is_reset_too(
    restored: tuple[NodeProcess, dict[str, list[object]]],
) -> None:
    """The same number may be another event by now: only the epoch tells."""
    server, cursors = restored
    async with talking(server) as bo:
        await say(bo, "four again", "five again", "six again")
    old = {TALK: [cursors[TALK][0], 5]}
    async with outside(server.url, "ann", resume={"session": "", "cursors": old}) as ann:
        assert ann.welcome["topics"][TALK]["status"] == "reset"
        assert ann.lines(TALK) == []
        synced = await ann.ask("topic.sync", topic=TALK, after=5)
        assert synced["epoch"] == ann.welcome["topics"][TALK]["epoch"]


async def test_the_doctor_finds_nothing_in_a_restored_database(
    restored: tuple[NodeProcess, dict[str, list[object]]],
) -> None:
    server, _ = restored
    command = [sys.executable, "-m", "server", "doctor", "--store", server.option("--store")]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert all(line.startswith("ok ") for line in done.stdout.splitlines())
