"""What the lints read: the files of the project, without what is generated or installed beside them."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocol", "storage", "actors", "server", "loadtest", "clients")
LEFT_OUT = {".git", ".venv", "data", "bench-results", "build", "dist", "__pycache__", "node_modules"}


def files() -> Iterator[Path]:
    """Every file of the project that a person or a generator of ours wrote."""
    yield from _below(ROOT)


def modules(*packages: str) -> Iterator[tuple[Path, ast.Module]]:
    """Path and syntax tree of every Python file of the given packages (all of ours by default)."""
    for package in packages or PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, ast.parse(path.read_text("utf-8"), path.name)


def place(path: Path, node: ast.expr | ast.stmt) -> str:
    """Where ``node`` stands, as an editor opens it."""
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in LEFT_OUT or path.name.endswith(("_cache", ".egg-info")) or path.name == ".hypothesis":
            continue
        if path.is_dir():
            yield from _below(path)
        else:
            yield path
