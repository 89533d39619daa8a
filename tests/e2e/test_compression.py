"""A node with compression on, and clients that offer it by themselves, as browsers do."""

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.test_hostile import serving, url


async def asked(socket: ClientConnection, t: str, number: str, **fields: Any) -> dict[str, Any]:
    """The reply to a request; events before it are skipped."""
    await socket.send(json.dumps({"t": t, "id": number, **fields}))
    while True:
        seen: dict[str, Any] = json.loads(await socket.recv())
        if seen.get("re") == number:
            return seen


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
async def test_a_page_of_history_travels_in_half_of_its_bytes(tmp_path: Path, *, on: bool) -> None:
    async with (
        serving(tmp_path, compression=on) as server,
        connect(url(server), compression="deflate") as socket,
    ):
        await asked(socket, "hello", "h", token="dev:ann")
        await asked(socket, "chat.join", "j", channel="room:raid")
        for n in range(15):
            await asked(socket, "chat.send", f"s{n}", channel="room:raid", text=f"who has the key of gate {n}")
        meters = server.gateway._meters
        before = meters.outbound_bytes
        page = await asked(socket, "chat.history", "c", channel="room:raid")
        assert [message["text"] for message in page["messages"]][-1] == "who has the key of gate 14"
        whole = len(json.dumps(page, separators=(",", ":")))
        assert whole > 2_000
        assert (meters.outbound_bytes - before < whole / 2) is on
