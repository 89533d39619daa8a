"""A release made of another one: some rooms changed, some new."""

import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, NoReturn

from msgspec import Struct, structs

from actors.runtime import Feature
from protocol import Message
from server import app
from server.cli import main
from server.config import Config
from server.doctor import Finding
from server.features import FEATURES
from server.workers.place import Worker
from storage import Migration

Features = Sequence[Feature[Any]]
Runs = Mapping[type[Message], Callable[..., Any]]


def changed(
    room: Feature[Any], state: type[Struct], runs: Runs | None = None, migrations: Sequence[Migration] = ()
) -> Feature[Any]:
    """A room with another state, other functions for some of its turns, and ``migrations`` behind its own."""
    made = copy(room)
    made.state = state
    made.migrations = (*room.migrations, *migrations)
    runs = runs or {}
    made.routes = {
        message: structs.replace(route, turn=structs.replace(route.turn, run=runs.get(message, route.turn.run)))
        for message, route in room.routes.items()
    }
    made.tells = {
        message: structs.replace(turn, run=runs.get(message, turn.run)) for message, turn in room.tells.items()
    }
    return made


def release(*rooms: Feature[Any]) -> Features:
    """This release with ``rooms`` in the place of those of the same name, or behind the others."""
    by_name = {room.name: room for room in (*FEATURES, *rooms)}
    return tuple(by_name.values())


class Build:
    """The server with the rooms of another release (``server.cli.App``)."""

    def __init__(self, features: Features) -> None:
        self._features = features

    async def serve(self, config: Config, *, worker: Worker | None = None) -> int:
        """Run a node."""
        return await app.serve(config, self._features, worker=worker)

    async def migrate(self, config: Config) -> list[str]:
        """Bring the schema up to date."""
        return await app.migrate(config, self._features)

    async def doctor(self, config: Config) -> list[Finding]:
        """Look through the database."""
        return await app.doctor(config)

    async def inspect(self, config: Config, kind: str, key: str) -> dict[str, Any]:
        """Look into an actor."""
        return await app.inspect(config, kind, key, self._features)


def run(features: Features) -> NoReturn:
    """The ``guildhall`` command of a build."""
    sys.exit(main(load_app=lambda: Build(features)))
