"""One node on SQLite that is killed and started again: what was acknowledged is there, once."""

import asyncio
import sys
from pathlib import Path

from tests.support.nodes import node
from tests.support.wire import outside

TALK = "chat:room:raid"


async def test_a_killed_node_comes_back_with_every_line_and_its_clients_resume_without_a_gap(tmp_path: Path) -> None:
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db", "--limits", "off") as server:
        async with outside(server.url, "ann") as ann:
            joined = await ann.ask("chat.join", channel="room:raid")
            last = ann.new_id()
            for n in range(5):
                await ann.ask("chat.send", channel="room:raid", text=f"line {n}")
            await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        cursors = {TALK: [joined["epoch"], 3], "guild:never": ["e1", 9]}
        resume = {"session": ann.welcome["session"], "cursors": cursors}
        async with outside(server.url, "ann", resume=resume) as again:
            topics = again.welcome["topics"]
            assert topics[TALK]["status"] == "resumed"
            assert topics["guild:never"]["status"] == "gone"
            await again.until(lambda _: len(again.lines(TALK)) == 2)
            assert again.lines(TALK) == [(4, "line 3"), (5, "line 4")]
            first = await again.ask("chat.send", id=last, channel="room:raid", text="after the crash")
            repeat = await again.ask("chat.send", id=last, channel="room:raid", text="after the crash")
            assert first == repeat
            page = await again.ask("chat.history", channel="room:raid")
            assert [m["seq"] for m in page["messages"]] == [1, 2, 3, 4, 5, 6]


async def test_a_cursor_of_another_history_is_reset_not_silently_continued(tmp_path: Path) -> None:
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db") as server:
        async with outside(server.url, "ann") as ann:
            joined = await ann.ask("chat.join", channel="room:raid")
            await ann.ask("chat.send", channel="room:raid", text="one")
        for cursor in (["other", 1], [joined["epoch"], 77]):
            async with outside(server.url, "ann", resume={"session": "", "cursors": {TALK: cursor}}) as again:
                assert again.welcome["topics"][TALK] == {"epoch": joined["epoch"], "seq": 1, "status": "reset"}


async def test_a_resume_on_a_live_session_wins_and_closes_the_old_connection(tmp_path: Path) -> None:
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db") as server:
        async with outside(server.url, "ann") as old:
            session = old.welcome["session"]
            async with outside(server.url, "ann", resume={"session": session, "cursors": {}}) as new:
                assert new.welcome["session"] == session
                assert await old.closed() == 4503
                assert (await new.ask("player.get"))["id"] == "ann"


async def test_a_second_process_on_the_same_file_refuses_to_start(tmp_path: Path) -> None:
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server", "serve", "--dev", "--store", f"sqlite:///{tmp_path}/g.db"),
            *("--gateway-port", "0", "--http-port", "0"),
            stderr=asyncio.subprocess.PIPE,
        )
        _, error = await process.communicate()
        assert process.returncode == 1
        assert error.decode().strip().endswith("one SQLite file serves one node")
