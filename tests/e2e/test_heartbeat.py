"""A client that falls silent is taken for gone; one that says anything is not."""

from pathlib import Path

from tests.support.nodes import node
from tests.support.wire import outside


async def test_silence_for_twice_the_heartbeat_ends_with_4002_and_pings_keep_the_session(tmp_path: Path) -> None:
    config = tmp_path / "quick.toml"
    config.write_text("[gateway]\nheartbeat_s = 0.5\n")
    options = ("--store", f"sqlite:///{tmp_path}/g.db", "--config", str(config), "--limits", "off")
    with node(tmp_path, "node", *options) as server:
        async with outside(server.url, "ann") as silent, outside(server.url, "bo") as lively:
            assert silent.welcome["heartbeat_ms"] == 500
            while silent.close_code is None:
                pong = await lively.ask("ping")
                assert pong["t"] == "pong"
                assert pong["now"] > 1_700_000_000_000
            assert silent.close_code == 4002
            assert lively.close_code is None
