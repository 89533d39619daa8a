"""Several nodes behind one port: who is started again and when, what the supervisor passes on, and how it all ends."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from random import Random

import msgspec
import pytest
from structlog.testing import capture_logs

from actors.runtime.clock import SystemClock
from loadtest.ports import free_ports
from server.config import BusConfig, Config, ConfigError, Gateway, Http, NodeConfig, StoreConfig
from server.workers.place import Worker, WorkersFailed, check_workers, parse_worker, stop_s, worker_name
from server.workers.ports import held_ports
from server.workers.process import start_process
from server.workers.supervisor import AT_ONCE_S, AT_ONCE_TIMES, LONGEST_PAUSE_S, Child, Restarts, Supervisor
from tests.server.puppets import Stage
from tests.support.clock import FakeClock, settle

STOP_S = 30.0
SILENCE_S = 20.0
SHARED = {"store": StoreConfig("mysql://u:p@h/d"), "bus": BusConfig("redis://h/0")}


# Restarts.
@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def restarts(clock: FakeClock) -> Restarts:
    return Restarts(clock, Random(1))


def test_a_worker_that_has_lived_is_started_again_soon(clock: FakeClock, restarts: Restarts) -> None:
    for _ in range(3 * AT_ONCE_TIMES):
        restarts.began()
        clock.spend(AT_ONCE_S)
        pause = restarts.ended(137)
        assert pause is not None
        assert 0 < pause <= 0.5


def test_one_that_ends_at_once_waits_longer_each_time_and_is_given_up_in_the_end(restarts: Restarts) -> None:
    pauses = []
    for _ in range(AT_ONCE_TIMES):
        restarts.began()
        pauses.append(restarts.ended(1))

    assert pauses[-1] is None
    waits = [pause for pause in pauses if pause is not None]
    assert len(waits) == AT_ONCE_TIMES - 1
    assert all(2**n / 4 <= wait <= min(2**n / 2, LONGEST_PAUSE_S) for n, wait in enumerate(waits))


def test_a_long_life_forgives_the_short_ones_before_it(clock: FakeClock, restarts: Restarts) -> None:
    for _ in range(AT_ONCE_TIMES - 1):
        restarts.began()
        assert restarts.ended(1) is not None
    restarts.began()
    clock.spend(AT_ONCE_S)
    assert restarts.ended(1) is not None
    restarts.began()
    assert restarts.ended(1) is not None


def test_wrong_settings_are_not_tried_again(restarts: Restarts) -> None:
    restarts.began()
    assert restarts.ended(2) is None


# The supervisor.
@pytest.fixture
def stage() -> Stage:
    return Stage()


class Running:
    """A supervisor at work."""

    def __init__(self, supervisor: Supervisor, task: "asyncio.Task[int]") -> None:
        self.supervisor = supervisor
        self._task = task

    async def code(self) -> int:
        """Its exit code; only once nothing but it has to go on."""
        await settle()
        assert self._task.done()
        return await self._task

    @property
    def ended(self) -> bool:
        return self._task.done()


@pytest.fixture
async def running(stage: Stage, clock: FakeClock) -> AsyncIterator[Running]:
    supervisor = Supervisor(2, stage.start, clock, Random(1), stop_s=STOP_S, silence_s=SILENCE_S)
    task = asyncio.create_task(supervisor.run())
    await settle()
    yield Running(supervisor, task)
    task.cancel()
    await asyncio.wait([task])


async def test_a_worker_that_dies_is_started_again_and_the_other_goes_on(
    running: Running, stage: Stage, clock: FakeClock
) -> None:
    stage.puppets[1].end(-signal.SIGKILL)
    await clock.advance(1.0)

    assert stage.started == [(0, 1), (1, 1), (1, 2)]
    assert stage.puppets[0].signals == []


async def test_all_are_told_to_drain_and_it_ends_when_they_have(running: Running, stage: Stage) -> None:
    running.supervisor.stop()

    assert await running.code() == 0
    assert [puppet.signals for puppet in stage.puppets] == [[signal.SIGTERM], [signal.SIGTERM]]


async def test_a_second_stop_hurries_all(running: Running, stage: Stage) -> None:
    for puppet in stage.puppets:
        puppet._stubborn = True
    running.supervisor.stop()
    running.supervisor.stop()

    assert [puppet.signals for puppet in stage.puppets] == 2 * [[signal.SIGTERM, signal.SIGINT]]
    for puppet in stage.puppets:
        puppet.end(0)
    assert await running.code() == 0


async def test_the_worst_exit_code_is_the_whole_ones(running: Running, stage: Stage) -> None:
    for puppet in stage.puppets:
        puppet._stubborn = True
    running.supervisor.stop()
    stage.puppets[0].end(-signal.SIGSEGV)
    await settle()
    assert not running.ended, "it waits for all"
    stage.puppets[1].end(1)

    assert await running.code() == 128 + signal.SIGSEGV


@pytest.mark.parametrize("code", [-signal.SIGTERM, -signal.SIGINT, 130])
async def test_one_that_is_told_before_it_was_up_or_when_it_was_done_has_ended_well(
    running: Running, stage: Stage, code: int
) -> None:
    for puppet in stage.puppets:
        puppet._stubborn = True
    running.supervisor.stop()
    for puppet in stage.puppets:
        puppet.end(code)

    assert await running.code() == 0


async def test_one_that_does_not_end_in_time_is_killed(running: Running, stage: Stage, clock: FakeClock) -> None:
    stage.puppets[1]._stubborn = True
    running.supervisor.stop()
    await clock.advance(STOP_S - 0.1)
    assert not running.ended
    await clock.advance(0.1)

    assert await running.code() == 128 + signal.SIGKILL


async def test_nobody_is_started_again_while_all_stop(running: Running, stage: Stage, clock: FakeClock) -> None:
    stage.puppets[1].end(1)
    await settle()
    running.supervisor.stop()

    assert await running.code() == 0
    await clock.advance(60.0)
    assert stage.started == [(0, 1), (1, 1)]


async def test_one_that_is_being_started_while_all_stop_is_told_too(clock: FakeClock) -> None:
    class Slow(Stage):
        async def start(self, number: int, times: int) -> "object":  # type: ignore[override]
            await clock.sleep(1.0)
            return await super().start(number, times)

    stage = Slow()
    supervisor = Supervisor(1, stage.start, clock, Random(1), stop_s=STOP_S, silence_s=SILENCE_S)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(supervisor.run())
        await settle()
        supervisor.stop()
        await clock.advance(1.0)
        await settle()
    assert task.result() == 0
    assert stage.puppets[0].signals == [signal.SIGTERM]


async def test_one_that_cannot_be_kept_running_ends_all_with_the_reason(
    running: Running, stage: Stage, clock: FakeClock
) -> None:
    for _ in range(AT_ONCE_TIMES):
        stage.puppets[-1].end(1)
        await clock.advance(LONGEST_PAUSE_S)

    with pytest.raises(WorkersFailed, match=r"worker 1 ended 5 times in a row .* exit code 1"):
        await running.code()
    assert stage.puppets[0].signals == [signal.SIGTERM]


async def test_settings_that_a_worker_refuses_end_all_as_wrong_settings(running: Running, stage: Stage) -> None:
    stage.puppets[0].end(2)

    with pytest.raises(ConfigError, match="worker 0 refused its settings"):
        await running.code()
    assert stage.puppets[1].signals == [signal.SIGTERM]


async def test_other_signals_are_passed_on_and_stop_nobody(running: Running, stage: Stage) -> None:
    running.supervisor.pass_on(signal.SIGHUP)
    await settle()

    assert [puppet.signals for puppet in stage.puppets] == [[signal.SIGHUP], [signal.SIGHUP]]
    assert not running.ended


# Silence.
async def test_one_whose_loop_is_silent_shows_its_stacks_is_killed_and_started_again(
    running: Running, stage: Stage, clock: FakeClock
) -> None:
    stage.puppets[1].beats = False
    with capture_logs() as logged:
        await clock.advance(SILENCE_S - 0.1)
        assert stage.puppets[1].signals == []
        await clock.advance(0.2)
        assert stage.puppets[1].signals == [signal.SIGUSR1]
        await clock.advance(2.0)

    assert stage.puppets[1].signals == [signal.SIGUSR1, signal.SIGKILL]
    assert stage.started == [(0, 1), (1, 1), (1, 2)]
    assert stage.puppets[0].signals == []
    assert [(line["event"], line.get("worker")) for line in logged] == [
        ("worker.hangs", 1),
        ("worker.ended", 1),
        ("worker.started", 1),
    ]
    assert logged[0]["silent_s"] == SILENCE_S


async def test_one_that_is_heard_again_in_time_goes_on(running: Running, stage: Stage, clock: FakeClock) -> None:
    for _ in range(3):
        stage.puppets[1].beats = False
        await clock.advance(SILENCE_S - 1.5)
        stage.puppets[1].beats = True
        await clock.advance(1.0)

    assert stage.puppets[1].signals == []
    assert not running.ended


async def test_nobody_is_silent_because_the_whole_machine_was_stopped(
    running: Running, stage: Stage, clock: FakeClock
) -> None:
    """The supervisor wakes first: the workers have had no time to be heard."""
    stage.puppets[1].beats = False
    clock.spend(10 * SILENCE_S)
    await clock.advance(2.0)

    assert stage.puppets[1].signals == []


async def test_one_that_has_been_told_to_stop_may_be_silent_at_its_end(
    running: Running, stage: Stage, clock: FakeClock
) -> None:
    for puppet in stage.puppets:
        puppet._stubborn = True
        puppet.beats = False
    running.supervisor.stop()
    await clock.advance(SILENCE_S + 5.0)

    assert [puppet.signals for puppet in stage.puppets] == 2 * [[signal.SIGTERM]]
    for puppet in stage.puppets:
        puppet.end(0)
    assert await running.code() == 0


async def test_a_process_whose_loop_hangs_says_where_and_is_killed(capfd: pytest.CaptureFixture[str]) -> None:
    lifeline, kept = os.pipe()
    command = (sys.executable, "-m", "tests.support.hanging_worker")
    starts = []

    async def start(number: int, times: int) -> Child:
        starts.append(times)
        place = Worker(number=number, name="a", gateway_port=1, http_port=2, own_ports=(3,))
        seconds = 1.5 if times == 1 else 60.0
        return await start_process((*command, str(seconds)), place, lifeline)

    supervisor = Supervisor(1, start, SystemClock(), Random(1), stop_s=STOP_S, silence_s=3.0)
    began = time.monotonic()
    try:
        async with asyncio.timeout(18.0), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(supervisor.run())
            while len(starts) < 2:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
            took = time.monotonic() - began
            supervisor.stop()
            assert await running == 0
    finally:
        os.close(kept)
        os.close(lifeline)

    assert took > 1.5 + 3.0 - 1.0
    said = capfd.readouterr().err
    assert "stuck_here" in said
    assert said.count("most recent call first") == 2, "also the thread that waits for the supervisor's end"


# Places.
def test_a_name_tells_the_worker_and_its_life_and_is_not_too_long() -> None:
    assert worker_name("game-a", 0, 1) == "game-a.0"
    assert worker_name("game-a", 0, 2) == "game-a.0.2"
    assert worker_name("x" * 64, 11, 123) == "x" * 57 + ".11.123"


def test_a_worker_has_the_settings_of_all_with_its_own_name_and_the_ports_that_were_bound() -> None:
    written = Worker(number=1, name="a.1", gateway_port=7, http_port=8, own_ports=(9, 10))
    place = parse_worker(msgspec.json.encode(written).decode())
    config = place.settings(Config(gateway=Gateway(drain_s=3), **SHARED))  # type: ignore[arg-type]

    assert (config.node.name, config.gateway.port, config.http.port, place.own_port) == ("a.1", 7, 8, 10)
    assert (config.gateway.drain_s, config.store) == (3, SHARED["store"])


@pytest.mark.parametrize("text", ["", "1", "{}", '{"number": "x"}'])
def test_a_place_that_no_supervisor_wrote_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="use --workers N"):
        parse_worker(text)


def with_workers(workers: int, **sections: object) -> Config:
    return Config(node=NodeConfig(workers=workers), **{**SHARED, **sections})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"store": StoreConfig("sqlite:///x.db")}, "need a database server; allowed for store.url: mysql://"),
        ({"bus": BusConfig("local:")}, "need a bus between processes; allowed for bus.url: redis://"),
        ({"gateway": Gateway(port=7353)}, "gateway.port 7353 is one of the workers' own HTTP ports, 7352 to 7353"),
        ({"http": Http(staff_address="127.0.0.1:7352")}, "http.staff_address 7352 is one of the workers'"),
        ({"http": Http(port=65534)}, "http.port 65534 leaves no ports for 2 workers after it"),
    ],
)
def test_settings_that_workers_cannot_share_are_refused(sections: dict[str, object], reason: str) -> None:
    check_workers(with_workers(2))
    check_workers(with_workers(1, **sections))
    with pytest.raises(ConfigError, match=reason):
        check_workers(with_workers(2, **sections))


def test_a_worker_has_ended_before_whoever_supervises_the_whole_loses_patience() -> None:
    assert stop_s(10.0) == 35.0


# Ports.
def test_the_shared_ports_are_held_and_every_worker_has_one_of_its_own() -> None:
    with held_ports(with_workers(3, gateway=Gateway(port=0), http=Http(port=0))) as ports:
        assert len({ports.gateway, ports.http, *ports.own}) == 5
        with socket.socket() as worker, socket.socket() as stranger:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", ports.gateway))
            with pytest.raises(OSError, match="in use"):
                stranger.bind(("127.0.0.1", ports.gateway))


def test_a_port_that_others_would_share_with_us_is_in_use() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} at 127.0.0.1 is in use"):
            with held_ports(with_workers(2, gateway=Gateway(port=port), http=Http(port=0))):
                pass


def test_a_port_of_one_worker_that_is_in_use_is_found_before_any_is_started() -> None:
    shared = free_ports(2)
    with socket.create_server(("127.0.0.1", shared + 1)):
        with pytest.raises(OSError, match=f"port {shared + 1} at 127.0.0.1 is in use"):
            with held_ports(with_workers(2, gateway=Gateway(port=0), http=Http(port=shared))):
                pass
