"""Puts the settings together: defaults < TOML file < environment < command line.

One rule names everything. The setting ``heartbeat_s`` of section ``gateway`` is ``heartbeat_s``
under ``[gateway]`` in the file and ``GUILDHALL_GATEWAY_HEARTBEAT_S`` in the environment; a nested
one goes on the same way. Lists and tables are written as JSON in the environment. ``_FILE`` after the name of
any variable names a file that holds the value. Every option has a variable of its own name too
(``--lease``, ``GUILDHALL_LEASE``); in one layer the longer name wins.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from server.config import Config, ConfigError, Key, Secret
from server.config_checks import check

S = TypeVar("S", bound=Struct)

PREFIX = "GUILDHALL_"
FILE_BYTES = 1_048_576  # no settings file is near it; a wrong path such as /dev/zero is not read for ever


class Option(NamedTuple):
    """A command line option and the settings that it sets."""

    name: str
    settings: tuple[str, ...]
    help: str

    @property
    def variable(self) -> str:
        """The environment variable of the same meaning."""
        return PREFIX + self.name.removeprefix("--").replace("-", "_").upper()

    @property
    def dest(self) -> str:
        """The name under which a command line parser keeps it."""
        return self.name.removeprefix("--").replace("-", "_")


OPTIONS = (
    Option("--gateway-port", ("gateway.port",), "port for players, 0 takes a free one"),
    Option("--http-port", ("http.port",), "port for sign-in, health and staff, 0 takes a free one"),
    Option("--staff-address", ("http.staff_address",), "HOST:PORT of the staff API, if not on the HTTP port"),
    Option("--host", ("gateway.host", "http.host"), "address that both ports listen on"),
    Option("--tls-cert", ("edge.tls_cert",), "PEM file with the certificate; all ports then speak TLS only"),
    Option("--tls-key", ("edge.tls_key",), "PEM file with its private key"),
    Option("--store", ("store.url",), "database: sqlite:///PATH or mysql://..."),
    Option("--bus", ("bus.url",), "between nodes: local: or redis://..."),
    Option("--dev", ("auth.dev",), "development mode: tokens dev:NAME, demo page; loopback only"),
    Option("--limits", ("limits.enabled",), "enforce rate limits: on or off"),
    Option("--lease", ("node.lease_s",), "seconds after which a silent node's actors are taken over"),
    Option("--node", ("node.name",), "name of this node"),
    Option("--workers", ("node.workers",), "nodes on this machine behind one port, each a process; not on SQLite"),
    Option("--log-level", ("log.level",), "debug, info, warning or error"),
)


class Given(NamedTuple):
    """A value and where it was found, for the line that refuses it."""

    value: Any
    origin: str
    text: bool
    """Whether it is text of the environment or the command line, still to be read."""


class Setting(NamedTuple):
    """One setting: its dotted name and its type."""

    name: str
    type: Any
    field: msgspec.structs.FieldInfo

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.replace(".", "_").upper()


def is_section(kind: Any) -> bool:
    """Whether a setting of this type is a section with settings of its own."""
    return isinstance(kind, type) and issubclass(kind, Struct)


def settings(struct: type[Struct] = Config, prefix: str = "") -> Iterator[Setting]:
    """All settings, in order of their declaration."""
    for field in msgspec.structs.fields(struct):
        name = prefix + field.name
        if is_section(field.type):
            yield from settings(field.type, name + ".")
        else:
            yield Setting(name, field.type, field)


def load(options: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The settings of this start.

    ``options`` are command line options by name, without dashes (``gateway_port``), as typed;
    ``config`` names the TOML file. ``environ`` is the process's environment unless given.

    Raises:
        ConfigError: something is unknown, of a wrong type, out of bounds or contradicts another
            setting.
    """
    options = dict(options or {})
    environ = os.environ if environ is None else environ
    variables = _variables(environ)
    given: dict[str, Given] = {}
    file, origin = _file(options, variables)
    if file is not None:
        given |= _from_file(file, origin)
    given |= _from_environment(variables)
    given |= _from_options(options)
    config = _build(Config(), "", given)
    check(config)
    return config


def read_file(name: str, path: str) -> str:
    """The text of the file that the setting or variable ``name`` names.

    Raises:
        ConfigError: it cannot be read, is not UTF-8 or is longer than ``FILE_BYTES``.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES + 1)
        if len(content) > FILE_BYTES:
            raise ConfigError(f"{name}: {path} is longer than {FILE_BYTES} bytes")
        return content.decode()
    except OSError as error:
        raise ConfigError(f"{name}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: {path} is not UTF-8 text") from None


# Layers.
def _file(options: Mapping[str, str], variables: Mapping[str, Given]) -> tuple[str | None, str]:
    if "config" in options:
        return options["config"], "option --config"
    found = variables.get(PREFIX + "CONFIG")
    return (found.value, found.origin) if found else (None, "")


def _from_file(path: str, origin: str) -> dict[str, Given]:
    try:
        tables = tomllib.loads(read_file(origin, path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    given = {name: Given(value, path, text=False) for name, value in _leaves(Config, tables, "", path)}
    for key in given["auth.keys"].value if "auth.keys" in given else ():
        if isinstance(key, dict) and (key.keys() & {"secret", "private_key"}):
            raise ConfigError(
                f"{path}: auth.keys holds a secret; allowed: secret_file or private_key_file, "
                "or the text by environment (GUILDHALL_AUTH_KEYS)"
            )
    return given


def _leaves(struct: type[Struct], table: Mapping[str, Any], prefix: str, path: str) -> Iterator[tuple[str, Any]]:
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in table.items():
        if key not in fields:
            where = f"of section {prefix.rstrip('.')}" if prefix else "at the top"
            raise ConfigError(f"{path}: {prefix}{key} is unknown; {choice(key, fields)} {where}")
        inner = fields[key]
        if not is_section(inner):
            yield prefix + key, value
        elif isinstance(value, dict):
            yield from _leaves(inner, value, f"{prefix}{key}.", path)
        else:
            raise ConfigError(f"{path}: {prefix}{key} is a section; write [{prefix}{key}] and its settings below")


def _variables(environ: Mapping[str, str]) -> dict[str, Given]:
    """Every GUILDHALL_ variable by its name, those that name a file already read."""
    known = {PREFIX + "CONFIG", *(o.variable for o in OPTIONS), *(s.variable for s in settings())}
    found: dict[str, Given] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        plain = name.removesuffix("_FILE")
        if name in known:
            found[name] = Given(value, name, text=True)
        elif plain in known - {name, PREFIX + "CONFIG"}:
            if plain in environ:
                raise ConfigError(f"{plain} and {name} are both set; allowed: one of them")
            found[plain] = Given(read_file(name, value).strip(), name, text=True)
        else:
            raise ConfigError(f"{name} is unknown; {choice(name, known)}")
    return found


def _from_environment(variables: Mapping[str, Given]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for option in OPTIONS:
        if option.variable in variables:
            given |= dict.fromkeys(option.settings, variables[option.variable])
    given |= {s.name: variables[s.variable] for s in settings() if s.variable in variables}
    return given


def _from_options(options: Mapping[str, str]) -> dict[str, Given]:
    by_dest = {option.dest: option for option in OPTIONS}
    given: dict[str, Given] = {}
    for dest, value in options.items():
        if dest == "config":
            continue
        if dest not in by_dest:
            raise ConfigError(f"option {dest} is unknown; {choice(dest, by_dest)}")
        option = by_dest[dest]
        given |= dict.fromkeys(option.settings, Given(value, f"option {option.name}", text=True))
    return given


def choice(name: str, allowed: Any) -> str:
    """What to write instead: the nearest name where there is one, else all where they are few."""
    names = sorted(allowed)
    plain = {known.removeprefix(PREFIX): known for known in names}
    near = get_close_matches(name.removeprefix(PREFIX), plain, n=1, cutoff=0.75)
    if near:
        return f"did you mean {plain[near[0]]}?"
    if len(names) > 20:
        return "the allowed ones are listed in docs/configuration.md"
    return f"allowed: {', '.join(names)}"


# Values.
def _build(default: S, prefix: str, given: Mapping[str, Given]) -> S:
    """``default`` with what is given in its place; a table of names is added to, entry by entry."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(default):
        name, present = prefix + field.name, getattr(default, field.name)
        if is_section(field.type):
            values[field.name] = _build(present, name + ".", given)
        elif name in given:
            value = _convert(name, field.type, given[name])
            values[field.name] = {**present, **value} if isinstance(value, dict) else value
    return msgspec.structs.replace(default, **values)


def _convert(name: str, kind: Any, given: Given) -> Any:
    """The value in its type. Errors never show it: it may be a secret."""
    origin = given.origin if given.origin.startswith((PREFIX, "option ")) else f"{given.origin}: {name}"
    value = given.value
    if given.text:
        value = _read_text(origin, kind, value)
    try:
        return msgspec.convert(value, kind, strict=not given.text, dec_hook=_secret)
    except msgspec.ValidationError as error:
        reason = "not of this form" if "regex" in str(error) else error
        raise ConfigError(f"{origin}: {reason}; allowed: {allowed(kind)}") from None


def _read_text(origin: str, kind: Any, text: str) -> Any:
    parts = _parts(msgspec.inspect.type_info(kind))
    if any(isinstance(part, msgspec.inspect.BoolType) for part in parts):
        return {"yes": True, "on": True, "no": False, "off": False}.get(text.lower(), text)
    if any(isinstance(part, msgspec.inspect.ListType | msgspec.inspect.DictType) for part in parts):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise ConfigError(f"{origin}: not JSON; allowed: {allowed(kind)}, written as JSON") from None
    return text


def _secret(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError("Expected `str`")  # msgspec adds where


def _parts(kind: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, ...]:
    return kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)


def allowed(kind: Any) -> str:
    """In words, what values the type takes."""
    return " or ".join(_words(part) for part in _parts(msgspec.inspect.type_info(kind)))


def _words(kind: msgspec.inspect.Type) -> str:  # noqa: C901, PLR0911 - a table of types
    match kind:
        case msgspec.inspect.Metadata(extra={"allowed": words}):
            return str(words)
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType():
            return "whole number" + _bounds(kind)
        case msgspec.inspect.FloatType():
            return "number" + _bounds(kind)
        case msgspec.inspect.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in values)
        case msgspec.inspect.ListType(item_type=item):
            return f"list of {_words(item)}"
        case msgspec.inspect.DictType(value_type=value):
            return f"table of names, each with {_words(value)}"
        case msgspec.inspect.StructType(cls=cls) if cls is Key:
            return "keys (see Key)"
        case msgspec.inspect.StructType(fields=fields):
            return " and ".join(f"`{field.name}`" for field in fields)
        case msgspec.inspect.NoneType():
            return "not set"
        case _:
            return "text"


def _bounds(kind: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    low = _number(kind.ge) or (kind.gt is not None and f"more than {_number(kind.gt)}") or ""
    high = _number(kind.le) or (kind.lt is not None and f"less than {_number(kind.lt)}") or ""
    if low and high:
        return f", {low} to {high}"
    if low:
        return f", {low}" if kind.ge is None else f", {low} or more"
    return f", {high} or less" if high else ""


def _number(value: float | None) -> str:
    return "" if value is None else str(int(value)) if value == int(value) else str(value)
