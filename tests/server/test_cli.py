"""The command: which settings reach the node, what it prints, and how it ends."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from server.cli import App, main
from server.config import Config, ConfigError
from server.config_reference import reference
from server.doctor import Finding
from server.workers.place import Worker
from storage import MigrationMismatch, StoreDown, StoreLocked
from tests.server.jwt_kit import SECRET

ROOT = Path(__file__).parents[2]
KEYS = json.dumps([{"kid": "k1", "alg": "HS256", "secret": SECRET}])


class RecordingApp:
    """Stands where ``server.app`` does: notes the settings it gets, and ends as it is told."""

    def __init__(self, fails: BaseException | None = None, code: int = 0) -> None:
        self.fails = fails
        self.code = code
        self.config: Config | None = None
        self.loop = ""
        self.worker: Worker | None = None
        self.findings: list[Finding] = []

    async def serve(self, config: Config, *, worker: Worker | None = None) -> int:
        self.worker = worker
        self.loop = type(asyncio.get_running_loop()).__module__
        self._note(config)
        return self.code

    async def migrate(self, config: Config) -> list[str]:
        self._note(config)
        return ["players 1", "guild 1"]

    async def inspect(self, config: Config, kind: str, key: str) -> dict[str, Any]:
        self._note(config)
        return {"actor": f"{kind}:{key}", "fence": 3, "digest": b"\1"}

    async def doctor(self, config: Config) -> list[Finding]:
        self._note(config)
        return self.findings

    def _note(self, config: Config) -> None:
        self.config = config
        if self.fails is not None:
            raise self.fails


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("GUILDHALL_"):
            monkeypatch.delenv(name)


def loads(app: RecordingApp) -> Callable[[], App]:
    return lambda: app


def no_app() -> App:
    raise AssertionError("wrong settings are answered before the node is loaded")


@pytest.mark.parametrize("argv", [["--dev"], ["serve", "--dev"], ["--dev", "serve"]], ids=" ".join)
def test_serving_is_what_happens_without_a_command(argv: list[str]) -> None:
    app = RecordingApp()

    assert main(argv, load_app=loads(app)) == 0
    assert app.config is not None
    assert app.config.auth.dev
    assert app.loop == "uvloop"


def test_options_reach_the_node_from_both_sides_of_the_command() -> None:
    app = RecordingApp()

    main(
        ["--gateway-port", "0", "--dev", "serve", "--http-port", "9", "--limits", "off", "--lease", "2"],
        load_app=loads(app),
    )

    assert app.config is not None
    assert (app.config.gateway.port, app.config.http.port) == (0, 9)
    assert (app.config.limits.enabled, app.config.node.lease_s) == ("off", 2.0)


def test_the_nodes_exit_code_is_the_commands() -> None:
    assert main(["--dev"], load_app=loads(RecordingApp(code=1))) == 1


@pytest.mark.parametrize(
    "argv",
    [
        ["--colour", "red"],
        ["--gateway-port", "x"],
        ["--gateway-port"],
        ["--gateway", "1"],
        ["--limits", "maybe"],
        ["--dev", "--host", "0.0.0.0"],
        ["--config", "/no/such.toml"],
        ["--dev", "--store", "mysql://x"],
        ["--dev", "--bus", "redis://x/y"],
        ["fly"],
        ["inspect", "guild"],
        ["token", "ann", "--ttl", "0"],
        ["token", "ann"],
        ["--dev", "token", "a b"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_settings_are_one_line_and_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv, load_app=no_app) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("guildhall: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "fails",
    [
        StoreLocked("data/guildhall.db is in use by another process"),
        StoreDown(),
        MigrationMismatch("guild 3 was\nchanged"),
        OSError(98, "Address already in use"),
        ExceptionGroup("a part failed", [ExceptionGroup("inside", [StoreDown("gone")])]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_that_an_operator_can_act_on_is_one_line_and_exit_code_1(
    fails: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--dev"], load_app=loads(RecordingApp(fails))) == 1

    err = capsys.readouterr().err
    assert err.startswith("guildhall: ")
    assert err.count("\n") == 1
    assert len(err) > len("guildhall: \n")


def test_settings_that_prove_wrong_only_when_used_are_exit_code_2() -> None:
    app = RecordingApp(ExceptionGroup("a part failed", [ConfigError("no such file")]))

    assert main(["--dev"], load_app=loads(app)) == 2


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        main(["--dev"], load_app=loads(RecordingApp(ZeroDivisionError())))


def test_an_interrupt_ends_without_a_traceback() -> None:
    assert main(["--dev"], load_app=loads(RecordingApp(KeyboardInterrupt()))) == 130


def test_migrate_prints_what_it_applied(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate"], load_app=loads(RecordingApp())) == 0
    assert capsys.readouterr().out == "players 1\nguild 1\n"


def test_inspect_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "guild", "42"], load_app=loads(RecordingApp())) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"actor": "guild:42", "fence": 3, "digest": "b'\\x01'"}


def test_token_prints_one_that_the_configured_key_verifies(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUILDHALL_AUTH_KEYS", KEYS)

    assert main(["token", "ann", "--ttl", "60", "--name", "Ann"], load_app=no_app) == 0

    claims = jwt.decode(capsys.readouterr().out.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["name"], claims["exp"] - claims["iat"]) == ("ann", "Ann", 60)


def test_config_reference_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config-reference"], load_app=no_app) == 0
    assert capsys.readouterr().out == reference()


def test_help_names_the_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in ("serve", "migrate", "token", "inspect", "--gateway-port", "--dev", "--lease"):
        assert word in text


def test_the_module_can_be_run_and_answers_wrong_settings_by_its_exit_code() -> None:
    environ = {**os.environ, "GUILDHALL_COLOUR": "red"}
    ran = subprocess.run(
        [sys.executable, "-m", "server"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 2
    assert ran.stderr.startswith("guildhall: GUILDHALL_COLOUR is unknown")


def test_the_doctor_says_what_it_found_and_fails_where_something_differs(capsys: pytest.CaptureFixture[str]) -> None:
    app = RecordingApp()
    app.findings = [
        Finding("leaderboard arena: 3 in both", well=True),
        Finding("leaderboard duel: 1 different", well=False),
    ]

    assert main(["doctor"], load_app=loads(app)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok   leaderboard arena: 3 in both",
        "LOOK leaderboard duel: 1 different",
    ]


def test_the_doctor_is_content_with_what_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    app = RecordingApp()
    app.findings = [Finding("leaderboard arena: 3 in both", well=True)]

    assert main(["doctor"], load_app=loads(app)) == 0
    assert capsys.readouterr().out == "ok   leaderboard arena: 3 in both\n"


WORKERS_ENV = ["--dev", "--store", "mysql://u:p@127.0.0.1/d", "--bus", "redis://127.0.0.1/0"]


def test_workers_need_what_processes_can_share(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dev", "--workers", "2"], load_app=no_app) == 2
    assert "need a database server" in capsys.readouterr().err
    assert main([*WORKERS_ENV[:3], "--workers", "2"], load_app=no_app) == 2
    assert "need a bus between processes" in capsys.readouterr().err


def test_one_worker_is_a_node_like_any_other_and_needs_nothing() -> None:
    app = RecordingApp()

    assert main(["--dev", "--workers", "1"], load_app=loads(app)) == 0
    assert app.worker is None


@pytest.mark.parametrize("workers", ["0", "65", "two"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORKERS_ENV, "--workers", workers], load_app=no_app) == 2
    assert "option --workers" in capsys.readouterr().err


def test_a_place_that_was_typed_by_hand_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORKERS_ENV, "--workers", "2", "--worker", "1"], load_app=no_app) == 2
    assert "is for the supervisor to give" in capsys.readouterr().err
