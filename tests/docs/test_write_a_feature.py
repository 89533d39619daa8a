"""Who follows docs/write-a-feature.md has a feature that works."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import copy_of_the_project, insert_after, python_blocks

PAGE = "docs/write-a-feature.md"


def steps() -> dict[str, list[str]]:
    """Code blocks of the page by the file that the title above them names in backquotes."""
    return {title.split("`")[1]: blocks for title, blocks in python_blocks(PAGE).items()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project in which the page was followed, but for the catalogue."""
    copy = copy_of_the_project(tmp_path)
    for path, (code,) in steps().items():
        if path == "server/features.py":
            import_line, _, first_line, list_line, *_ = code.splitlines(keepends=True)
            insert_after(copy / path, "from actors.chat import", import_line)
            insert_after(copy / path, first_line, list_line)
        else:
            (copy / path).write_text(code, "utf-8")
    return copy


def run(project: Path, *command: str) -> str:
    """Run a Python module in the copy; its output."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_names_the_files_that_a_feature_touches() -> None:
    assert list(steps()) == ["actors/cheer.py", "tests/rooms/test_cheer.py", "server/features.py"]


def test_who_follows_the_page_has_a_feature_that_works(project: Path) -> None:
    run(project, "server.catalogue_cli")
    passed = run(project, "pytest", "-q", "tests/rooms/test_cheer.py", "tests/lints/test_rooms.py", "-k", "cheer")
    run(project, "ruff", "check", "actors/cheer.py", "tests/rooms/test_cheer.py", "server/features.py")
    run(project, "ruff", "format", "--check", "actors/cheer.py", "tests/rooms/test_cheer.py")

    assert " passed" in passed
    catalogue = json.loads((project / "protocol/catalogue.json").read_text("utf-8"))
    assert {"cheer.send", "cheer.sent", "cheer.received"} <= catalogue["messages"].keys()
    assert "`cheer.send`" in (project / "docs/wire.md").read_text("utf-8")
