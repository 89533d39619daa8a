"""Guilds: look up."""

from secrets import token_hex

from litestar.handlers import HTTPRouteHandler

from actors.guild import GuildInspect, GuildInspected, GuildNotFound, GuildView
from server.staff.access import Endpoints
from server.staff.changes import Changes
from server.staff.desk import Desk
from server.staff.inputs import GuildId


def guild_routes(at: Endpoints, desk: Desk, _changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/guilds``."""

    @at.show("/v1/guilds/{guild:str}", "guilds.read", GuildNotFound)
    async def show(guild: GuildId) -> GuildView:
        """Show a guild as its members see it."""
        inspected = await desk.ask(GuildInspect(id=token_hex(12), guild=guild))
        assert isinstance(inspected, GuildInspected)
        return inspected.guild

    return [show]
