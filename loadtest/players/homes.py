"""Where a group of simulated players is at home: a guild of its own, and who is known there."""

import asyncio

from clients.python import Refused
from loadtest.players.player import Player

FOUNDING, KNOWN = "home.founding", "home.known"


async def home(me: Player) -> str:
    """The guild of the player's group, whose member the player is; whoever comes first founds it.

    The player then follows the guild and its chat. Every session begins with it: what is there already stays.
    """
    while not (guild := await _of_the_group(me)):
        pass  # whoever tried has failed
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


async def _of_the_group(me: Player) -> str:
    """The group's guild; empty where the player who was about to found it has failed."""
    founding: asyncio.Future[str] | None = me.shared.get(FOUNDING)
    if founding is not None:
        return await asyncio.shield(founding)
    founding = me.shared[FOUNDING] = asyncio.get_running_loop().create_future()
    guild = ""
    try:
        guild = await _found(me)
        _moves_in(me, guild)
    finally:
        if not guild:
            del me.shared[FOUNDING]
        founding.set_result(guild)
    return guild


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
