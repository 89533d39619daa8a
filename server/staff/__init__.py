"""The API for staff and for a game's own servers: keys with scopes, changes that happen once, an audit of all of them.

A new group of endpoints is a module with one function, and a line in ``groups`` below::

    def gift_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
        @at.show("/v1/gifts/{gift:str}", "gifts.read", GiftNotFound)
        async def show(gift: GiftId) -> GiftShown:
            '''What is known of a gift.'''
            return GiftShown(...)  # from desk.ask(GiftInspect(...)), desk.select(...)

        @at.change("POST", "/v1/gifts/{gift:str}/claim", "gifts.write", GiftGone)
        async def claim(gift: GiftId, data: Annotated[ClaimOrder, Body()], request: Asked) -> Response[GiftClaimed]:
            '''Claim a gift for a player.'''
            order = settled(data)
            return await changes.run(request, lambda id_, by: GiftClaim(id=id_, gift=gift, player=order.player, by=by))

        return [show, claim]

- **The scope is declared, not checked**: ``at.show`` and ``at.change`` put the guard before the handler. A new scope is
  a line of ``keys.Scope``. The errors named there are for the page of the API.
- **A parameter** has a type of ``inputs``, with bounds and words for the page: nothing else checks it.
- **A body** is a frozen struct with ``forbid_unknown_fields=True`` and bounds in its types, and goes through
  ``settled``. ``Meta(description=...)`` is shown on the page.
- **A change** is one internal request with ``by: By``; its turn ends with ``actors.staff.audit``. ``changes.run``
  answers with the fields of its reply.
- **What is shown** is a plain struct; the docstring's first paragraph is its line on the page.
- tests/server/test_staff_access.py takes every route by itself; give the group tests of its own beside it.
"""

from collections.abc import Sequence

from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler

from server.staff.access import Access, Endpoints
from server.staff.actors import actor_routes
from server.staff.announcements import announcement_routes
from server.staff.audit import audit_routes
from server.staff.changes import Changes
from server.staff.channels import channel_routes
from server.staff.desk import Desk, DeskParts
from server.staff.docs import docs_routes
from server.staff.guilds import guild_routes
from server.staff.leaderboards import leaderboard_routes
from server.staff.node_numbers import Counted, NodeNumbers
from server.staff.nodes import node_routes
from server.staff.players import player_routes
from server.staff.set_aside import tell_routes, timer_routes
from server.staff.wallets import wallet_routes

__all__ = ["Counted", "Desk", "DeskParts", "NodeNumbers", "docs_routes", "staff_routes"]


def staff_routes(desk: Desk, *, dev: bool) -> Sequence[ControllerRouterHandler]:
    """Every route of the API; ``dev``: with the key ``dev``."""
    access, changes = Access(desk, dev=dev), Changes(desk)
    groups = {
        "Players": player_routes,
        "Wallets": wallet_routes,
        "Guilds": guild_routes,
        "Channels": channel_routes,
        "Announcements": announcement_routes,
        "Leaderboards": leaderboard_routes,
        "Actors": actor_routes,
        "Messages set aside": tell_routes,
        "Timers set aside": timer_routes,
        "Nodes": node_routes,
        "Audit": audit_routes,
    }
    routes: list[HTTPRouteHandler] = []
    for title, group in groups.items():
        routes += group(Endpoints(access, title), desk, changes)
    return routes
