"""Inside a layer: the machine knows no room, and a room is entered by its front door."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.lints.sources import ROOT, modules, place

FOLDERS = {path.parent.name for path in (ROOT / "actors").glob("*/__init__.py")} - {"runtime"}


def imported(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Every import, with the module that it names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
        elif isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)


def room_of(path: Path) -> str:
    """The room that a file belongs to; empty if none."""
    parts = path.relative_to(ROOT).parts
    return Path(parts[1]).stem if parts[0] == "actors" and len(parts) > 1 else ""


def test_the_machine_imports_no_room() -> None:
    rooms = [
        place(path, node)
        for path, tree in modules("actors")
        if room_of(path) == "runtime"
        for node, module in imported(tree)
        if module.startswith("actors.") and not module.startswith("actors.runtime")
    ]

    assert rooms == []


def test_a_room_that_is_a_folder_is_entered_by_its_front_door() -> None:
    reached_past = [
        place(path, node)
        for path, tree in modules("actors", "server")
        for node, module in imported(tree)
        for folder in FOLDERS - {room_of(path)}
        if module.startswith(f"actors.{folder}.")
    ]

    assert reached_past == []
