"""The OpenAPI document of the API, which the page at ``/v1/docs`` is made from.

It is Litestar's, completed by what the endpoints declare (``access.Terms``): the scope, the error codes, the
``Idempotency-Key``.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Litestar, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.types import ControllerRouterHandler

from protocol import Busy, GuildhallError, IdReused, Invalid, NotAuthenticated, RateLimited, TokenExpired, Unavailable
from server.http_errors import Problem, status_of
from server.staff.access import Terms
from server.staff.changes import KeyMissing
from server.staff.keys import MissingScope
from server.staff.pages import HEADERS, page_routes

PATH = "/v1/docs/openapi.json"
EVERYWHERE: tuple[type[GuildhallError], ...] = (
    Invalid,
    NotAuthenticated,
    TokenExpired,
    MissingScope,
    RateLimited,
    Unavailable,
    Busy,
)
CHANGES: tuple[type[GuildhallError], ...] = (KeyMissing, IdReused)
KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "New for each change: 1 to 64 visible ASCII characters. The same one again gets the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 64},
}
Document = dict[str, Any]


def docs_routes(described: Sequence[ControllerRouterHandler], *, files: bool) -> list[HTTPRouteHandler]:
    """The document of the ``described`` routes, made when it is first asked for, and the pages of staff with, unless
    something else serves them, their ``files``."""
    made: list[bytes] = []

    @get(PATH, include_in_schema=False)
    async def openapi() -> Response[bytes]:
        if not made:
            made.append(await asyncio.to_thread(lambda: msgspec.json.encode(document(described))))
        return Response(made[0], media_type="application/json", headers=HEADERS)

    return [openapi, *page_routes(files=files)]


def document(described: Sequence[ControllerRouterHandler]) -> Document:
    """OpenAPI 3.1 of the routes."""
    config = OpenAPIConfig(title="Guildhall", version="1", path="/openapi")
    app = Litestar(list(described), openapi_config=config, logging_config=None)
    made: Document = app.openapi_schema.to_schema()
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for schema in schemas.values():
        _leave_out_the_envelope(schema)
    schemas["Problem"] = _problem()
    made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for handler in described:
        if isinstance(handler, HTTPRouteHandler):
            _complete(made["paths"], handler)
    return made


def _complete(paths: Document, handler: HTTPRouteHandler) -> None:
    for path in handler.paths:
        operations = paths.get(path.replace(":str}", "}").replace(":int}", "}"), {})
        for method in handler.http_methods:
            if method.lower() in operations:
                _complete_one(operations[method.lower()], handler)


def _complete_one(operation: Document, handler: HTTPRouteHandler) -> None:
    text = (handler.fn.__doc__ or "").strip()
    operation["summary"], _, more = (part.strip() for part in text.partition("\n"))
    if more:
        operation["description"] = " ".join(more.split())
    terms: Terms | None = handler.opt.get("terms")
    answers = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
    errors: tuple[type[GuildhallError], ...] = (Invalid, RateLimited, Unavailable)
    if terms is not None:
        operation["security"] = [{"key": []}]
        operation["x-scope"] = terms.scope
        errors = (*EVERYWHERE, *terms.errors)
        if terms.changes:
            operation.setdefault("parameters", []).append(KEY_HEADER)
            errors = (*EVERYWHERE, *CHANGES, *terms.errors)
    operation["responses"] = answers | _refusals(errors)


def _refusals(errors: Sequence[type[GuildhallError]]) -> Document:
    """One answer for each status, with its codes and what they mean."""
    by_status: dict[int, list[type[GuildhallError]]] = {}
    for error in dict.fromkeys(errors):
        by_status.setdefault(status_of(error()), []).append(error)
    return {
        str(status): {
            "description": "; ".join(f"`{each.code}`: {_sentence(each)}" for each in by_status[status]),
            "x-codes": [each.code for each in by_status[status]],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(by_status)
    }


def _sentence(error: type[GuildhallError]) -> str:
    return " ".join((error.__doc__ or "").strip().partition("\n\n")[0].split()).rstrip(".")


def _problem() -> Document:
    _, schemas = msgspec.json.schema_components([Problem], ref_template="#/components/schemas/{name}")
    found: Document = schemas["Problem"]
    return found


def _leave_out_the_envelope(schema: Document) -> None:
    """Answers have the fields of a reply, not the wire's type and request id."""
    properties = schema.get("properties", {})
    if "t" in properties and "re" in properties:
        del properties["t"], properties["re"]
        schema["required"] = [name for name in schema.get("required", ()) if name != "t"]
