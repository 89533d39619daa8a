"""Signing in for real: device accounts over HTTP, signed tokens on the gateway, and what an operator sees of it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest

from server.auth_keys import DEV_SECRET
from tests.support.nodes import ROOT, NodeProcess, node
from tests.support.wire import outside


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("node")
    with node(folder, "node", "--store", f"sqlite:///{folder}/g.db") as running:
        yield running


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GUILDHALL_")}
    command = [sys.executable, "-m", "server", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


async def test_a_device_signs_in_keeps_its_player_and_rotates_its_refresh_token(server: NodeProcess) -> None:
    async with httpx.AsyncClient(base_url=server.http) as http:
        first = (await http.post("/v1/auth/device", json={"device_id": "a-phone-of-somebody"})).json()
        again = (await http.post("/v1/auth/device", json={"device_id": "a-phone-of-somebody"})).json()
        assert again["player"] == first["player"]
        fresh = (await http.post("/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})).json()
        assert fresh["player"] == first["player"]
        assert fresh["refresh_token"] != first["refresh_token"]
        refused = await http.post("/v1/auth/refresh", json={"refresh_token": "made.up.token"})
        assert refused.headers["content-type"].startswith("application/problem+json")
        assert refused.json()["code"] == "auth.invalid"
    async with outside(server.url, "", token=fresh["token"]) as phone:
        assert phone.welcome["player"] == first["player"]


async def test_an_expired_token_ends_with_auth_expired_and_4501(server: NodeProcess) -> None:
    long_ago = 1_700_000_000
    token = jwt.encode({"sub": "ann", "iat": long_ago, "exp": long_ago + 900}, DEV_SECRET, headers={"kid": "dev"})
    async with outside(server.url, "", token=token) as ann:
        assert ann.welcome["code"] == "auth.expired"
        assert await ann.closed() == 4501


async def test_a_token_minted_by_the_command_signs_in(server: NodeProcess) -> None:
    made = await asyncio.to_thread(_run, "token", "ann", "--dev")
    assert made.returncode == 0, made.stderr
    async with outside(server.url, "", token=made.stdout.strip()) as ann:
        assert ann.welcome["player"] == "ann"


async def test_the_metrics_tell_of_connections_messages_and_commits(server: NodeProcess) -> None:
    async with outside(server.url, "mo") as mo, httpx.AsyncClient(base_url=server.http) as http:
        await mo.ask("chat.join", channel="room:metrics")
        await mo.ask("chat.send", channel="room:metrics", text="count me")
        text = (await http.get("/metrics")).text
        numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        assert float(numbers["guildhall_connections"]) >= 1
        assert float(numbers['guildhall_messages_in_total{type="chat.send"}']) >= 1
        assert float(numbers["guildhall_commit_seconds_count"]) >= 1
        assert float(numbers["guildhall_deliveries_total"]) >= 1
        assert float(numbers['guildhall_actors_active{kind="room"}']) >= 1
        assert (await http.get("/readyz")).status_code == 200


async def test_an_operator_can_look_into_an_actor_while_its_node_serves(server: NodeProcess, tmp_path: Path) -> None:
    async with outside(server.url, "pat") as pat:
        await pat.ask("chat.join", channel="room:looked-into")
        await pat.ask("chat.send", channel="room:looked-into", text="nothing secret")
        store = server.option("--store")
        seen = await asyncio.to_thread(_run, "inspect", "room", "looked-into", "--store", store, "--dev")
        assert seen.returncode == 0, seen.stderr
        actor = json.loads(seen.stdout)
        assert actor["owner"]
        assert actor["topics"][0]["seq"] == 1
        assert "pat" in actor["slices"]["chat"]["state"]["members"]
        assert {op["reply"] for op in actor["ops"]} == {"chat.sent"}
        nobody = await asyncio.to_thread(_run, "inspect", "room", "never", "--store", store, "--dev")
        assert nobody.returncode == 1
        assert nobody.stderr.strip() == "guildhall: nothing is kept of room:never"
