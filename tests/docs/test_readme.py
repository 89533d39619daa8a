"""The client in README.md talks to a server as it stands there."""

import asyncio
import sys
from pathlib import Path

from server.app import running_server
from server.config import Config
from server.config_sources import load
from tests.docs.documents import python_blocks
from tests.lints.sources import ROOT


def config(tmp_path: Path) -> Config:
    """A node of development mode on free ports."""
    options = {"dev": "true", "gateway_port": "0", "http_port": "0", "store": f"sqlite:///{tmp_path}/guildhall.db"}
    return load(options, {})


async def test_the_client_of_the_readme_hears_its_own_line(tmp_path: Path) -> None:
    ((program,),) = python_blocks("README.md").values()
    async with running_server(config(tmp_path)) as server:
        program = program.replace(":7350/", f":{server.gateway.port}/")
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        said, complained = await client.communicate()

    assert said.decode() == "ann hello\n", complained.decode()
