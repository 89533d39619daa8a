"""Where a group of simulated players is at home: a guild of its own, and who is known there."""

import asyncio

from clients.python import Refused
from loadtest.players.player import Player

FOUNDING, KNOWN = "home.founding", "home.known"


async def home(me: Player) -> str:
    """The guild of the player's group, whose member the player is; whoever comes first founds it.

    The player then follows the guild and its chat. Every session begins with it: what is there already stays.
    """
    founding = me.shared.get(FOUNDING)
    if founding is None or founding.cancelled():
        founding = me.shared[FOUNDING] = asyncio.get_running_loop().create_future()
        try:
            founding.set_result(await _found(me))
            _moves_in(me, founding.result())
        finally:
            founding.cancel()  # changes nothing once there is a result; else the next one tries
    guild: str = await asyncio.shield(founding)
    if me.guild != guild:
        await _join(me, guild)
        _moves_in(me, guild)
    await me.ask("guild.watch", guild=guild)
    await me.ask("chat.join", channel=f"guild:{guild}")
    return guild


def known(me: Player) -> list[str]:
    """Everybody of the group who has been in the game."""
    names: list[str] = me.shared.setdefault(KNOWN, [])
    return names


def _moves_in(me: Player, guild: str) -> None:
    me.guild = guild
    known(me).append(me.name)


async def _found(me: Player) -> str:
    name = f"{me.run} {me.group}"
    try:
        return str((await me.ask("guild.create", name=name))["guild"])
    except Refused as refused:
        if refused.code == "guild.already_member":  # founded before, and the answer never came
            return str((await me.ask("guild.find", name=name))["guild"])
        raise


async def _join(me: Player, guild: str) -> None:
    try:
        await me.ask("guild.join", guild=guild)
    except Refused as refused:
        if refused.code != "guild.already_member":
            raise
