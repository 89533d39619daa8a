"""Every room is listed, tested, and known to clients; no turn waits."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules, walk_packages
from typing import Any

import pytest

import actors
from actors.runtime import Blueprint, Feature
from protocol import Event, Request, tag_of
from server.catalogue_cli import document
from server.features import FEATURES
from tests.lints.sources import ROOT


def rooms() -> Iterator[tuple[str, set[Feature[Any]]]]:
    """Name and features of each file or folder of ``actors`` that declares any."""
    for found in iter_modules(actors.__path__):
        if found.name != "runtime":
            declared = {each for module in modules(found.name) for each in features_in(module)}
            if declared:
                yield found.name, declared


def modules(room: str) -> Iterator[Any]:
    """The modules of a room."""
    module = import_module(f"actors.{room}")
    yield module
    for found in walk_packages(getattr(module, "__path__", ()), f"actors.{room}."):
        yield import_module(found.name)


def features_in(module: Any) -> list[Feature[Any]]:
    """The features that a module holds, its own and imported ones."""
    return [each for each in vars(module).values() if isinstance(each, Feature)]


def messages_of(room: str, kind: type) -> set[type]:
    """The messages of a kind that a room declares."""
    found = {each for module in modules(room) for each in vars(module).values() if inspect.isclass(each)}
    return {each for each in found if issubclass(each, kind) and each.__module__.startswith(f"actors.{room}")}


ROOMS = dict(rooms())


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_its_test_file(room: str) -> None:
    assert (ROOT / "tests" / "rooms" / f"test_{room}.py").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_features_are_lines_of_the_list(room: str) -> None:
    assert {each.name for each in ROOMS[room]} <= {each.name for each in FEATURES}


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_says_is_in_the_catalogue(room: str) -> None:
    plan = Blueprint(FEATURES)
    hidden = {*plan.internal, *plan.stored_events()} - {*plan.events()}
    said = (messages_of(room, Event) | messages_of(room, Request)) - hidden

    assert {tag_of(each) for each in said} <= document()["messages"].keys()


def turns() -> list[Any]:
    """Every function that the runtime runs as a turn."""
    routes = [route.turn.run for feature in FEATURES for route in feature.routes.values()]
    return routes + [turn.run for feature in FEATURES for turn in feature.tells.values()]


@pytest.mark.parametrize("turn", turns(), ids=lambda turn: f"{turn.__module__}.{turn.__name__}")
def test_a_turn_is_a_plain_function_that_says_what_it_does(turn: Any) -> None:
    assert not inspect.iscoroutinefunction(turn)
    assert not inspect.isgeneratorfunction(turn)
    assert turn.__doc__
