"""Renders docs/wire.md: every message and error of the catalogue, by area."""

from collections.abc import Mapping
from typing import Any

HEAD = """\
# Messages and errors

Made by `make catalogue`; do not edit by hand. [protocol.md](protocol.md) is the contract: transport, envelope, session.
This page lists what it leaves open, from `protocol/catalogue.json`, which has the same for machines.

A request is sent by the client and answered by its reply or by `error`; an event comes unasked. The envelope's fields
(`id`, `re`, `topic`, `seq`, `at`) are left out below. `?`: may be absent. `null`: may be null. `int64`: a decimal
string in JSON. The bounds are those that the server checks; texts are measured in characters.

A change may add messages, fields with a default, and errors. It may not remove or retype anything, make a field of a
request required, or tighten its bounds: `make test` compares with the catalogue of each release.
"""

ENVELOPE = {"request": {"id"}, "reply": {"re"}, "event": {"topic", "seq", "at"}}
TITLES = {"": "session"}

Document = Mapping[str, Any]


def reference(catalogue: Document) -> str:
    """The page, from a catalogue of plain values."""
    lines = [HEAD]
    areas: dict[str, list[str]] = {}
    for tag, message in catalogue["messages"].items():
        area, dot, _ = tag.partition(".")
        areas.setdefault(area if dot else "", []).append(_message(tag, message))
    for area, rows in sorted(areas.items()):
        lines += [
            f"## {TITLES.get(area, area)}",
            "",
            "| message | kind | fields | meaning |",
            "| --- | --- | --- | --- |",
        ]
        lines += [*rows, ""]
    lines += ["## Errors", "", "| code | retry | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{code}` | {error['retry']} | {_text(error['doc'])} |" for code, error in catalogue["errors"].items()]
    lines += ["", "## Close codes", "", "| code | name | reconnect |", "| --- | --- | --- |"]
    for code, close in catalogue["close_codes"].items():
        lines.append(f"| {code} | {close['name']} | {'yes' if close['reconnect'] else 'no'} |")
    return "\n".join(lines) + "\n"


def _message(tag: str, message: Document) -> str:
    kind = message["direction"]
    if kind == "request":
        kind = f"request → `{message['reply']}`"
    shown = _fields(message["fields"], ENVELOPE[message["direction"]])
    return f"| `{tag}` | {kind} | {shown} | {_text(message['doc'])} |"


def _fields(fields: Document, hidden: set[str] | frozenset[str] = frozenset()) -> str:
    return ", ".join(
        f"`{name}`{'' if field['required'] else '?'} {_type(field)}"
        for name, field in fields.items()
        if name not in hidden
    )


def _type(field: Document) -> str:
    kind = field["type"]
    if "choices" in field:
        shown = " or ".join(f"`{choice}`" for choice in field["choices"])
    elif kind == "array":
        shown = f"list of ({_type(field['items'])})"
    elif kind == "map":
        shown = f"map of ({_type(field['items'])})"
    elif kind == "tuple":
        shown = f"[{', '.join(_type(each) for each in field['members'])}]"
    elif kind == "any_of":
        shown = " or ".join(_type(each) for each in field["members"])
    elif kind == "object":
        shown = _object(field)
    else:
        shown = "int64" if field.get("format") == "int64" else kind
    return shown + _range(field) + (" or null" if field.get("nullable") else "")


def _object(field: Document) -> str:
    if "tag" in field:
        return f"`{field['tag']}`"
    if "same_as" in field:
        return str(field["same_as"])
    return f"{{{_fields(field['fields'])}}}"


def _range(field: Document) -> str:
    low = field.get("ge", field.get("gt", field.get("min_length")))
    high = field.get("le", field.get("lt", field.get("max_length")))
    if low is None and high is None:
        return ""
    if low is None:
        return f" (to {high})"
    if high is None:
        return f" (from {low})"
    return f" ({low} to {high})"


def _text(doc: str) -> str:
    return doc.replace("``", "`").replace("|", "\\|")
