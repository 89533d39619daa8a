"""The project is the same on every machine: no file names a folder or a package host of one."""

import re
from pathlib import Path

from tests.lints.sources import ROOT, files

FOLDERS = ("work", "root", "home", "Users")
HOSTS = ("pypi", "pythonhosted")
STRANGE = re.compile(rf"(?<![\w./-])/({'|'.join(FOLDERS)})/\w|\b({'|'.join(HOSTS)})\.org")


def strange_lines(path: Path) -> list[str]:
    """Lines of a text file that only one machine understands."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        return []
    return [f"{path.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, 1) if STRANGE.search(line)]


def test_no_file_names_this_machine() -> None:
    assert [line for path in files() for line in strange_lines(path)] == []


def test_a_folder_of_one_machine_is_found() -> None:
    assert STRANGE.search(f"see /{FOLDERS[1]}/notes.txt")
    assert STRANGE.search(f"from https://{HOSTS[0]}.org/simple")
    assert not STRANGE.search(f"docs/{FOLDERS[2]}/page, /v1/{FOLDERS[0]}/")
