"""The processes of players, as the coordinator has them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from loadtest.figures import Tick
from loadtest.players.orders import LINE_BYTES, STOP, Ended, Orders, Rested, Said, decode_said, encode_orders

END_S = 120.0  # after the word to stop: for answers, for rest, for reading the conversations, for leaving


class FleetTrouble(Exception):
    """A process of players ended by itself; says what it said last."""


class Fleet:
    """All processes of one run. ``ticked`` hears each of their seconds."""

    def __init__(self, orders: Sequence[Orders], folder: Path, ticked: Callable[[Tick], None]) -> None:
        self.missing: list[str] = []
        """Who was not answered or did not hear everything in the end."""
        self.ended: list[Ended] = []
        self._orders = orders
        self._folder = folder
        self._ticked = ticked
        self._processes: list[asyncio.subprocess.Process] = []

    async def listen(self) -> None:
        """Take what the processes say, until the last one has left.

        Raises:
            FleetTrouble: one ended without having left.
        """
        async with asyncio.TaskGroup() as tasks:
            for number, process in enumerate(self._processes):
                tasks.create_task(self._listen(number, process), name=f"players-{number}")

    def stop(self) -> None:
        """Have everybody stop playing."""
        for process in self._processes:
            if process.stdin is not None and not process.stdin.is_closing():
                process.stdin.write(STOP)

    async def start(self) -> None:
        """Start the processes, and tell each what it plays."""
        for orders in self._orders:
            with self._log(orders.process).open("wb") as said:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "loadtest.players.process"),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=said,
                    start_new_session=True,  # a Ctrl-C is for the coordinator, who lets them end cleanly
                    limit=LINE_BYTES,
                )
            self._processes.append(process)
            assert process.stdin is not None
            process.stdin.write(encode_orders(orders) + b"\n")

    async def end(self) -> None:
        """See that none is left."""
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _listen(self, number: int, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            try:
                said: Said = decode_said(line)
            except msgspec.DecodeError:
                break  # somebody prints in a scenario; what follows is its error
            match said:
                case Tick():
                    self._ticked(said)
                case Rested(missing):
                    self.missing += missing
                case Ended():
                    self.ended.append(said)
                    return
        tail = self._log(number).read_text(errors="replace").strip()[-2000:]
        raise FleetTrouble(f"process {number} of players ended by itself: {tail or line.decode(errors='replace')}")

    def _log(self, number: int) -> Path:
        return self._folder / f"players-{number}.log"


@asynccontextmanager
async def fleet_of(orders: Sequence[Orders], folder: Path, ticked: Callable[[Tick], None]) -> AsyncIterator[Fleet]:
    """Processes that have been told what to play, until the end of the block."""
    fleet = Fleet(orders, folder, ticked)
    try:
        await fleet.start()
        yield fleet
    finally:
        await fleet.end()
