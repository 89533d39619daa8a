"""Audit: who has changed what."""

from typing import Annotated, Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from server.staff.access import Endpoints
from server.staff.changes import Changes
from server.staff.desk import Desk
from server.staff.inputs import Limit

_COLUMNS = "id, at_ms, key_id, key_name, address, action, target, old_value, new_value, op"

Target = Annotated[str | None, QueryParameter(min_length=1, max_length=160, description="E.g. `player:ann`.")]
KeyId = Annotated[str | None, QueryParameter(min_length=1, max_length=160, description="Id of a key.")]
Before = Annotated[
    str | None, QueryParameter(min_length=1, max_length=160, description="Only entries older than this id.")
]


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change."""

    id: str
    at: int
    key: str
    key_name: str
    address: str
    action: str
    target: str
    before: Any
    after: Any
    idempotency_key: str


class AuditShown(Struct, frozen=True, kw_only=True):
    """The newest first. With ``more``, the last one's ``id`` is the next page's ``before``."""

    entries: list[AuditEntry]
    more: bool


def audit_routes(at: Endpoints, desk: Desk, _changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/audit``."""

    @at.show("/v1/audit", "audit.read")
    async def show(target: Target = None, key: KeyId = None, before: Before = None, limit: Limit = 50) -> AuditShown:
        """List the changes that were made with keys."""
        terms = {"target = ?": target, "key_id = ?": key, "id < ?": before}
        asked = {term: value for term, value in terms.items() if value is not None}
        where = f" WHERE {' AND '.join(asked)}" if asked else ""
        rows = await desk.select(
            f"SELECT {_COLUMNS} FROM audit{where} ORDER BY id DESC LIMIT ?",  # noqa: S608 - our own words only
            (*asked.values(), limit + 1),
        )
        return AuditShown(entries=[_entry(row) for row in rows[:limit]], more=len(rows) > limit)

    return [show]


def _entry(row: tuple[Any, ...]) -> AuditEntry:
    id_, at_ms, key, name, address, action, target, old, new, op = row
    return AuditEntry(
        id=id_,
        at=at_ms,
        key=key,
        key_name=name,
        address=address,
        action=action,
        target=target,
        before=msgspec.json.decode(old),
        after=msgspec.json.decode(new),
        idempotency_key=op,
    )
