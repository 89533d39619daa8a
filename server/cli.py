"""The ``guildhall`` command. Exit codes: 0 done, 1 failed, 2 wrong settings; a failure is one clear
line."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import Any, NoReturn, Protocol, cast

from protocol.errors import GuildhallError
from server.config import Config, ConfigError
from server.config_checks import check_serving
from server.config_sources import OPTIONS, choice, load
from server.workers.heart import show_stacks_when_asked
from server.workers.place import Worker, WorkersFailed, check_workers, end_with_supervisor, parse_worker, stop_s

DONE, FAILED, WRONG_SETTINGS = 0, 1, 2
COMMANDS = ("serve", "migrate", "token", "key", "inspect", "doctor")
SHARED = {"config", *(option.dest for option in OPTIONS)}


class App(Protocol):
    """What the commands need of ``server.app``; loaded late, so that wrong settings are answered at
    once."""

    def serve(self, config: Config, *, worker: Worker | None = None) -> Coroutine[Any, Any, int]:
        """Run a node until it is told to stop; returns the exit code. ``worker``: its place among several."""
        ...

    def migrate(self, config: Config) -> Coroutine[Any, Any, list[str]]:
        """Bring the database's schema up to date; returns what was applied, a line each."""
        ...

    def doctor(self, config: Config) -> Coroutine[Any, Any, list[Any]]:
        """What agrees in the database and what does not: findings with ``text`` and ``well``."""
        ...

    def inspect(self, config: Config, kind: str, key: str) -> Coroutine[Any, Any, dict[str, Any]]:
        """What the store holds of one actor."""
        ...


def main(argv: Sequence[str] | None = None, *, load_app: Callable[[], App] | None = None) -> int:
    """Run one command; returns the exit code. ``argv`` is without the program's name."""
    try:
        argv = sys.argv[1:] if argv is None else argv
        _check_names(argv)
        given = vars(_parser().parse_args(argv))
        command = given.pop("command", None) or "serve"
        options = {name: given.pop(name) for name in SHARED & given.keys()}
        if command == "config-reference":
            return _config_reference()
        return _run(command, load(options), given, load_app or _load_app)
    except ConfigError as error:
        return _fail(WRONG_SETTINGS, str(error))
    except KeyboardInterrupt:
        return 130  # as a shell reports SIGINT
    except Exception as error:
        reason = _plain(error)
        if reason is None:
            raise
        wrong = isinstance(reason, ConfigError)
        return _fail(WRONG_SETTINGS if wrong else FAILED, _line(reason))


def _run(command: str, config: Config, given: dict[str, Any], load_app: Callable[[], App]) -> int:
    if command == "token":
        return _token(config, **given)
    if command == "serve":
        check_serving(config)
        check_workers(config)
    _check_urls(config)
    match command:
        case "migrate":
            for line in _loop(load_app().migrate(config)):
                _print(line)
            return DONE
        case "key":
            return _key(config, given)
        case "inspect":
            return _inspect(config, load_app(), **given)
        case "doctor":
            return _doctor(config, load_app())
        case _:
            return _serve(config, load_app, **given)


def _serve(config: Config, load_app: Callable[[], App], worker: str | None = None) -> int:
    if worker is not None:
        place = parse_worker(worker)
        end_with_supervisor(place, stop_s(config.gateway.drain_s))
        show_stacks_when_asked()
        return int(_loop(load_app().serve(place.settings(config), worker=place)))
    if config.node.workers > 1:
        from server.workers.supervisor import supervise  # noqa: PLC0415 - as App

        return int(_loop(supervise(config)))
    return int(_loop(load_app().serve(config)))


def _check_urls(config: Config) -> None:
    """Refuse an address that no engine understands; here and not in ``check``, as it loads the engines."""
    from storage.bus_urls import open_bus  # noqa: PLC0415 - as App
    from storage.urls import parse_store_url  # noqa: PLC0415

    for name, read, url in (
        ("store.url", parse_store_url, config.store.url),
        ("bus.url", open_bus, config.bus.url),  # opens nothing before it is entered
    ):
        try:
            read(url)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from None


def _token(config: Config, player: str, ttl: int | None = None, name: str | None = None) -> int:
    from actors.runtime.clock import SystemClock  # noqa: PLC0415 - as App
    from server.auth import Tokens  # noqa: PLC0415

    try:
        _print(Tokens(config.auth, SystemClock()).mint(player, name=name, ttl_s=ttl).token)
    except ValueError as error:
        raise ConfigError(f"token {player}: {error}") from None
    return DONE


def _key(config: Config, given: dict[str, Any]) -> int:
    from server.staff import keys_cli  # noqa: PLC0415 - as App

    _loop(keys_cli.run(config, given, _print))
    return DONE


def _inspect(config: Config, app: App, kind: str, id: str) -> int:  # noqa: A002 - the argument's name
    import orjson  # noqa: PLC0415

    found = _loop(app.inspect(config, kind, id))
    style = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    _print(orjson.dumps(found, default=repr, option=style).decode())
    return DONE


def _doctor(config: Config, app: App) -> int:
    findings = _loop(app.doctor(config))
    for finding in findings:
        _print(f"{'ok  ' if finding.well else 'LOOK'} {finding.text}")
    if not findings:
        _print("ok   nothing to compare")
    return DONE if all(finding.well for finding in findings) else FAILED


def _config_reference() -> int:
    from server.config_reference import reference  # noqa: PLC0415

    sys.stdout.write(reference())
    return DONE


def _loop(work: Coroutine[Any, Any, Any]) -> Any:
    import uvloop  # noqa: PLC0415

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _load_app() -> App:
    return cast("App", import_module("server.app"))


# The command line.
class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if "invalid choice" in message:
            allowed = message.partition("argument ")[2].partition(":")[0].split(" | ")
            message = f"no such command; allowed: {', '.join(allowed)}"
        raise ConfigError(f"{message} (see guildhall --help)")


def _check_names(argv: Sequence[str]) -> None:
    """Refuse an unknown option before argparse takes its value for the command."""
    known = {"--help", "--config", "--ttl", "--name", "--scope", "--expires", *(option.name for option in OPTIONS)}
    for word in argv:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in known | {"--worker"}:
            raise ConfigError(f"option {name} is unknown; {choice(name, known)}")


def _parser() -> argparse.ArgumentParser:
    shared = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--config", metavar="FILE", help="TOML file with settings")
    shared.add_argument("--worker", help=argparse.SUPPRESS)  # a supervisor's, for the processes that it starts
    for option in OPTIONS:
        if option.name == "--dev":
            shared.add_argument(option.name, action="store_const", const="true", help=option.help)
        else:
            shared.add_argument(option.name, metavar="VALUE", help=option.help)
    parser = _Parser(
        prog="guildhall",
        description="Realtime social and messaging server for live games.",
        epilog="All settings: docs/configuration.md.",
        parents=[shared],
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    commands = parser.add_subparsers(dest="command", metavar=" | ".join(COMMANDS), parser_class=_Parser)

    def add(name: str, **texts: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            parents=[shared],
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            **cast("dict[str, Any]", texts),
        )

    add("serve", help="run a node (also without a command)")
    add("migrate", help="bring the database's schema up to date")
    token = add("token", help="print a sign-in token for a player")
    token.add_argument("player")
    token.add_argument("--ttl", type=_seconds, metavar="S", help="seconds until it expires")
    token.add_argument("--name", help="display name in the token")
    key = add("key", help="make, list and revoke keys of the staff API")
    actions = key.add_subparsers(dest="action", metavar="create | list | revoke", parser_class=_Parser, required=True)
    create = actions.add_parser("create", parents=[shared], argument_default=argparse.SUPPRESS)
    create.add_argument("name", help="whose it is")
    create.add_argument("--scope", action="append", metavar="S", help="what it may do; once for each")
    create.add_argument("--expires", metavar="90d", help="how long it is good for: d, h or m; not given: for ever")
    actions.add_parser("list", parents=[shared], argument_default=argparse.SUPPRESS)
    revoke = actions.add_parser("revoke", parents=[shared], argument_default=argparse.SUPPRESS)
    revoke.add_argument("id", help="the part of the key after gk_, or from `key list`")
    inspect = add("inspect", help="print what the store holds of an actor, as JSON")
    inspect.add_argument("kind", help="e.g. guild")
    inspect.add_argument("id", help="e.g. 42")
    add("doctor", help="look for what does not agree in a live database; exit code 1 where it finds any")
    add("config-reference")
    return parser


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 31_536_000:
        raise argparse.ArgumentTypeError("allowed: whole seconds, 1 to 31536000")
    return int(text)


# Failures.
def _plain(error: BaseException) -> BaseException | None:
    """The failure that an operator can act on; None for a defect, which needs its traceback."""
    from storage import MigrationMismatch, SchemaBehind, StoreDown, StoreLocked  # noqa: PLC0415 - as App

    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    told = (ConfigError, WorkersFailed, GuildhallError, OSError)
    clear = (*told, StoreDown, StoreLocked, MigrationMismatch, SchemaBehind)
    return error if isinstance(error, clear) else None


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or " ".join((type(error).__doc__ or type(error).__name__).split())


def _fail(code: int, line: str) -> int:
    sys.stderr.write(f"guildhall: {line}\n")
    return code


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
