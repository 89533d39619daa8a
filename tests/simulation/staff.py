"""What staff does: boards, announcements, notices. Each is asked of some node until it is answered for certain.

Recorded as loadtest/history.py says: the key's name as player, the Idempotency-Key as op.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import msgspec
from msgspec import to_builtins

from actors.broadcasts import AnnouncementMake, Audience
from actors.leaderboards import BoardDefine, Definition
from actors.mail import InboxDeliver
from actors.runtime import SERVER, ask
from actors.runtime.feature import reply_of
from actors.staff import By
from loadtest.history import Answered, Asked
from protocol import GuildhallError, Reply, Request, refusal, tag_of
from tests.simulation.player import BOARDS, Town
from tests.simulation.world import SimulatedMember, World

KEY = "staff"
PATIENCE_S = 10.0  # after which staff asks again
BOARD_RULES = {
    "arena": Definition(operator="best", order="desc"),
    "laps": Definition(operator="best", order="asc"),
    "coins": Definition(operator="sum", order="desc"),
}
assert set(BOARDS) == set(BOARD_RULES)


class Staff:
    """Does things, one after the other, in the process of whoever runs the simulation."""

    def __init__(self, world: World, town: Town) -> None:
        self._world = world
        self._town = town
        self._random: Random = world.random("staff")
        self._number = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def define_boards(self) -> None:
        """Boards first: without them no score is taken."""
        for board, definition in BOARD_RULES.items():
            await self._ask(partial(_definition, board, definition))

    async def work(self) -> None:
        """Until the town is at rest: now and then something for all, for some, for one."""
        while self._town.busy:
            await self._world.clock.sleep(1 + self._random.random() * 6)
            match self._random.randrange(5):
                case 0:
                    await self._announce()
                case 1:
                    await self._announce(later=True)
                case 2:
                    some = sorted(self._random.sample(self._town.players, 4))
                    await self._announce(audience=Audience(players=some))
                case _:
                    await self._notify(self._random.choice(self._town.players))

    async def _announce(self, *, audience: Audience | None = None, later: bool = False) -> None:
        text = {"en": f"News {self._number}", "tr": f"Haber {self._number}"}
        at = self._world.clock.now_ms() + 8_000 if later else None
        await self._ask(lambda by: AnnouncementMake(id=by.op, text=text, audience=audience, at=at, by=by))

    async def _notify(self, player: str) -> None:
        title = f"For {player} {self._number}"
        await self._ask(lambda by: InboxDeliver(id=by.op, player=player, notice=by.op, kind="gift", title=title, by=by))

    async def _ask(self, make: Callable[[By], Request[Any]]) -> None:
        """Ask until there is an answer that does not change."""
        world = self._world
        self._number += 1
        op = f"{KEY}-{self._number}"
        request: Request[Any] = make(By(key=KEY, name=KEY, address="", op=op, digest=b""))
        message = to_builtins(request)
        while True:
            member = world.dial(self._random)
            if member.gateway is None or member.process.paused or member.process.dead:
                await world.clock.sleep(0.5)
                continue
            world.note(Asked(world.now_ms, KEY, KEY, op, message))
            if await self._answered(member, request):
                return
            await world.clock.sleep(0.2 + self._random.random())

    async def _answered(self, member: SimulatedMember, request: Request[Any]) -> bool:
        """Ask once; whether the outcome is known now. As the server does, it looks into the audit before it asks."""
        kept = self._kept(request)
        if kept is not None:
            return self._note(request, kept)
        loop = self._world.loop
        answered: asyncio.Future[Reply | GuildhallError | None] = loop.create_future()

        async def asking() -> None:
            result: Any
            try:
                result = await ask(member.node.router, request, SERVER)
            except GuildhallError as refusal:
                result = refusal
            loop.deliver(loop.outside, 0.002, _settle, answered, result)

        self._tasks.append(member.process.context.run(loop.create_task, asking()))
        loop.call_later(PATIENCE_S, _settle, answered, None)
        result = await answered
        kept = self._kept(request)
        if kept is not None:  # whatever this one was refused with, another copy of it was run
            return self._note(request, kept)
        if result is None or (isinstance(result, GuildhallError) and result.retry != "never"):
            return False
        reply = to_builtins(refusal(result, request.id) if isinstance(result, GuildhallError) else result)
        return self._note(request, reply)

    def _note(self, request: Request[Any], reply: dict[str, Any]) -> bool:
        world = self._world
        world.note(Answered(world.now_ms, KEY, KEY, request.id, reply))
        return True

    def _kept(self, request: Request[Any]) -> dict[str, Any] | None:
        """What the audit says that the change was answered: the server looks there first."""
        rows = self._world.store.rows("SELECT reply FROM audit WHERE key_id = ? AND op = ?", (KEY, request.id))
        if not rows:
            return None
        return {"t": tag_of(reply_of(type(request))), "re": request.id, **msgspec.json.decode(rows[0][0])}


def _definition(board: str, definition: Definition, by: By) -> BoardDefine:
    return BoardDefine(id=by.op, board=board, definition=definition, by=by)


def _settle(answered: "asyncio.Future[Any]", result: Any) -> None:
    if not answered.done():
        answered.set_result(result)
