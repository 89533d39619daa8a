"""Actors: to have one that is quarantined tried again at once."""

from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from actors.set_aside import ActorRetried, ActorRetry, NotQuarantined
from protocol import Quarantined
from server.staff.access import Endpoints
from server.staff.changes import Changes
from server.staff.desk import Desk
from server.staff.inputs import Actor, Asked

_ROW = "SELECT 1 FROM actors WHERE actor = ?"


def actor_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/actors``."""

    @at.change("POST", "/v1/actors/{actor:str}/retry", "actors.retry", NotQuarantined, Quarantined)
    async def retry(actor: Actor, request: Asked) -> Response[ActorRetried]:
        """Have an actor that is quarantined loaded again at once, on whatever node it is, instead of within a minute.

        Answered once it has been loaded and has run a turn. Where it cannot be loaded it is quarantined anew, and this
        is refused with `actor.quarantined` and the reason.
        """
        again: Response[Any] | None = await changes.again(request)
        if again is not None:
            return again
        if not await desk.select(_ROW, (actor,)):  # so that nobody can have any actor loaded
            raise NotQuarantined(f"there is no actor {actor}")
        return await changes.run(request, lambda id_, by: ActorRetry(id=id_, actor=actor, by=by))

    return [retry]
