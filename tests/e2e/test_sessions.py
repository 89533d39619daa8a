"""Several connections of one player: the end of one takes nothing from the others."""

import asyncio
from pathlib import Path

from actors.runtime import ClosePlayer, MutePlayer
from protocol import CloseCode
from server.app import running_server
from server.config import Auth, Config, Gateway, Http, StoreConfig
from tests.support.raw import PATIENCE_S, say, signed_in


async def test_what_ends_with_a_connection_is_its_own_and_the_player_stays_reachable(tmp_path: Path) -> None:
    """The clean-up of the older one comes last, when the newer is long there: the player was still to be found."""
    config = Config(
        gateway=Gateway(port=0),
        http=Http(port=0),
        store=StoreConfig(url=f"sqlite:///{tmp_path}/g.db"),
        auth=Auth(dev=True),
    )
    async with running_server(config) as server, signed_in(server.gateway.port, "eve") as newer:
        router = server.node.router
        await newer.reply("h")
        async with signed_in(server.gateway.port, "eve") as older:
            await older.reply("h")
            assert server.gateway.sessions == 2
        async with asyncio.timeout(PATIENCE_S):
            while server.gateway.sessions > 1:  # noqa: ASYNC110 - nobody in the node knows that a test waits
                await asyncio.sleep(0.005)

        assert router.is_home("player:eve")
        router.command(MutePlayer("eve", until_ms=2**53))
        newer.put(say("chat.join", "j", channel="room:raid"), say("chat.send", "s", channel="room:raid", text="hm"))
        assert (await newer.reply("s"))["code"] == "chat.muted"
        router.command(ClosePlayer("eve", int(CloseCode.BANNED), "banned"))
        assert await newer.close_code() == CloseCode.BANNED
        async with asyncio.timeout(PATIENCE_S):
            while router.is_home("player:eve"):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
