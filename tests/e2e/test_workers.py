"""Two workers behind one port, with MariaDB and Redis, as players and an operator see them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from server.gateway import LAST_WORDS_S
from tests.e2e.staff_calls import staff_call
from tests.support.crowd import assert_one_history, crowd, talk_through
from tests.support.nodes import ROOT
from tests.support.wire import Outside, outside
from tests.support.workers import Workers, gone, workers

pytestmark = pytest.mark.timeout(120)
LEASE_S = 30.0  # longer than anybody waits in these tests
BACK_S = 15.0  # until a worker that was killed is started again, on a machine with other tests
NAMES = [f"player{n}" for n in range(10)]
ROOMS = ["room:a", "room:b"]
TALK = "chat:room:a"
SILENCE_S = 8.0  # of a worker until its supervisor ends it
SOON = f"[node]\nworker_silence_s = {SILENCE_S}\n"
SILENT = "it does not answer"
ENDED_S = 15.0  # for processes that have nobody to wait for, on a machine with other tests


@pytest.fixture
def machine(tmp_path: Path, mysql_url: str, redis_url: str) -> Iterator[Workers]:
    with workers(tmp_path, mysql_url, redis_url, "--lease", str(LEASE_S), "--limits", "off") as started:
        yield started


@asynccontextmanager
async def on_each(machine: Workers) -> AsyncIterator[list[Outside]]:
    """Players, as many as it takes until each worker has one; the first and the last are on different workers."""
    async with AsyncExitStack() as stack:
        players = [await stack.enter_async_context(outside(machine.url, "p0"))]
        while 0 in await asyncio.to_thread(machine.connections):
            assert len(players) < 40, "40 connections have come to one worker"
            players.append(await stack.enter_async_context(outside(machine.url, f"p{len(players)}")))
        yield players


@asynccontextmanager
async def silent(url: str) -> AsyncIterator[None]:
    """A client that is connected and does not answer any more: a drain waits for it."""
    async with connect(url, max_queue=1, close_timeout=0) as client:
        await client.send('{"t":"hello","id":"h","token":"dev:silent"}')
        await client.recv()
        client.transport.pause_reading()
        yield
        client.transport.abort()


def drains(machine: Workers) -> list[float]:
    """Seconds that each worker has drained, by its own log lines."""
    stopped = {line["node"]: datetime.fromisoformat(line["timestamp"]) for line in machine.events("server.stopped")}
    return [
        (stopped[line["node"]] - datetime.fromisoformat(line["timestamp"])).total_seconds()
        for line in machine.events("server.draining")
    ]


def until_readyz(machine: Workers, notes: list[str]) -> None:
    """Until a worker says this of the others; one that hangs may be asked too, and says nothing."""
    deadline = time.monotonic() + BACK_S
    while machine.readyz() != (200, json.dumps({"ready": True, "reasons": [], "notes": notes}, separators=(",", ":"))):
        assert time.monotonic() < deadline, machine.readyz()
        time.sleep(0.05)


async def say(player: Outside, text: str) -> None:
    sent = await player.ask("chat.send", channel="room:a", text=text)
    assert sent["t"] == "chat.sent", sent


async def test_players_on_different_workers_are_in_one_conversation(machine: Workers) -> None:
    async with on_each(machine) as players:
        for player in players:
            joined = await player.ask("chat.join", channel="room:a")
            assert joined["t"] == "chat.joined", joined
        await say(players[0], "from the one")
        await say(players[-1], "from the other")
        for player in players:
            await player.until(lambda _, player=player: len(player.lines(TALK)) == 2)  # type: ignore[misc]
            assert player.lines(TALK) == [(1, "from the one"), (2, "from the other")]


async def test_a_killed_worker_is_replaced_and_nothing_acknowledged_is_lost(machine: Workers) -> None:
    async def kill() -> None:
        os.kill(machine.worker_pids()[0], signal.SIGKILL)
        await asyncio.to_thread(machine.wait_event, "worker.started", 3)
        await asyncio.to_thread(machine.wait_ready)

    async with crowd([machine], NAMES) as players:
        for player in players:
            await player.join(*ROOMS)
        await talk_through(players, ROOMS, kill)
        await assert_one_history(players, ROOMS)
        assert max(player.longest_wait_s for player in players) < BACK_S, "nobody waits for the lease of the dead"

    (ended,) = machine.events("worker.ended")
    assert (ended["worker"], ended["code"]) == (0, 128 + signal.SIGKILL)
    names = {line["node"] for line in machine.events("lease.taken")}
    base = ended["node"]
    assert names == {f"{base}.0", f"{base}.1", f"{base}.0.2"}, "every life of a worker is a node of its own"
    assert await asyncio.to_thread(machine.terminate) == 0


async def test_a_worker_that_hangs_is_killed_with_the_reason_and_replaced_and_the_other_goes_on(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    with workers(tmp_path, mysql_url, redis_url, "--lease", str(LEASE_S), more=SOON) as machine:
        async with on_each(machine) as players:
            os.kill(machine.worker_pids()[0], signal.SIGSTOP)
            await asyncio.to_thread(until_readyz, machine, [f"worker 0: {SILENT}"])
            closed = [asyncio.ensure_future(player.closed()) for player in (players[0], players[-1])]
            (done,), (going_on,) = await asyncio.wait(closed, return_when=asyncio.FIRST_COMPLETED)
            assert done.result() == 1006
            going_on.cancel()
            well = (players[0], players[-1])[closed.index(going_on)]
            joined = await well.ask("chat.join", channel="room:a")
            assert joined["t"] == "chat.joined", joined
            await asyncio.to_thread(machine.wait_event, "worker.started", 3)
            await asyncio.to_thread(machine.wait_ready)

        (hangs,) = machine.events("worker.hangs")
        (ended,) = machine.events("worker.ended")
        assert (hangs["worker"], hangs["silent_s"]) == (0, SILENCE_S)
        assert (ended["worker"], ended["code"]) == (0, 128 + signal.SIGKILL)
        assert await asyncio.to_thread(machine.terminate) == 0


async def test_sigterm_drains_all_and_every_log_line_tells_its_node(machine: Workers) -> None:
    async with on_each(machine) as players:
        assert await asyncio.to_thread(machine.terminate) == 0, machine.tail()
        assert {await player.closed() for player in players} == {4000}

    assert len(machine.events("server.stopped")) == 2
    supervisor = machine.events("supervisor.stopped")[0]["node"]
    assert {line["node"] for line in machine.lines()} == {supervisor, f"{supervisor}.0", f"{supervisor}.1"}


async def test_a_sigterm_that_all_processes_get_is_one_and_hurries_nobody(machine: Workers) -> None:
    """A service manager sends SIGTERM to each process of the unit, and the supervisor passes its own on."""
    async with silent(machine.url):
        machine.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(machine.wait_event, "server.draining", 2)
        for pid in machine.worker_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert await asyncio.to_thread(machine.process.wait, 60) == 0, machine.tail()
    assert max(drains(machine)) >= LAST_WORDS_S


async def test_a_second_sigterm_hurries_all(machine: Workers) -> None:
    async with silent(machine.url):
        machine.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(machine.wait_event, "server.draining", 2)
        assert await asyncio.to_thread(machine.terminate) == 0, machine.tail()
    assert max(drains(machine)) < LAST_WORDS_S


async def test_workers_end_in_order_when_their_supervisor_is_killed(machine: Workers) -> None:
    async with on_each(machine) as players:
        pids = machine.worker_pids()
        await asyncio.to_thread(machine.kill)
        assert {await player.closed() for player in players} == {4000}
        for pid in pids:
            assert await asyncio.to_thread(gone, pid, ENDED_S), machine.tail()

    assert len(machine.events("supervisor.lost")) == 2
    assert len(machine.events("server.stopped")) == 2


async def test_a_worker_that_drains_gets_no_new_players_and_is_replaced(machine: Workers) -> None:
    """Staff drains one; its port is shared, and the other has it alone until there are two again."""
    async with silent(machine.url):  # the drain lasts, where it comes to this worker
        node = next(line["node"] for line in machine.events("lease.taken"))
        await asyncio.to_thread(staff_call, machine, "POST", f"/v1/nodes/{node}/drain", {})
        await asyncio.to_thread(machine.wait_event, "server.draining")
        for n in range(20):
            async with outside(machine.url, f"new{n}") as player:
                assert player.welcome["t"] == "welcome", player.welcome
    await asyncio.to_thread(machine.wait_event, "worker.started", 3)
    await asyncio.to_thread(machine.wait_ready)
    assert [line["code"] for line in machine.events("worker.ended")] == [0]
    assert await asyncio.to_thread(machine.terminate) == 0


def test_ports_that_other_workers_have_are_not_shared_with_them(machine: Workers, tmp_path: Path) -> None:
    other = Workers(tmp_path, machine.option("--store"), machine.option("--bus"))
    other.log = tmp_path / "other.log"
    other.gateway_port = machine.gateway_port
    other.start(wait=False)

    assert other.process.wait(timeout=60) == 1
    assert f"guildhall: port {machine.gateway_port} at 127.0.0.1 is in use" in other.tail()


def test_workers_without_a_database_that_they_can_share_are_refused_with_the_reason(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "server", "serve", "--dev", "--workers", "2", "--store", f"sqlite:///{tmp_path}/x.db"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert refused.returncode == 2
    assert refused.stderr == (
        "guildhall: node.workers is 2: workers are nodes of one cluster and need a database server; "
        "allowed for store.url: mysql://USER:PASSWORD@HOST:PORT/NAME\n"
    )
