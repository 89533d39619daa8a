"""Set aside: tells and timers that kept failing; to look at, to have tried once more, to give up."""

from typing import Annotated, Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from actors.runtime import type_of
from actors.set_aside import (
    Ending,
    TellNotSetAside,
    TellSettle,
    TellSettled,
    TimerNotSetAside,
    TimerSettle,
    TimerSettled,
)
from server.staff.access import Endpoints
from server.staff.changes import Changes
from server.staff.desk import Desk
from server.staff.inputs import ACTOR, Actor, Asked, Limit
from storage import SET_ASIDE

_TELLS = (
    "SELECT actor, number, to_actor, body, at_ms, failed FROM outbox"
    " WHERE shard = ? AND (actor > ? OR (actor = ? AND number > ?)) ORDER BY actor, number LIMIT ?"
)
_TIMERS = (
    "SELECT actor, name, body, due_ms, failed FROM timers"
    " WHERE shard = ? AND (actor > ? OR (actor = ? AND name > ?)) ORDER BY actor, name LIMIT ?"
)
_TELL = "SELECT 1 FROM outbox WHERE actor = ? AND number = ? AND shard = ?"
_TIMER = "SELECT 1 FROM timers WHERE actor = ? AND name = ? AND shard = ?"

Number = Annotated[int, PathParameter(ge=1, le=2**53, description="Number of the tell in its sender's outbox.")]
TimerName = Annotated[str, PathParameter(pattern=r"\A[^/]{1,64}\Z", description="Name of the timer.")]
FromActor = Annotated[
    str | None, QueryParameter(pattern=ACTOR, description="Only what comes after: the page before's `next_actor`.")
]
FromNumber = Annotated[int, QueryParameter(ge=0, le=2**53, description="The page before's `next_number`.")]
FromTimer = Annotated[str, QueryParameter(max_length=64, description="The page before's `next_timer`.")]


class TellShown(Struct, frozen=True, kw_only=True):
    """A tell that its receiver could not run. What it says is not shown: it may be what a player has written."""

    actor: str
    """The sender."""
    number: int
    to: str
    type: str
    at: int
    reason: str


class TellsShown(Struct, frozen=True, kw_only=True):
    """In order of senders and numbers."""

    tells: list[TellShown]
    more: bool
    next_actor: str | None = None
    next_number: int | None = None


class TimerShown(Struct, frozen=True, kw_only=True):
    """A timer whose turn kept failing."""

    actor: str
    timer: str
    type: str
    due: int
    reason: str


class TimersShown(Struct, frozen=True, kw_only=True):
    """In order of actors and names."""

    timers: list[TimerShown]
    more: bool
    next_actor: str | None = None
    next_timer: str | None = None


def tell_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/outbox/set-aside``."""

    @at.show("/v1/outbox/set-aside", "outbox.read")
    async def show(after_actor: FromActor = None, after_number: FromNumber = 0, limit: Limit = 50) -> TellsShown:
        """List the messages between actors that were set aside, without what they say."""
        first = after_actor or ""
        rows = await desk.select(_TELLS, (SET_ASIDE, first, first, after_number, limit + 1))
        tells = [_tell(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return TellsShown(tells=tells, more=False)
        return TellsShown(tells=tells, more=True, next_actor=tells[-1].actor, next_number=tells[-1].number)

    async def settle(actor: str, number: int, ending: Ending, request: Asked) -> Response[Any]:
        again = await changes.again(request)
        if again is not None:
            return again
        if not await desk.select(_TELL, (actor, number, SET_ASIDE)):  # so that nobody can have any actor loaded
            raise TellNotSetAside(f"{actor} has no tell {number} that was set aside")
        return await changes.run(
            request, lambda id_, by: TellSettle(id=id_, actor=actor, number=number, ending=ending, by=by)
        )

    @at.change("POST", "/v1/outbox/set-aside/{actor:str}/{number:int}/requeue", "outbox.requeue", TellNotSetAside)
    async def requeue(actor: Actor, number: Number, request: Asked) -> Response[TellSettled]:
        """Have a message that was set aside told once more, behind all that its sender has told since.

        It takes effect once. Where it fails again it is set aside again, with a new number and reason.
        """
        return await settle(actor, number, "requeued", request)

    @at.change("POST", "/v1/outbox/set-aside/{actor:str}/{number:int}/drop", "outbox.drop", TellNotSetAside)
    async def drop(actor: Actor, number: Number, request: Asked) -> Response[TellSettled]:
        """Give a message that was set aside up for good: what it should have done is never done."""
        return await settle(actor, number, "dropped", request)

    return [show, requeue, drop]


def timer_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/timers/set-aside``."""

    @at.show("/v1/timers/set-aside", "timers.read")
    async def show(after_actor: FromActor = None, after_timer: FromTimer = "", limit: Limit = 50) -> TimersShown:
        """List the timers that were set aside."""
        first = after_actor or ""
        rows = await desk.select(_TIMERS, (SET_ASIDE, first, first, after_timer, limit + 1))
        timers = [_timer(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return TimersShown(timers=timers, more=False)
        return TimersShown(timers=timers, more=True, next_actor=timers[-1].actor, next_timer=timers[-1].timer)

    async def settle(actor: str, timer: str, ending: Ending, request: Asked) -> Response[Any]:
        again = await changes.again(request)
        if again is not None:
            return again
        if not await desk.select(_TIMER, (actor, timer, SET_ASIDE)):
            raise TimerNotSetAside(f"{actor} has no timer {timer!r} that was set aside")
        return await changes.run(
            request, lambda id_, by: TimerSettle(id=id_, actor=actor, timer=timer, ending=ending, by=by)
        )

    @at.change("POST", "/v1/timers/set-aside/{actor:str}/{timer:str}/requeue", "timers.requeue", TimerNotSetAside)
    async def requeue(actor: Actor, timer: TimerName, request: Asked) -> Response[TimerSettled]:
        """Have a timer that was set aside fire now: late, and once. Where it fails again it is set aside again."""
        return await settle(actor, timer, "requeued", request)

    @at.change("POST", "/v1/timers/set-aside/{actor:str}/{timer:str}/drop", "timers.drop", TimerNotSetAside)
    async def drop(actor: Actor, timer: TimerName, request: Asked) -> Response[TimerSettled]:
        """Give a timer that was set aside up for good: what it should have done is never done."""
        return await settle(actor, timer, "dropped", request)

    return [show, requeue, drop]


def _tell(row: tuple[Any, ...]) -> TellShown:
    actor, number, to, body, at_ms, failed = row
    return TellShown(actor=actor, number=number, to=to, type=type_of(bytes(body)), at=at_ms, reason=failed)


def _timer(row: tuple[Any, ...]) -> TimerShown:
    actor, name, body, due_ms, failed = row
    return TimerShown(actor=actor, timer=name, type=type_of(bytes(body)), due=due_ms, reason=failed)
