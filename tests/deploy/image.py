"""The image without an engine: built in a folder, its commands run with its settings and nothing else.

``python -m tests.deploy.image`` builds it as the Dockerfile says, downloads included, and tries it; ``make test`` takes
what is locked from the packages that are installed already.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.markers import Marker

from loadtest.ports import free_port
from tests.deploy.dockerfile import ROOT, Stage, build, in_a_shell

SECRET = "an example of thirty-two bytes or more"
START_S = 20.0


class Image:
    """A built image. ``as_user``: its processes run as the image's user, which takes root."""

    def __init__(self, stage: Stage, *, as_user: bool = False) -> None:
        self._stage = stage
        self.entrypoint = stage.facts["ENTRYPOINT"].words
        self.command = stage.facts["CMD"].words
        self.user, group = (int(number) if as_user else None for number in stage.facts["USER"].text.split(":"))
        self._identity: dict[str, Any] = {"user": self.user, "group": group, "extra_groups": []} if as_user else {}

    def environment(self, **more: str) -> dict[str, str]:
        """What a process has in the container: the image's own variables and ``more``, nothing of this machine."""
        return {name: self._stage.outside(value) for name, value in self._stage.env.items()} | more

    def files(self) -> list[str]:
        """Everything of ours in the image, from its root."""
        top = self._stage.path("/srv")
        return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())

    def path(self, inside: str) -> Path:
        """Where a path of the image is on this machine."""
        return self._stage.path(inside)

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the image until it ends."""
        return subprocess.run(
            self._words([*self.entrypoint, *words]),
            cwd=self._stage.path("."),
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **self._identity,
        )

    def start(self, log: Path, **more: str) -> "subprocess.Popen[bytes]":
        """Start what the image starts by itself."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self._words([*self.entrypoint, *self.command]),
                cwd=self._stage.path("."),
                env=self.environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self._identity,
            )

    def healthy(self, **more: str) -> bool:
        """What HEALTHCHECK says."""
        words = self._stage.facts["HEALTHCHECK"].text.partition("CMD ")[2]
        command = [self._stage.outside(word) for word in re.findall(r'"([^"]+)"', words)]
        done = subprocess.run(
            self._words(command), cwd="/", env=self.environment(**more), capture_output=True, timeout=10, check=False
        )
        return done.returncode == 0

    def _words(self, words: list[str]) -> list[str]:
        program = shutil.which(words[0], path=self.environment()["PATH"])
        assert program is not None, f"{words[0]} is not in the image"
        return [program, *words[1:]]


def linked(text: str, stage: Stage) -> None:
    """A RUN line; in place of a download, what the lock names is taken from the running environment, and only that."""
    create, and_, _install = text.partition(" && python -m pip ")
    in_a_shell(create, stage)
    if and_:
        _link_locked(stage)


def _link_locked(stage: Stage) -> None:
    site = next(stage.path("/opt/guildhall/lib").glob("python*/site-packages"))
    lock = stage.path("/tmp/requirements.txt").read_text("utf-8")
    names = re.findall(r"^([a-z0-9._-]+)==([^ ;]+)([^\\]*)\\", lock, re.MULTILINE)
    for name, version, marker in names:
        if marker.strip() and not Marker(marker.strip(" ;")).evaluate():
            continue
        found = distribution(name)
        assert found.version == version, f"{name} {found.version} is installed, {version} is locked"
        for file in {path.parts[0] for path in found.files or () if not path.parts[0].startswith("..")}:
            if file != "__pycache__" and not (site / file).exists():
                (site / file).symlink_to(Path(sysconfig.get_path("purelib")) / file)


def try_out(image: Image, folder: Path) -> str:
    """Start a node of the image alone with SQLite, check its health, stop it; one line about it."""
    ports = {"GUILDHALL_GATEWAY_PORT": str(free_port()), "GUILDHALL_HTTP_PORT": str(free_port())}
    settings = {"GUILDHALL_AUTH_KEYS": f'[{{"kid":"k1","alg":"HS256","secret":"{SECRET}"}}]', **ports}
    assert not image.healthy(**ports)
    process = image.start(folder / "log", GUILDHALL_HOST="127.0.0.1", **settings)
    try:
        deadline = time.monotonic() + START_S
        while not image.healthy(**ports):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    who = f"as {image.user}" if image.user else "as whoever runs this"
    return f"{who}: healthy, then exit {code} after SIGTERM; {len(image.files())} files of ours"


def _anyone_may_run_python() -> bool:
    folders = Path(os.path.realpath(sys.executable)).parents
    return os.geteuid() == 0 and all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders)


def main() -> int:
    """Build it for real in a folder of its own and try it, as the image's user where that can be."""
    with tempfile.TemporaryDirectory(prefix="guildhall-image-") as name:
        Path(name).chmod(0o755)
        image = Image(build(Path(name), in_a_shell, ROOT), as_user=_anyone_may_run_python())
        sys.stdout.write(try_out(image, Path(name)) + "\n")
    return 0


if __name__ == "__main__":
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sys.exit(main())
