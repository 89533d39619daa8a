"""Nodes that the load tester starts itself: the same command that an operator uses, on loopback and free ports."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from loadtest.ports import HOST, free_port

START_S = 30.0
END_S = 60.0  # the server's own deadline for a drain is shorter


class ServerTrouble(Exception):
    """A node did not start, or ended by itself; says what it said last."""


class LocalNode:
    """One node, with the same ports and the same store at every start."""

    def __init__(self, name: str, folder: Path, options: Sequence[str]) -> None:
        self.name = name
        self.gateway_port, self.http_port = free_port(), free_port()
        self.url = f"ws://{HOST}:{self.gateway_port}/ws"
        self.http = f"http://{HOST}:{self.http_port}"
        self.log = folder / f"{name}.log"
        self._command = [sys.executable, "-m", "server", "serve", "--dev", "--node", name, *options]
        self._command += ["--gateway-port", str(self.gateway_port), "--http-port", str(self.http_port)]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            ServerTrouble
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GUILDHALL_")}
        said = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                start_new_session=True,  # a Ctrl-C is for the load tester
            )
        finally:
            os.close(said)
        await self._until_ready()

    async def replace(self) -> None:
        """SIGTERM, wait until it has drained and ended, and start it anew."""
        await self.end()
        await self.start()

    async def end(self) -> None:
        """SIGTERM, and wait for the end of the drain."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _until_ready(self) -> None:
        assert self._process is not None
        async with httpx.AsyncClient(timeout=2) as http:
            for _ in range(int(START_S / 0.05)):
                if self._process.returncode is not None:
                    raise ServerTrouble(f"{self.name} ended before it was ready: {self._tail()}")
                try:
                    if (await http.get(f"{self.http}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        raise ServerTrouble(f"{self.name} was not ready within {START_S:.0f} s: {self._tail()}")

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-1000:].strip()


@asynccontextmanager
async def local_nodes(count: int, folder: Path, *, store: str, bus: str) -> AsyncIterator[list[LocalNode]]:
    """So many nodes, ready, until the end of the block. ``store`` empty: a SQLite file of its own for a single node.

    Raises:
        ServerTrouble: one did not start, or several would need a store and a bus that they share.
    """
    if count > 1 and not (store and bus):
        raise ServerTrouble("several nodes share a database and a bus: give --store mysql://... and --bus redis://...")
    options = ["--store", store or f"sqlite:///{folder / 'guildhall.db'}", "--limits", "off"]
    options += ["--bus", bus] if bus else []
    nodes = [LocalNode(f"node-{n}", folder, options) for n in range(1, count + 1)]
    try:
        for node in nodes:  # one after the other: the first brings the schema up to date
            await node.start()
        yield nodes
    finally:
        for node in nodes:
            await node.end()
