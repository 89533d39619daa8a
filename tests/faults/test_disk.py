"""A full disk under SQLite."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.conftest import Report
from tests.faults.experiment import BACK_S, Cluster, Experiment
from tests.faults.town import Town

pytestmark = [pytest.mark.timeout(180), pytest.mark.faults]
DISK = "24m"
OUTAGE_S = 4.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, in memory: to mount it takes the rights of root."""
    place = tmp_path / "disk"
    place.mkdir()
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, "mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0777", "guildhall", place], check=True)
    try:
        yield place
    finally:
        subprocess.run([*sudo, "umount", place], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is left, to the last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            assert shutil.disk_usage(disk).free < 4096
    return ballast


async def test_the_disk_under_sqlite_is_full_for_a_while(disk: Path, tmp_path: Path, report: Report) -> None:
    """Whatever cannot be saved is refused, ``/readyz`` says no, and with room it goes on by itself."""
    with ExitStack() as running:
        cluster = Cluster(tmp_path, f"sqlite:///{disk}/guildhall.db", "local:", running)
        node = await cluster.add()
        experiment = Experiment(cluster, tmp_path)
        ready = []

        async def full(_: Town) -> None:
            ballast = await asyncio.to_thread(fill, disk)
            await asyncio.sleep(OUTAGE_S)
            ready.append(await asyncio.to_thread(node.readyz))
            ballast.unlink()

        measured = await experiment.run("the disk under SQLite is full for four seconds", full)

        report(measured)
        assert ready[0][0] == 503, ready
        assert measured.silence_s < OUTAGE_S + BACK_S
        assert node.readyz()[0] == 200
        cluster.logged("")
