"""A gift of currency seen from outside: two nodes, MariaDB and Redis, and a node that is killed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_staff import call, guildhall
from tests.support.nodes import NodeProcess, two_nodes
from tests.support.wire import outside


@pytest.fixture
def cluster(tmp_path: Path, mysql_url: str, redis_url: str) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    with two_nodes(tmp_path, mysql_url, redis_url, "--limits", "off", "--lease", "3") as nodes:
        yield nodes


async def grant(server: NodeProcess, player: str, amount: int) -> None:
    body = {"currency": "gold", "amount": amount, "reason": "an event"}
    answer = await call(server, "POST", f"/v1/players/{player}/wallet/grants", body)
    assert answer.status_code == 200, answer.text


async def test_a_gift_reaches_a_player_on_another_node_in_both_wire_formats(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann, outside(two.url, "bo", wire="msgpack") as bo:
        await grant(two, "ann", 100)
        await grant(one, "bo", 10**12)
        given = await ann.ask("wallet.give", to="bo", currency="gold", amount="30", message="for the raid")
        assert (given["t"], given["amount"], given["balance"]) == ("wallet.given", "30", "70")
        events = await bo.until(lambda events: any(e.get("kind") == "wallet.gift_received" for e in events))
        changed = [e for e in events if e["t"] == "wallet.changed"][-1]
        assert (changed["delta"], changed["balance"], changed["other"]) == (30, 10**12 + 30, "ann")
        notice = next(e for e in events if e.get("kind") == "wallet.gift_received")
        assert (notice["body"], notice["data"]["amount"]) == ("for the raid", 30)
        refused = await ann.ask("wallet.give", to="nobody", currency="gold", amount=1)
        assert (refused["t"], refused["code"]) == ("error", "player.not_found")
        shown = await ann.ask("wallet.get")
        assert (shown["balances"], shown["sending"]) == ({"gold": "70"}, [])
    assert guildhall(one, "doctor", "--bus", one.option("--bus")).count("LOOK") == 0


async def test_gifts_under_way_when_the_receivers_node_is_killed_arrive_once(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann:
        async with outside(two.url, "bo"):
            await grant(one, "ann", 1000)
            ids = [ann.new_id() for _ in range(10)]
            async with asyncio.TaskGroup() as tasks:
                gifts = [
                    tasks.create_task(ann.ask("wallet.give", id=id_, to="bo", currency="gold", amount=7)) for id_ in ids
                ]
                await asyncio.sleep(0.02)  # some are through by then, some are not
                await asyncio.to_thread(two.kill)
        for id_, gift in zip(ids, gifts, strict=True):
            answer = gift.result()
            while answer["t"] == "error" and answer["retry"] != "never":
                answer = await ann.ask("wallet.give", id=id_, to="bo", currency="gold", amount=7)
            assert (answer["t"], answer["amount"]) == ("wallet.given", "7")
        async with outside(one.url, "bo") as bo:
            assert (await bo.ask("wallet.get"))["balances"] == {"gold": "70"}
        assert (await ann.ask("wallet.get"))["balances"] == {"gold": "930"}
    assert guildhall(one, "doctor", "--bus", one.option("--bus")).count("LOOK") == 0
