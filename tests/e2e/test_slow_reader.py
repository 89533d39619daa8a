"""A phone in a tunnel: it is cut with 4001 instead of filling memory, and what it missed is there when it resumes."""

import asyncio
from pathlib import Path

from websockets.asyncio.client import connect

from tests.support.nodes import node
from tests.support.wire import outside

LINES = 400
BIG = "x" * 1900


async def test_a_reader_that_does_not_read_is_cut_and_the_others_feel_nothing(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text("[gateway]\noutbound_bytes = 65536\n")
    options = ("--store", f"sqlite:///{tmp_path}/g.db", "--limits", "off", "--config", str(config))
    with node(tmp_path, "node", *options) as server:
        async with outside(server.url, "ann") as ann, outside(server.url, "bo") as bo:
            joined = await ann.ask("chat.join", channel="room:raid")
            await bo.ask("chat.join", channel="room:raid")
            async with connect(server.url, max_queue=1) as phone:
                phone.transport.get_extra_info("socket").setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF
                await phone.send('{"t":"hello","id":"h","token":"dev:slow"}')
                await phone.recv()
                await phone.send('{"t":"chat.join","id":"j","channel":"room:raid"}')
                await phone.recv()
                phone.transport.pause_reading()
                for n in range(LINES):
                    await ann.ask("chat.send", channel="room:raid", text=f"{n} {BIG}")
                await bo.until(lambda _: len(bo.lines("chat:room:raid")) == LINES)
                phone.transport.resume_reading()
                heard = 0
                try:
                    while True:
                        await asyncio.wait_for(phone.recv(), 10)
                        heard += 1
                except Exception:  # noqa: BLE001 - however the connection ends: cut in a frame, or with 4001
                    assert heard < LINES
            cursors = {"chat:room:raid": [joined["epoch"], heard]}
            async with outside(server.url, "slow", resume={"session": "", "cursors": cursors}) as again:
                assert again.welcome["topics"]["chat:room:raid"]["status"] == "resumed"
                await again.until(lambda _: len(again.lines("chat:room:raid")) == LINES - heard)
                assert [seq for seq, _ in again.lines("chat:room:raid")] == list(range(heard + 1, LINES + 1))
