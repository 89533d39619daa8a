"""Whole runs of the load tester as an operator has them: a command, a server, an exit code, a report."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct
from websockets.asyncio.server import ServerConnection, serve

from loadtest.cli import main
from loadtest.figures import Count, State
from loadtest.outcome import Outcome
from loadtest.ports import free_port
from loadtest.reporting import encode, read_outcome, render
from tests.loadtest.outcomes import failed, outcome
from tests.support.nodes import ROOT, NodeProcess, node

BOTTLENECK = "the tester was the bottleneck"
RUN_S = 60.0  # for a run of a few seconds on a busy machine
QUICK = ("--duration", "3s", "--ramp", "1s", "--network", "perfect")
LONGER = ("--duration", "8s", *QUICK[2:])
"""Where something has to have been said by then, though a process of players takes seconds to begin."""


class Ran(Struct):
    """What came of a command."""

    code: int
    said: str
    outcome: Outcome | None


def ran(folder: Path, *arguments: str) -> Ran:
    """Run the load tester to its end."""
    report = folder / "report.html"
    done = subprocess.run(
        [*command("run", *arguments), "--report", str(report)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    return Ran(done.returncode, done.stdout + done.stderr, read_outcome(report) if report.exists() else None)


def wrong(outcome: Outcome) -> list[str]:
    """Why it did not pass, but for this machine, whose other core runs other tests: on it players may arrive late."""
    late = any(reason.startswith(BOTTLENECK) for reason in outcome.reasons)
    excused = (BOTTLENECK, "players.online is ") if late else ()
    return [reason for reason in outcome.reasons if not reason.startswith(excused)]


def command(*arguments: str) -> list[str]:
    """As a shell would run it."""
    return [sys.executable, "-m", "loadtest", *arguments]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[NodeProcess]:
    with node(tmp_path, "served", "--store", f"sqlite:///{tmp_path / 'store.db'}", "--limits", "off") as running:
        yield running


@pytest.mark.timeout(90)
def test_an_evening_of_two_processes_adds_up_and_divides_no_guild(served: NodeProcess, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    options = ("--players", "60", "--processes", "2", "--history", str(history))

    done = ran(tmp_path, "evening", "--url", served.url, "--http", served.http, *options, *LONGER)

    assert done.outcome is not None
    outcome = done.outcome
    assert wrong(outcome) == [], done.said
    assert done.code == (0 if outcome.passed else 1)
    assert ("PASSED" if outcome.passed else "FAILED") in done.said
    assert outcome.setting.processes == len(outcome.tester.cpu) == 2
    assert outcome.players[State.ONLINE] == outcome.counts[Count.SIGN_INS] == 60
    assert outcome.counts[Count.ASKED] == outcome.counts[Count.ANSWERED] > 200
    assert outcome.counts[Count.HEARD] > 60
    assert outcome.verdict is not None
    assert outcome.verdict.good
    assert outcome.verdict.judged["order"] > 60
    assert outcome.verdict.judged["membership"] == 60
    assert outcome.server[0].moments[-1].sessions == 60
    assert history.read_text().count('"guild.created"') == 2


@pytest.mark.timeout(90)
def test_a_server_that_withholds_one_event_in_many_is_caught_and_the_event_named(tmp_path: Path) -> None:
    os.environ["TEST_DROP_ONE_IN"] = "100"
    try:
        withholding = NodeProcess(
            tmp_path, "withholding", "--store", f"sqlite:///{tmp_path / 's.db'}", "--limits", "off"
        )
        withholding.module = "tests.loadtest.dropping"
        withholding.start()
    finally:
        del os.environ["TEST_DROP_ONE_IN"]
    try:
        done = ran(tmp_path, "evening", "--url", withholding.url, "--players", "60", *LONGER)
    finally:
        withholding.stop()

    assert done.code == 1, done.said
    assert done.outcome is not None
    assert done.outcome.verdict is not None
    [finding, *_] = done.outcome.verdict.findings
    assert set(done.outcome.verdict.found) == {"order"}
    assert len([reason for reason in wrong(done.outcome) if "order" in reason]) == 1, done.outcome.reasons
    assert finding.says in {"an event is missing", "the last events were never heard"}
    assert finding.player
    assert finding.topic.startswith(("chat:guild:", "guild:"))
    assert finding.expected.startswith("event ")
    assert finding.topic in done.said
    kept = Path(done.outcome.history)
    assert kept.parent == tmp_path
    assert '"chat.message"' in kept.read_text()


# A run that did not happen is never green.
def test_a_server_that_is_away_is_said_at_once(tmp_path: Path) -> None:
    url = f"ws://127.0.0.1:{free_port()}/ws"

    done = ran(tmp_path / "made" / "for it", "evening", "--url", url, "--players", "10", "--duration", "10m")

    assert done.code == 1
    assert f"nobody answers at {url}" in done.said
    assert done.outcome is not None
    assert not done.outcome.passed
    assert not done.outcome.counts


async def test_a_server_of_another_version_is_said_at_once(tmp_path: Path) -> None:
    async def refuse(connection: ServerConnection) -> None:
        await connection.close(4505, "none of the offered subprotocols is known")

    async with serving(refuse) as url:
        done = await asyncio.to_thread(ran, tmp_path, "evening", "--url", url, "--players", "10")

    assert done.code == 1
    assert "4505" in done.said
    assert done.outcome is not None
    assert not done.outcome.passed


@asynccontextmanager
async def serving(handler: object) -> AsyncIterator[str]:
    """A WebSocket server that is none of ours."""
    async with serve(handler, "127.0.0.1", 0) as server:  # type: ignore[arg-type]
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws"


def test_a_wrong_token_is_said_at_once(served: NodeProcess, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("\n".join(["nonsense"] * 10))

    done = ran(tmp_path, "evening", "--url", served.url, "--players", "10", "--tokens", f"file:{tokens}", *QUICK)

    assert done.code == 1
    assert "takes no player of ours" in done.said
    assert "auth.invalid" in done.said


@pytest.mark.timeout(90)
def test_players_who_are_refused_are_counted_and_the_run_has_not_passed(served: NodeProcess, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("\n".join(f"dev:p{n}" if n % 2 == 0 else "nonsense" for n in range(40)))

    done = ran(tmp_path, "evening", "--url", served.url, "--players", "40", "--tokens", f"file:{tokens}", *QUICK)

    assert done.code == 1
    assert done.outcome is not None
    assert sum(done.outcome.refused.values()) == done.outcome.players[State.REFUSED] == 20
    assert done.outcome.players[State.ONLINE] == 20
    assert any("refused" in reason for reason in done.outcome.reasons)


@pytest.mark.timeout(90)
def test_a_scenario_that_fails_is_named_with_its_error(served: NodeProcess, tmp_path: Path) -> None:
    scenario = tmp_path / "broken.py"
    scenario.write_text(
        '"""Broken."""\n'
        "from loadtest.scenario import Scenario\n"
        "async def play(me):\n"
        "    raise KeyError('sword')\n"
        "async def direct(stage):\n"
        "    raise ValueError('no boss')\n"
        "SCENARIO = Scenario(play=play, direct=direct)\n"
    )

    done = ran(tmp_path, str(scenario), "--url", served.url, "--players", "5", *QUICK)

    assert done.code == 1
    assert "the scenario failed for 5 players: KeyError: 'sword'" in done.said
    assert "the scenario's director failed: ValueError: no boss" in done.said


@pytest.mark.timeout(90)
def test_a_guild_whose_founder_fails_is_founded_by_the_next(served: NodeProcess, tmp_path: Path) -> None:
    """Those who waited for the founder's answer once stood there until the end, online and silent."""
    scenario = tmp_path / "first_fails.py"
    scenario.write_text(
        '''"""The first answer never comes."""
from loadtest.players.homes import FOUNDING, home
from loadtest.players.player import GaveUp
from loadtest.scenario import Scenario, exponential

async def play(me):
    if not me.shared:
        ask = me.ask
        async def give_up(t, **fields):
            me.ask = ask
            await me.rest(1.0)
            raise GaveUp(t)
        me.ask = give_up
    guild = await home(me)
    async for _ in me.moments(exponential(1.0)):
        await me.say(f"guild:{guild}")

SCENARIO = Scenario(play=play)
'''
    )

    done = ran(tmp_path, str(scenario), "--url", served.url, "--players", "10", *QUICK)

    assert done.outcome is not None
    assert done.outcome.verdict is not None
    assert done.outcome.verdict.judged["membership"] >= 9  # the first may still be waiting to try again
    assert done.outcome.verdict.good


@pytest.mark.timeout(90)
def test_a_deploy_in_which_no_node_was_replaced_has_not_passed(served: NodeProcess, tmp_path: Path) -> None:
    done = ran(tmp_path, "deploy", "--url", served.url, "--players", "5", *QUICK)

    assert done.code == 1
    assert "no node was replaced: that needs --serve, or --replace COMMAND for each node" in done.said


@pytest.mark.timeout(90)
def test_ctrl_c_ends_the_run_cleanly_with_a_report(served: NodeProcess, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    options = ("--url", served.url, "--http", served.http, "--players", "30", "--duration", "10m", "--ramp", "1s")
    with subprocess.Popen(
        [*command("run", "evening", *options, "--network", "perfect", "--report", str(report))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            until_online(served, 30)
            running.send_signal(signal.SIGINT)
            said, _ = running.communicate(timeout=RUN_S)
        finally:
            running.kill()

    outcome = read_outcome(report)
    assert outcome.interrupted
    assert outcome.verdict is not None
    assert outcome.verdict.good
    assert 0 < outcome.counts[Count.SIGN_INS] <= 30
    assert outcome.played_s < 300
    assert "stopped" in said
    assert (running.returncode == 0) == outcome.passed


def until_online(served: NodeProcess, sessions: int) -> None:
    """Wait until so many sessions are there."""
    deadline = time.monotonic() + RUN_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{served.http}/metrics", timeout=5) as answer:
            if f"guildhall_connections {float(sessions)}" in answer.read().decode():
                return
        time.sleep(0.05)
    raise AssertionError("the players did not come")


# What is asked wrongly is refused before anybody plays.
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonesuch", "--serve", "1"], "there is no scenario 'nonesuch'; there are closed-loop, deploy, evening"),
        (["evening"], "say where to play"),
        (["evening", "--url", "ws://a/ws", "--serve", "1"], "say where to play"),
        (["evening", "--url", "http://127.0.0.1:1"], "an address is ws://HOST:PORT/ws"),
        (["evening", "--serve", "1", "--network", "carrier-pigeon"], "there is no network 'carrier-pigeon'"),
        (["evening", "--serve", "1", "--network", "wifi=much"], "is not NAME or NAME=SHARE"),
        (["evening", "--serve", "1", "--tokens", "secret"], "tokens are dev, jwt:FILE or file:FILE"),
        (["evening", "--serve", "1", "--tokens", "file:/nowhere"], "/nowhere: No such file"),
        (["evening", "--serve", "1", "--slo", "/nowhere"], "--slo /nowhere: No such file"),
        (["evening", "--serve", "1", "--duration", "5s", "--ramp", "9s"], "it is over after 5 s"),
        (["evening", "--serve", "1", "--duration", "soon"], "'soon' is no duration"),
        (["evening", "--serve", "1", "--players", "0"], "'0' is not a number above 0"),
        (["evening", "--serve", "1", "--report", "/dev/null/report.html"], "--report /dev/null/report.html: "),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(
    arguments: Sequence[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"

    try:
        code = main(["run", "--report", str(report), *arguments])
    except SystemExit as ended:  # as argparse ends a program
        code = int(str(ended.code))

    assert code == 2
    assert says in capsys.readouterr().err
    assert not report.exists()


# The other commands.
def test_the_scenarios_are_listed_with_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "subway       The subway: tunnels" in capsys.readouterr().out


def test_two_reports_are_compared_and_a_worse_later_one_is_not_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.html"
    before.write_bytes(encode(outcome()))
    after.write_text(render(failed()))

    assert main(["compare", str(before), str(before)]) == 0
    assert main(["compare", str(before), str(after)]) == 1
    assert "WORSE: the verdict" in capsys.readouterr().out


def test_what_is_no_report_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("{}")

    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "nowhere.json")]) == 2
    assert "a.json" in capsys.readouterr().err
