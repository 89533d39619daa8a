"""A node with its staff API, in memory: the real rooms, the real routes, no socket."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from random import Random
from secrets import token_bytes
from typing import Any

import httpx
from litestar.handlers import HTTPRouteHandler

from actors.player import SessionOpen
from actors.runtime import SessionRef
from actors.runtime.meters import Meters
from protocol import tag_of
from server.config import Limits
from server.features import FEATURES
from server.http import HttpParts, make_app
from server.node_limits import NodeLimits
from server.staff import Counted, Desk, DeskParts, NodeNumbers, staff_routes
from server.staff.access import Terms
from server.staff.keys import Scope, StaffKey, new_key
from server.telemetry import registry_of
from storage import Insert, Upsert
from tests.support.cluster import Cluster, Member

ADDRESS = "203.0.113.9"
EXAMPLES = {
    "{channel:str}": "room:lobby",
    "{seq:int}": "1",
    "{announcement:str}": 16 * "a",
    "{actor:str}": "guild:42",
    "{number:int}": "1",
}
"""What stands in the place of a parameter of a path, where not any name will do."""
_ops = count(1)


class Office:
    """One node's staff API, and whoever calls it."""

    def __init__(self, cluster: Cluster, member: Member, *, dev: bool = False) -> None:
        self.cluster = cluster
        self.member = member
        self.desk = Desk(member.clock)
        self.routes = staff_routes(self.desk, dev=dev)
        self.drains: list[str] = []
        self.counted = Counted(sessions=3, actors=7, messages_in=0, messages_out=0)
        node = member.node
        self.numbers = NodeNumbers(
            member.name,
            member.bus,
            member.clock,
            count=lambda: self.counted,
            drain=lambda: self.drains.append(member.name),
        )
        tags = frozenset(map(tag_of, node.blueprint.requests))
        self.limits = NodeLimits(Limits(), Meters(), Random(1), tags)
        node.replicas.watch("limits", self.limits.apply)
        self.parts = DeskParts(
            store=member.store,
            router=node.router,
            membership=node.membership,
            numbers=self.numbers,
            limits=self.limits,
        )
        self.desk.parts = self.parts
        nobody: Any = None
        parts = HttpParts(
            ready=list, registry=registry_of(Meters()), sign_in=nobody, gateway_port=lambda: 0, routes=self.routes
        )
        self._app: Any = make_app(parts)

    async def key(self, *scopes: Scope, expires_ms: int | None = None, name: str = "Ann Ops") -> str:
        """A new key's text."""
        made = new_key(
            name, scopes, now_ms=self.cluster.clock.now_ms(), expires_ms=expires_ms, random_bytes=token_bytes
        )
        await self.cluster.store.edit([Insert("staff_keys", made.key.row)])
        return made.text

    async def change_key(self, key: StaffKey) -> None:
        """Have the table say something else of a key."""
        await self.cluster.store.edit([Upsert("staff_keys", key.row, ("id",))])

    async def ask(
        self,
        method: str,
        path: str,
        key: str | None = None,
        *,
        op: str | None = "",
        address: str = ADDRESS,
        **more: Any,
    ) -> httpx.Response:
        """One request; ``op`` is its Idempotency-Key, by default a new one, None for none."""
        headers: list[tuple[Any, Any]] = [*more.pop("headers", ())]
        if key is not None:
            headers.append(("authorization", f"Bearer {key}"))
        if op is not None and method != "GET":
            headers.append(("idempotency-key", op or f"new-{next(_ops)}"))
        transport = httpx.ASGITransport(self._app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://staff") as client:
            return await client.request(method, path, headers=headers, **more)

    async def signed_in(self, *players: str) -> None:
        """Have players be here."""
        for player in players:
            ref = SessionRef(f"s-{player}", self.member.name, f"g-{player}")
            await self.member.said(SessionOpen(id=f"g-{player}", player=player, session=ref, name_hint=player), player)

    async def audit(self) -> list[dict[str, Any]]:
        """All entries, the newest first."""
        answer = await self.ask("GET", "/v1/audit", await self.key("audit.read"))
        entries: list[dict[str, Any]] = answer.json()["entries"]
        return entries


@asynccontextmanager
async def office(*, dev: bool = False) -> AsyncIterator[Office]:
    """A node that is up."""
    async with Cluster(FEATURES).running() as cluster:
        made = Office(cluster, await cluster.start("north"), dev=dev)
        async with made.numbers.running():
            yield made


def handlers() -> Sequence[HTTPRouteHandler]:
    """Every route of the staff API."""
    nothing: Any = None
    found = []
    for route in staff_routes(Desk(nothing), dev=False):
        assert isinstance(route, HTTPRouteHandler), f"{route} is closed by no guard that is tested"
        found.append(route)
    return found


def requests() -> list[tuple[str, str, Terms | None]]:
    """Method, a path and the terms of every route."""
    return [
        (method, filled(path), handler.opt.get("terms"))
        for handler in handlers()
        for path in handler.paths
        for method in sorted(handler.http_methods)
    ]


def filled(path: str) -> str:
    """A path with something in the place of its parameters."""
    for parameter, value in EXAMPLES.items():
        path = path.replace(parameter, value)
    parts = ["some" if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    return answer.status_code, answer.json()["code"]
