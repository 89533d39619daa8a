"""``make catalogue``: writes protocol/catalogue.json and docs/wire.md from the list of rooms.

Both are generated and committed. The catalogue is what clients may rely on: it is compared with that of every release
(tests/golden/catalogue-VERSION.json, copied there when a version is released), and what breaks a client of one fails.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

import server.app  # noqa: F401 - its parts declare errors of their own
from actors.runtime import Blueprint, Feature
from protocol import GuildhallError, Hello, Ping, TopicSync
from protocol.catalogue import Document, build, compare, render
from server.features import FEATURES
from server.wire_reference import reference

ROOT = Path(__file__).parents[1]
CATALOGUE = Path("protocol", "catalogue.json")
WIRE = Path("docs", "wire.md")
RELEASED = "tests/golden/catalogue-*.json"

SESSION_REQUESTS = (Hello, Ping, TopicSync)
OURS = ("protocol", "server", "actors.runtime", "actors.schedule")


def document(features: Sequence[Feature[Any]] = FEATURES) -> Document:
    """The catalogue of a server with these rooms.

    Raises:
        ValueError: two messages share a tag and a direction, or two errors a code.
    """
    plan = Blueprint(features)
    events: Any = plan.events()
    return build([*SESSION_REQUESTS, *plan.requests], events, errors(features))


def errors(features: Sequence[Feature[Any]] = FEATURES) -> list[type[GuildhallError]]:
    """Every refusal with a code of its own that a server with these rooms can give."""
    homes = (*OURS, *{home(module) for feature in features for module in _modules(feature)})
    return [each for each in _below(GuildhallError) if _within(each.__module__, homes) and "code" in vars(each)]


def _modules(feature: Feature[Any]) -> Iterator[str]:
    """Where a feature is declared, and where its turns are: a room may declare turns on another room's slice."""
    yield feature.state.__module__
    for route in feature.routes.values():
        yield route.turn.run.__module__
    for turn in feature.tells.values():
        yield turn.run.__module__


def home(module: str) -> str:
    """The room that a module belongs to: ``actors.chat`` for ``actors.chat.turns``, else the module's package."""
    if module.startswith("actors."):
        return ".".join(module.split(".")[:2])
    return module.rpartition(".")[0] or module


def files(features: Sequence[Feature[Any]] = FEATURES) -> dict[Path, str]:
    """What is generated, by path below the project's folder."""
    made = document(features)
    return {CATALOGUE: render(made), WIRE: reference(msgspec.to_builtins(made))}


def breaks(root: Path = ROOT) -> list[str]:
    """What the catalogue in ``root`` breaks for clients of released versions, one sentence each."""
    new = msgspec.json.decode((root / CATALOGUE).read_bytes())
    return [
        f"{released.stem}: {line}"
        for released in sorted(root.glob(RELEASED))
        for line in compare(msgspec.json.decode(released.read_bytes()), new)
    ]


def main(root: Path = ROOT) -> int:
    """Write the generated files; exit code 1 where they break clients of a released version."""
    for path, text in files().items():
        (root / path).write_text(text, "utf-8")
    broken = breaks(root)
    for line in broken:
        sys.stderr.write(f"breaks clients of {line}\n")
    return 1 if broken else 0


def _below(kind: type[GuildhallError]) -> Iterator[type[GuildhallError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _within(module: str, homes: Iterable[str]) -> bool:
    return any(module == each or module.startswith(each + ".") for each in homes)


if __name__ == "__main__":
    sys.exit(main())
