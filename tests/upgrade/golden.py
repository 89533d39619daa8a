"""``make golden``: writes what this release stores to tests/golden/stored-VERSION.json.

Committed with the release, and never changed after it: later releases are tested against it. Every slice (empty, and
with every field filled), every event, tell, reply and kept ticket that may lie in a table, and the schema changes.
"""

import tomllib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from actors.runtime import Ticket
from actors.runtime.feature import Feature, reply_of
from protocol import ErrorReply, Message, tag_of
from server.features import FEATURES, blueprint
from storage import Migration
from storage.schema import with_core
from tests.lints.sources import ROOT
from tests.upgrade.examples import example

FOLDER = ROOT / "tests" / "golden"
_encode = msgspec.msgpack.Encoder().encode


def version() -> str:
    """The release that this is, or is to become."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


def path_of(release: str) -> Path:
    """The golden file of a release."""
    return FOLDER / f"stored-{release}.json"


def releases() -> list[str]:
    """Releases with a golden file, the oldest first."""
    names = [path.stem.removeprefix("stored-") for path in FOLDER.glob("stored-*.json")]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")])


def read(release: str) -> dict[str, Any]:
    """The golden file of a release."""
    found: dict[str, Any] = msgspec.json.decode(path_of(release).read_bytes())
    return found


def body_of(stored: dict[str, Any]) -> bytes:
    """The bytes of an entry."""
    return b64decode(stored["body"])


def render() -> str:
    """The golden file of this release."""
    plan = blueprint()
    requests = [*plan.requests, *plan.internal]
    tickets = [ticket for ticket in plan.tickets if ticket.kept]
    document = {
        "slices": {f.name: _slice(f) for f in FEATURES if not set(f.kinds) <= f.transient},
        "events": _messages(plan.stored_events()),
        "tells": _messages(plan.tells.values()),
        "replies": _messages({ErrorReply, *(reply_of(request) for request in requests)}),
        "tickets": {ticket.__name__: _stored(example(ticket)) for ticket in _by_name(tickets)},
        "migrations": {room: _steps(steps) for room, steps in with_core(plan.migrations()).items()},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def assert_holds(now: Any, then: Any) -> None:
    """Everything that was there is there, with the value that it had; new fields may stand beside it."""
    if isinstance(then, dict):
        assert then.keys() <= now.keys()
        for key, value in then.items():
            assert_holds(now[key], value)
    elif isinstance(then, list):
        assert len(then) <= len(now)
        for new, old in zip(now, then, strict=False):
            assert_holds(new, old)
    else:
        assert now == then


def migrations_of(golden: dict[str, Any]) -> dict[str, list[Migration]]:
    """The schema changes of a golden file, by room."""
    return {
        room: [Migration(number, **step) for number, step in enumerate(steps, 1)]
        for room, steps in golden["migrations"].items()
    }


def _slice(feature: Feature[Any]) -> dict[str, Any]:
    return {
        "schema": feature.schema,
        "kind": next(kind for kind in feature.kinds if kind not in feature.transient),
        "empty": _stored(feature.state()),
        "full": _stored(example(feature.state)),
    }


def _messages(types: Iterable[type[Message]]) -> dict[str, Any]:
    return {tag_of(each): _stored(example(each)) for each in sorted(types, key=tag_of)}


def _by_name(types: Iterable[type[Ticket]]) -> list[type[Ticket]]:
    return sorted(types, key=lambda each: each.__name__)


def _stored(value: Any) -> dict[str, Any]:
    """For people, and as it lies in the table."""
    return {"shown": msgspec.to_builtins(value), "body": b64encode(_encode(value)).decode()}


def _steps(steps: Iterable[Migration]) -> list[dict[str, Any]]:
    announced = {True: {"announced": True}, False: {}}
    return [{"sql": step.sql, "contracts": step.contracts, **announced[step.announced]} for step in steps]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    path_of(version()).write_text(render(), "utf-8")
