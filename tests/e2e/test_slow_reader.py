"""A phone in a tunnel: it is cut with 4001 instead of filling memory, and what it missed is there when it resumes."""

import asyncio
import socket
import time
from pathlib import Path
from statistics import median

from websockets.asyncio.client import connect

from tests.support.nodes import NodeProcess, node
from tests.support.raw import Raw, say, upgrade
from tests.support.wire import Outside, outside

LINES = 400
BIG = "x" * 1900
TOPIC = "chat:room:raid"
TRICKLE = 256  # bytes that the slow phone reads four times a second
ENOUGH = 4_500  # bytes, two lines: less than waits in the sockets of one that was cut


async def test_a_reader_that_does_not_read_is_cut_and_the_others_feel_nothing(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text("[gateway]\noutbound_bytes = 65536\n")
    options = ("--store", f"sqlite:///{tmp_path}/g.db", "--limits", "off", "--config", str(config))
    with node(tmp_path, "node", *options) as server:
        async with outside(server.url, "ann") as ann, outside(server.url, "bo") as bo:
            joined = await ann.ask("chat.join", channel="room:raid")
            await bo.ask("chat.join", channel="room:raid")
            async with connect(server.url, max_queue=1, close_timeout=0) as phone:
                phone.transport.get_extra_info("socket").setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF
                await phone.send('{"t":"hello","id":"h","token":"dev:slow"}')
                await phone.recv()
                await phone.send('{"t":"chat.join","id":"j","channel":"room:raid"}')
                await phone.recv()
                phone.transport.pause_reading()
                for _ in range(LINES // 20):
                    async with asyncio.TaskGroup() as saying:
                        for _ in range(20):
                            saying.create_task(ann.ask("chat.send", channel="room:raid", text=BIG))
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


class SlowPhone:
    """Reads 1 KB a second, byte by byte as a bad network brings them."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self._stream = asyncio.StreamReader()
        self._raw = Raw(self._stream, writer=None)  # type: ignore[arg-type]

    async def join(self, name: str) -> None:
        """Sign in, join the room and read what was said there, as fast as it comes."""
        hello, join = say("hello", "h", token=f"dev:{name}"), say("chat.join", "j", channel="room:raid")
        await asyncio.get_running_loop().sock_sendall(self.socket, upgrade() + hello + join)
        reading = asyncio.ensure_future(self.read(4096, pause_s=0))
        await self._raw.answered()
        await self._raw.reply("j")
        reading.cancel()

    async def trickle(self) -> None:
        """Read 1 KB a second until ``ENOUGH`` or the end of the connection."""
        await self.read(TRICKLE, pause_s=0.25, enough=ENOUGH)

    async def read(self, size: int, *, pause_s: float, enough: int | None = None) -> None:
        loop, have = asyncio.get_running_loop(), 0
        while (enough is None or have < enough) and (chunk := await loop.sock_recv(self.socket, size)):
            have += len(chunk)
            self._stream.feed_data(chunk)
            await asyncio.sleep(pause_s)

    async def heard(self) -> list[int]:
        """The seqs of all whole lines that it has."""
        self._stream.feed_eof()
        seqs = []
        while isinstance(seen := await self._raw.next(), dict):
            if seen["t"] == "chat.message":
                seqs.append(seen["seq"])
        return seqs


async def test_a_phone_that_reads_1_kb_a_second_slows_nobody_and_misses_nothing_once_it_resumes(
    tmp_path: Path,
) -> None:
    config = tmp_path / "small.toml"
    config.write_text("[gateway]\noutbound_bytes = 262144\n")
    options = ("--store", f"sqlite:///{tmp_path}/g.db", "--limits", "off", "--config", str(config))
    with node(tmp_path, "node", *options) as server:
        async with outside(server.url, "ann") as ann, outside(server.url, "bo") as bo:
            joined = await ann.ask("chat.join", channel="room:raid")
            await bo.ask("chat.join", channel="room:raid")
            alone = await talk(ann, bo, LINES)
            phone = SlowPhone(server.gateway_port)
            await phone.join("slow")
            reading = asyncio.ensure_future(phone.trickle())
            beside = await talk(ann, bo, LINES)
            await reading
            heard = await phone.heard()
            phone.socket.close()

        assert heard == list(range(LINES + 1, LINES + 1 + len(heard))), "in order, without gap or double"
        assert 0 < len(heard) < LINES / 2, "it was slow"
        print(f"a line took {alone.middle_ms:.1f} ms alone and {beside.middle_ms:.1f} ms beside the phone")  # noqa: T201
        assert beside.middle_ms < 2 * alone.middle_ms + 5
        cursors = {TOPIC: [joined["epoch"], LINES + len(heard)]}
        async with outside(server.url, "slow", resume={"session": "", "cursors": cursors}) as again:
            assert again.welcome["topics"][TOPIC]["status"] == "resumed"
            await again.until(lambda _: len(again.lines(TOPIC)) == LINES - len(heard))
            assert [seq for seq, _ in again.lines(TOPIC)] == list(range(LINES + len(heard) + 1, 2 * LINES + 1))
        check_others(server, ann, bo)


class Talk:
    """How long lines took from one player to another."""

    def __init__(self, took_ms: list[float], seconds: float) -> None:
        self.middle_ms = median(took_ms)
        self.seconds = seconds


async def talk(ann: Outside, bo: Outside, lines: int) -> Talk:
    """Have ``ann`` say so many lines, one after the other, and wait until ``bo`` has each."""
    took, began = [], time.monotonic()
    before = len(bo.lines(TOPIC))
    for n in range(1, lines + 1):
        start = time.monotonic()
        await ann.ask("chat.send", channel="room:raid", text=f"{n} {BIG}")
        await bo.until(lambda events, n=n: sum(e["t"] == "chat.message" for e in events) >= before + n)  # type: ignore[misc]
        took.append((time.monotonic() - start) * 1000)
    return Talk(took, time.monotonic() - began)


def check_others(server: NodeProcess, *others: Outside) -> None:
    """They have every line and were never closed by the node."""
    for each in others:
        assert [seq for seq, _ in each.lines(TOPIC)] == list(range(1, 2 * LINES + 1))
        assert each.close_code == 1000
    assert server.process.poll() is None
