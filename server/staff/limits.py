"""Limits: what they are, and to change them while nodes run."""

from typing import Annotated

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body

from actors.limits import LimitsKept, LimitsSet
from protocol import settled
from server.node_limits import LimitsOrder, LimitsShown
from server.staff.access import Endpoints
from server.staff.changes import Changes
from server.staff.desk import Desk
from server.staff.inputs import Asked


def limit_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/limits``."""

    @at.show("/v1/limits", "limits.read")
    async def show() -> LimitsShown:
        """Show the limits of this node: as configured, what is set over them for all nodes, and what holds.

        Configured ones may differ between nodes.
        """
        return desk.node.limits.shown()

    @at.change("PUT", "/v1/limits", "limits.write")
    async def replace(data: Annotated[LimitsOrder, Body()], request: Asked) -> Response[LimitsKept]:
        """Set limits over the configured ones, on all nodes, at once and for as long as they are not set anew.

        The order is whole: what an earlier one has set and this does not is as configured again.
        """
        order = desk.node.limits.check(settled(data))
        return await changes.run(request, lambda id_, by: LimitsSet(id=id_, order=order, by=by))

    @at.change("DELETE", "/v1/limits", "limits.write")
    async def reset(request: Asked) -> Response[LimitsKept]:
        """Go by the configured limits again, on all nodes."""
        return await changes.run(request, lambda id_, by: LimitsSet(id=id_, order={}, by=by))

    return [show, replace, reset]
