"""Nodes: who is there, what they do, and to drain one."""

import asyncio

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from actors.staff import NodeDrain, NodeDrained
from protocol import GuildhallError, Unavailable
from server.staff.access import Endpoints
from server.staff.changes import Changes, field
from server.staff.desk import Desk
from server.staff.inputs import Asked, NodeName
from server.staff.node_numbers import Numbers
from storage import NodeRow


class NodeNotFound(GuildhallError):
    """No live node has this name."""

    code = "node.not_found"


class NodeShown(Struct, frozen=True, kw_only=True):
    """A live node."""

    node: str
    address: str
    """Where players connect."""
    draining: bool
    lease_left_ms: int
    """What was left of its lease when the answering node last looked."""
    numbers: Numbers | None
    """What it does now; none if it has not answered within a second."""


class NodesShown(Struct, frozen=True, kw_only=True):
    """In order of their names."""

    nodes: list[NodeShown]


def node_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/nodes``."""

    @at.show("/v1/nodes", "nodes.read")
    async def show() -> NodesShown:
        """List the live nodes, with sessions, actors and messages a second."""
        node = desk.node
        async with asyncio.TaskGroup() as asking:
            tasks = [(row, asking.create_task(node.numbers.ask(row.node))) for row in node.membership.rows]
        return NodesShown(nodes=[_shown(row, task.result()) for row, task in tasks])

    @at.change("POST", "/v1/nodes/{name:str}/drain", "nodes.drain", NodeNotFound)
    async def drain(name: NodeName, request: Asked) -> Response[NodeDrained]:
        """Have a node send its sessions elsewhere, give up its actors and end with exit code 0, as at SIGTERM.

        It is one process that is told, not a name: repeating the request never drains the one that is started after it.
        """
        node = desk.node
        answer = await changes.again(request)
        if answer is None:
            if name not in {row.node for row in node.membership.rows}:
                raise NodeNotFound(f"no live node is called {name}")
            numbers = await node.numbers.ask(name)
            if numbers is None:
                raise Unavailable(f"{name} does not answer", retry_after_ms=1_000)
            started_at = numbers.started_at
            answer = await changes.run(
                request, lambda id_, by: NodeDrain(id=id_, node=name, started_at=started_at, by=by)
            )
        node.numbers.drain(name, field(answer, "started_at"))
        return answer

    return [show, drain]


def _shown(row: NodeRow, numbers: Numbers | None) -> NodeShown:
    return NodeShown(
        node=row.node, address=row.address, draining=row.draining, lease_left_ms=row.left_ms, numbers=numbers
    )
