"""What is installed is locked: every dependency within its bounds, with hashes, and from no place of its own."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.lints.sources import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUN = PROJECT["project"]["dependencies"]
LOCKS = {Path("deploy/requirements.txt"): RUN, Path(".ci/requirements.txt"): RUN + PROJECT["dependency-groups"]["dev"]}
_ENTRY = re.compile(
    r"^(?P<name>[a-z0-9._-]+)==(?P<version>[^ ;]+)[^\n]*\\\n(?P<hashes>(?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE
)


def entries(lock: Path) -> dict[str, str]:
    """Name and version of what a lock holds with hashes."""
    return {found["name"]: found["version"] for found in _ENTRY.finditer((ROOT / lock).read_text("utf-8"))}


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_every_dependency_is_locked_within_its_bounds(lock: Path) -> None:
    locked = entries(lock)
    wanted = [Requirement(each) for each in LOCKS[lock]]
    missing = [str(w) for w in wanted if not w.specifier.contains(locked.get(canonicalize_name(w.name), "0"))]

    assert missing == [], "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_a_lock_holds_pinned_versions_with_hashes_and_nothing_else(lock: Path) -> None:
    assert _ENTRY.sub("", (ROOT / lock).read_text("utf-8")).strip() == ""


def test_tests_run_with_the_versions_that_nodes_run_with() -> None:
    run, dev = (entries(lock) for lock in LOCKS)

    assert run.items() <= dev.items()
