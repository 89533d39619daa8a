"""Renders docs/configuration.md from the settings and their docstrings, so that it cannot be stale
unseen."""

import ast
import inspect
import sys
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from server.config import Config, Key, generated_name
from server.config_sources import OPTIONS, PREFIX, allowed, is_section

HEAD = """\
# Configuration

Made by `python -m server config-reference > docs/configuration.md`; do not edit by hand.

A setting is taken from the first of these that has it:

1. the command line option;
2. the environment variable: `GUILDHALL_`, the section and the setting, joined by `_` in capitals;
3. the TOML file that `--config` or `GUILDHALL_CONFIG` names;
4. the default.

Lists and tables are written as JSON in the environment; a table is added to its default, entry by
entry. `_FILE` after the name of any variable names a file
that holds the value (for mounted secrets), as `GUILDHALL_STORE_URL_FILE=/run/secrets/store`. Names
that end in `_s` are seconds, in `_bytes` bytes. Paths are relative to the working directory. What is
unknown, of a wrong type or out of bounds stops the start with exit code 2 and one line that says
where it was found and what is allowed.

## Options

Each has a variable of the same name, for the short way. Where a layer has both names of a setting,
the section's (`GUILDHALL_GATEWAY_HOST`) is taken before the option's (`GUILDHALL_HOST`).

| option | variable | sets | meaning |
| --- | --- | --- | --- |
"""


def reference() -> str:
    """All settings as Markdown."""
    lines = [HEAD + "| `--config` | `GUILDHALL_CONFIG` | | TOML file with settings |"]
    for option in OPTIONS:
        sets = ", ".join(f"`{name}`" for name in option.settings)
        lines.append(f"| `{option.name}` | `{option.variable}` | {sets} | {option.help} |")
    defaults = Config()
    for field in msgspec.structs.fields(Config):
        lines += _section(getattr(defaults, field.name), field.name)
    lines += [
        "",
        "## Key",
        "",
        *_summary(Key),
        "",
        "| in a key | allowed | meaning |",
        "| --- | --- | --- |",
    ]
    docs = field_docs(Key)
    for field in msgspec.structs.fields(Key):
        lines.append(f"| `{field.name}` | {_allowed(field.type)} | {docs[field.name]} |")
    return "\n".join(lines) + "\n"


def field_docs(struct: type[Struct]) -> dict[str, str]:
    """The docstring that follows each field of ``struct``, on one line."""
    found: dict[str, str] = {}
    body = _classes(struct.__module__)[struct.__name__].body
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[statement.target.id] = " ".join(str(after.value.value).split())
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _summary(struct: type[Struct]) -> list[str]:
    return [" ".join((struct.__doc__ or "").split())]


def _section(section: Struct, name: str) -> list[str]:
    lines = ["", f"## {name}", "", *_summary(type(section)), ""]
    lines += ["| setting | environment | default | allowed | meaning |", "| --- | --- | --- | --- | --- |"]
    nested: list[str] = []
    docs = field_docs(type(section))
    for field in msgspec.structs.fields(section):
        full, value = f"{name}.{field.name}", getattr(section, field.name)
        if not is_section(field.type):
            lines.append(_row(full, field, value, docs[field.name]))
        elif field_docs(field.type):
            nested += _section(value, full)
        else:  # a small one that needs no table of its own
            for part in msgspec.structs.fields(value):
                row = _row(f"{full}.{part.name}", part, getattr(value, part.name), docs[field.name])
                lines.append(row)
    return lines + nested


def _row(name: str, field: msgspec.structs.FieldInfo, value: Any, meaning: str) -> str:
    variable = PREFIX + name.replace(".", "_").upper()
    default = "" if field.default_factory is generated_name else _default(value)
    return f"| `{name}` | `{variable}` | {default} | {_allowed(field.type)} | {meaning} |"


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return "; ".join(f"`{name}`: {entry}" for name, entry in value.items())
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _allowed(kind: Any) -> str:
    return allowed(kind).removesuffix(" or not set")
