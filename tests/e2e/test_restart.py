"""One node on SQLite that is killed and started again: what was acknowledged is there, once."""

import asyncio
import sqlite3
import sys
from contextlib import closing
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


async def cut(database: Path, topic: str, floor: int) -> None:
    """Have the log of a topic begin at ``floor``, as retention does; its actor is put away first."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        owned = "SELECT 1 FROM actors WHERE actor = ? AND owner IS NOT NULL"
        while db.execute(owned, (topic.removeprefix("chat:"),)).fetchall():  # noqa: ASYNC110 - only looking tells
            await asyncio.sleep(0.05)
        db.execute("UPDATE topics SET floor_seq = ? WHERE topic = ?", (floor, topic))
        db.execute("DELETE FROM topic_events WHERE topic = ? AND seq < ?", (topic, floor))


async def test_a_cursor_that_cannot_be_continued_is_reset_and_never_left_with_a_gap(tmp_path: Path) -> None:
    config, database = tmp_path / "short.toml", tmp_path / "g.db"
    config.write_text("[actors]\nidle_s = 0.1\n[gateway]\nresume_events = 5\n")
    with node(tmp_path, "node", "--store", f"sqlite:///{database}", "--config", str(config)) as server:
        async with outside(server.url, "ann") as ann:
            epoch = (await ann.ask("chat.join", channel="room:raid"))["epoch"]
            for n in range(8):
                await ann.ask("chat.send", channel="room:raid", text=f"{n}")
        for cursor in (["other", 8], [epoch, 77], [epoch, 2]):
            async with outside(server.url, "ann", resume={"session": "", "cursors": {TALK: cursor}}) as again:
                assert again.welcome["topics"][TALK] == {"epoch": epoch, "seq": 8, "status": "reset"}
        await cut(database, TALK, 7)
        for seq, status in ((5, "reset"), (6, "resumed")):
            resume = {"session": "", "cursors": {TALK: [epoch, seq]}}
            async with outside(server.url, "ann", resume=resume) as again:
                assert again.welcome["topics"][TALK]["status"] == status
                synced = await again.ask("topic.sync", topic=TALK, after=seq)
                assert synced["status"] == status
                assert (await again.ask("chat.join", channel="room:raid", after=[epoch, seq]))["seq"] == 8


async def test_a_resume_on_a_live_session_wins_and_closes_the_old_connection(tmp_path: Path) -> None:
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db") as server:
        async with outside(server.url, "ann") as old:
            session = old.welcome["session"]
            async with outside(server.url, "ann", resume={"session": session, "cursors": {}}) as new:
                assert new.welcome["session"] == session
                assert await old.closed() == 4503
                assert (await new.ask("player.get"))["id"] == "ann"
                # What the end of the old connection has cleaned up was its own: the session is known as the new one's.
                await new.ask("player.rename", name="Anna")
                await new.ask("chat.join", channel="room:raid")
                await new.ask("chat.send", channel="room:raid", text="here")
                heard = await new.until(lambda events: any(event["t"] == "chat.message" for event in events))
                assert heard[-1]["from"]["name"] == "Anna"


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
