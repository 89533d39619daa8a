"""What a scenario's director may do beside the players: speak to everybody, replace nodes, wait."""

import asyncio
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx
from msgspec import Struct

from loadtest.history import Answered, AnyRecord, Asked
from loadtest.outcome import Mark
from loadtest.running.servers import LocalNode

STAFF = "loadtest"
TRIES_S = 0.5


class Tools(Struct, frozen=True, kw_only=True):
    """What a run was given for its director."""

    http: Sequence[str] = ()
    """HTTP ports of the nodes."""
    staff_key: str = ""
    nodes: Sequence[LocalNode] = ()
    """Those that the load tester has started itself."""
    replace: Sequence[str] = ()
    """Commands, each of which drains and replaces a node."""


class Stage:
    """The director's side of a run. What it does is marked in the plots."""

    def __init__(
        self, tools: Tools, note: Callable[[AnyRecord], None], *, run: str, began: float, duration_s: float
    ) -> None:
        self.duration_s = duration_s
        self.marks: list[Mark] = []
        self.notes: list[str] = []
        self.undone: list[str] = []
        """What the run was about and could not be done, in words: it has not passed then."""
        self._tools = tools
        self._note = note
        self._run = run
        self._began = began
        self._announced = 0

    @property
    def at_ms(self) -> int:
        """Milliseconds since the run began."""
        return round((time.monotonic() - self._began) * 1000)

    async def until(self, share: float) -> None:
        """Wait until this share of the run is over."""
        await asyncio.sleep(max(0.0, self._began + share * self.duration_s - time.monotonic()))

    def mark(self, says: str) -> None:
        """Have it in the plots."""
        self.marks.append(Mark(self.at_ms, says))

    async def announce(self, text: str) -> None:
        """Tell everybody, as staff does."""
        if not (self._tools.http and self._tools.staff_key):
            self._say_once("no announcements: they need a staff key in LOADTEST_STAFF_KEY")
            return
        self._announced += 1
        op = f"{self._run}-announcement-{self._announced}"
        self.mark(f"announced: {text}")
        await self._ask(op, {"t": "announcement.make", "id": op, "text": {"en": text}}, {"text": {"en": text}})

    async def replace_nodes(self) -> None:
        """Drain and replace one node after the other: those that the load tester has started, or by the commands of
        ``--replace``."""
        if not self._tools.nodes and not self._tools.replace:
            self.undone.append("no node was replaced: that needs --serve, or --replace COMMAND for each node")
        for node in self._tools.nodes:
            self.mark(f"{node.name} drains")
            await node.replace()
            self.mark(f"{node.name} is back")
        for command in self._tools.replace:
            self.mark(f"runs: {command}")
            process = await asyncio.create_subprocess_exec(*shlex.split(command), start_new_session=True)
            if await process.wait():
                self.undone.append(f"{command} ended with {process.returncode}")
            self.mark(f"done: {command}")

    async def _ask(self, op: str, message: dict[str, Any], body: dict[str, Any]) -> None:
        """Ask until it is answered, at whichever node does."""
        headers = {"authorization": f"Bearer {self._tools.staff_key}", "idempotency-key": op}
        async with httpx.AsyncClient(timeout=5, headers=headers) as http:
            while True:
                for node in self._tools.http:
                    self._note(Asked(self.at_ms, STAFF, STAFF, op, message))
                    with suppress(httpx.TransportError, ValueError):
                        answer = await http.post(f"{node}/v1/announcements", json=body)
                        reply = answer.json()
                        if answer.is_success:
                            self._note(
                                Answered(self.at_ms, STAFF, STAFF, op, {"t": "announcement.made", "re": op, **reply})
                            )
                            return
                        if reply.get("retry") == "never":
                            self._say_once(f"the announcement was refused: {reply.get('code')} {reply.get('detail')}")
                            return
                await asyncio.sleep(TRIES_S)

    def _say_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
