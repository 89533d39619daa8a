"""Health and metrics of several workers, asked at any of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx
import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from actors.runtime.meters import Meters
from loadtest.ports import free_port
from server.config import Http
from server.http import HttpDoor, HttpParts, Readiness, SignedIn
from server.telemetry import registry_of
from server.workers.place import Worker
from server.workers.shared_http import merged, readiness, running_worker_http

IN_A_ROW = 24  # connections of which half would come to each of two workers


def said(*reasons: str, notes: tuple[str, ...] = ()) -> bytes:
    return msgspec.json.encode(Readiness(not reasons, list(reasons), list(notes)))


def test_one_worker_that_is_ready_is_enough_and_the_others_are_noted() -> None:
    found = readiness({0: said("the node drains"), 1: said(notes=("slow",)), 2: None})

    assert found.ready
    assert found.reasons == []
    assert found.notes == ["worker 0: the node drains", "worker 2: it does not answer", "worker 1: slow"]


def test_without_a_worker_that_is_ready_the_reasons_of_each_are_told() -> None:
    found = readiness({1: b"what?", 0: said("the node drains")})

    assert not found.ready
    assert found.reasons == ["worker 0: the node drains", "worker 1: it does not answer"]


def test_the_metrics_of_all_are_one_page_with_the_worker_as_a_label() -> None:
    pages = {}
    for number in (0, 1):
        meters = Meters()
        meters.connections = 10 + number
        meters.messages_in['odd "type" {x}'] = number + 1
        meters.commit_size.observe(3)
        pages[number] = generated(meters)
    families = {family.name: family for family in text_string_to_metric_families(merged({**pages, 2: None}).decode())}

    alone = list(text_string_to_metric_families(pages[0].decode()))
    assert families.keys() == {family.name for family in alone} | {"guildhall_worker_up"}
    for family in alone:
        same = [sample for sample in families[family.name].samples if sample.labels["worker"] == "0"]
        kept = [(s.name, {k: v for k, v in s.labels.items() if k != "worker"}, s.value) for s in same]
        assert kept == [(s.name, s.labels, s.value) for s in family.samples]
    assert [(s.labels, s.value) for s in families["guildhall_connections"].samples] == [
        ({"worker": "0"}, 10),
        ({"worker": "1"}, 11),
    ]
    assert [s.value for s in families["guildhall_worker_up"].samples] == [1, 1, 0]


def generated(meters: Meters) -> bytes:
    return generate_latest(registry_of(meters))


class Nobody:
    """Signs nobody in."""

    async def device(self, device_id: str, *, address: str) -> SignedIn:
        raise NotImplementedError

    refresh = device


class Machine:
    """Two workers' HTTP in one process."""

    def __init__(self) -> None:
        self.shared = free_port()
        self.own = (free_port(), free_port())
        self.reasons: list[list[str]] = [[], []]
        self.leave: list[Callable[[], None]] = []

    async def start(self, stack: AsyncExitStack, number: int) -> None:
        worker = Worker(number=number, name=f"n.{number}", gateway_port=1, http_port=self.shared, own_ports=self.own)
        meters = Meters()
        meters.connections = 100 + number
        parts = HttpParts(
            ready=lambda: self.reasons[number],
            registry=registry_of(meters),
            sign_in=Nobody(),
            gateway_port=lambda: number,
        )
        served = running_worker_http(Http(port=self.shared), parts, HttpDoor(share=True), worker)
        self.leave.append(await stack.enter_async_context(served))


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    made = Machine()
    async with AsyncExitStack() as stack:
        for number in (0, 1):
            await made.start(stack, number)
        yield made


async def get(port: int, path: str) -> httpx.Response:
    # A connection of its own, so that any worker takes it; to check certificates costs, though there are none.
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        return await client.get(f"http://127.0.0.1:{port}{path}")


async def test_whichever_worker_is_asked_answers_for_both(machine: Machine) -> None:
    machine.reasons[1] = ["the node drains"]
    for _ in range(8):
        ready = await get(machine.shared, "/readyz")
        assert (ready.status_code, ready.json()["notes"]) == (200, ["worker 1: the node drains"])
        page = (await get(machine.shared, "/metrics")).text
        assert 'guildhall_connections{worker="0"} 100.0\nguildhall_connections{worker="1"} 101.0\n' in page
        assert (await get(machine.shared, "/healthz")).status_code == 200
    machine.reasons[0] = ["the node starts"]
    none_ready = await get(machine.shared, "/readyz")
    assert none_ready.status_code == 503
    assert none_ready.json()["reasons"] == ["worker 0: the node starts", "worker 1: the node drains"]


async def test_at_a_port_of_its_own_each_tells_its_own_health_and_nothing_else(machine: Machine) -> None:
    machine.reasons[1] = ["the node drains"]

    assert (await get(machine.own[0], "/readyz")).status_code == 200
    assert (await get(machine.own[1], "/readyz")).status_code == 503
    assert "guildhall_connections 101.0\n" in (await get(machine.own[1], "/metrics")).text
    assert (await get(machine.own[1], "/v1/config")).status_code == 404, "sign-in and staff are at the shared port only"


async def test_one_that_has_left_the_shared_port_gets_nothing_more_there_and_is_still_counted(
    machine: Machine,
) -> None:
    machine.leave[0]()
    others = 0
    async with asyncio.timeout(20):
        while others < IN_A_ROW:
            try:
                taken_by = (await get(machine.shared, "/v1/config")).json()["gateway_port"]
            except httpx.TransportError:  # it was in the queue of the one that left
                taken_by = 0
            others = others + 1 if taken_by == 1 else 0

    assert 'guildhall_connections{worker="0"} 100.0' in (await get(machine.shared, "/metrics")).text
    assert (await get(machine.own[0], "/readyz")).status_code == 200
