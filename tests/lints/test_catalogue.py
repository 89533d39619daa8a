"""The catalogue is fresh, holds every refusal once, and breaks no client that is out there."""

from collections import Counter
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from shutil import copy

import msgspec
import pytest

from protocol import GuildhallError
from server import catalogue_cli
from server.catalogue_cli import CATALOGUE, WIRE, document
from tests.lints.sources import ROOT


@pytest.mark.parametrize("path", [CATALOGUE, WIRE], ids=str)
def test_what_is_generated_is_fresh(path: Path) -> None:
    assert (ROOT / path).read_text("utf-8") == catalogue_cli.files()[path], "run `make catalogue`"


def test_clients_of_released_versions_are_served() -> None:
    assert catalogue_cli.breaks() == []


def test_a_breaking_change_is_told_with_the_release_that_it_breaks(tmp_path: Path) -> None:
    (tmp_path / "tests" / "golden").mkdir(parents=True)
    (tmp_path / "protocol").mkdir()
    copy(ROOT / CATALOGUE, tmp_path / "tests" / "golden" / "catalogue-0.1.json")
    changed = msgspec.json.decode((ROOT / CATALOGUE).read_bytes())
    del changed["messages"]["player.get"]
    (tmp_path / CATALOGUE).write_bytes(msgspec.json.encode(changed))

    assert catalogue_cli.breaks(tmp_path) == ["catalogue-0.1: player.get: removed"]


def test_every_error_code_is_in_the_catalogue_once() -> None:
    for package in ("protocol", "storage", "actors", "server"):
        for found in walk_packages(import_module(package).__path__, f"{package}."):
            if not found.name.endswith(".__main__"):
                import_module(found.name)
    ours = [each for each in below(GuildhallError) if not each.__module__.startswith("tests.")]
    codes = Counter(each.code for each in ours if "code" in vars(each))

    assert {code: times for code, times in codes.items() if times != 1} == {}
    assert set(codes) == document()["errors"].keys()


def below(kind: type[GuildhallError]) -> list[type[GuildhallError]]:
    """All classes below this one."""
    return [each for lower in kind.__subclasses__() for each in (lower, *below(lower))]
