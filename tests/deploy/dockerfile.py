"""Carries out the Dockerfile where no container engine is: its COPY and RUN lines, in folders that stand for stages.

What an engine does and this does not: the base image, isolation and limits. Owners of files are set by root only.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from shutil import copy2, copytree

from msgspec import Struct, field

ROOT = Path(__file__).parents[2]
_OURS = re.compile(r"(?<![\w./-])/(?:opt|srv|tmp)/")  # folders of the image that our lines name

Run = Callable[[str, "Stage"], None]


class Instruction(Struct, frozen=True):
    """One line of a Dockerfile, with its continuations."""

    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments: a JSON list as it is, else split as a shell would."""
        return list(json.loads(self.text)) if self.text.startswith("[") else shlex.split(self.text)


class Stage(Struct):
    """A folder that holds what the stage has put into the image, and its settings."""

    folder: Path
    workdir: str = "/"
    env: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Instruction] = field(default_factory=dict)
    """The last USER, ENTRYPOINT, CMD and so on."""

    def path(self, inside: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.folder / os.path.normpath(f"{self.workdir}/{inside}" if inside[:1] != "/" else inside).lstrip("/")

    def outside(self, text: str) -> str:
        """A command of the image with its paths on this machine."""
        return _OURS.sub(lambda found: f"{self.folder}{found[0]}", text)


def instructions(path: Path = ROOT / "Dockerfile") -> Iterator[Instruction]:
    """The lines of a Dockerfile, comments left out."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, text = line.strip().partition(" ")
            yield Instruction(word.upper(), text.strip())


def build(folder: Path, run: Run, context: Path = ROOT) -> Stage:
    """Carry the Dockerfile out in ``folder``; returns its last stage. ``run`` does the RUN lines."""
    stages: dict[str, Stage] = {}
    stage = Stage(folder)
    for line in instructions(context / "Dockerfile"):
        match line.word:
            case "FROM":
                name = line.words[2] if len(line.words) == 3 else "last"
                stage = stages[name] = Stage(folder / name)
                stage.path("/tmp").mkdir(parents=True)
            case "WORKDIR":
                stage.workdir = line.text
                stage.path(".").mkdir(parents=True, exist_ok=True)
            case "ENV":
                stage.env |= dict(word.split("=", 1) for word in line.words)
            case "COPY":
                _copy(stage, stages, line.words, context)
            case "RUN":
                run(line.text, stage)
            case _:
                stage.facts[line.word] = line
    return stage


def in_a_shell(text: str, stage: Stage) -> None:
    """A RUN line for real, with an empty environment but for PATH."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(stage.path("/tmp"))}
    subprocess.run(stage.outside(text), shell=True, check=True, cwd=stage.path("."), env=environment)


def allowed(path: str, ignored: Path = ROOT / ".dockerignore") -> bool:
    """Whether a path of the project gets to the builder: the last line that fits it, or a folder above it, decides."""
    verdict = True
    places = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for line in ignored.read_text("utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not line.startswith("#") and any(_fits(place, pattern) for place in places):
            verdict = line.startswith("!")
    return verdict


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch(Path(path).name, pattern[3:])
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(fnmatch(part, want) for part, want in zip(parts, wanted, strict=True))


def _copy(stage: Stage, stages: dict[str, Stage], words: list[str], context: Path) -> None:
    options = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if not word.startswith("--")]
    origin = next((stages[word.partition("=")[2]] for word in options if word.startswith("--from=")), None)
    owner = next((word.partition("=")[2] for word in options if word.startswith("--chown=")), "0:0")
    for source in sources:
        found = origin.path(source) if origin else context / source
        place = stage.path(target)
        if found.is_dir():
            left_out = None if origin else _left_out(context)
            copytree(found, place, symlinks=True, dirs_exist_ok=True, ignore=left_out)
        else:
            assert origin or allowed(source), f"{source} is not sent to the builder"
            place = place / found.name if target.endswith("/") or place.is_dir() else place
            copy2(found, place)
        if os.geteuid() == 0:
            _give(owner, found, place)


def _give(owner: str, found: Path, place: Path) -> None:
    """Owners of what was copied; a folder that it was copied into keeps its own, as with an engine."""
    user, group = (int(number) for number in owner.split(":"))
    for copied in [place / path.relative_to(found) for path in found.rglob("*")] if found.is_dir() else [place]:
        if os.path.lexists(copied):  # else it was left out
            os.chown(copied, user, group, follow_symlinks=False)


def _left_out(context: Path) -> Callable[[str, list[str]], set[str]]:
    def left_out(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if not allowed(str((Path(folder) / name).relative_to(context)))}

    return left_out
