"""The two pages of staff: ``/staff`` to work with, ``/v1/docs`` to read. Served beside the API, in production too.

They hold nothing by themselves: what they show they ask of the API, with the key that a person has typed in.
"""

import asyncio
from collections.abc import Sequence

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from server.http_page import FOLDER, TYPES

PAGES = {"/staff": "staff.html", "/v1/docs": "docs.html"}
FILES = (
    "docs.css",
    "docs.js",
    "elements.js",
    "icon.svg",
    "staff-announcements.js",
    "staff-api.js",
    "staff-audit.js",
    "staff-forms.js",
    "staff-limits.js",
    "staff-nodes.js",
    "staff-player.js",
    "staff-players.js",
    "staff-words.js",
    "staff.css",
    "staff.js",
    "store.js",
    "style.css",
)
"""What the pages are made of; all else of the folder is of the demo page, which production does not serve."""
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def page_routes(*, files: bool) -> Sequence[HTTPRouteHandler]:
    """The pages and, unless the demo page serves the whole folder anyway, their ``files``."""
    routes = [_route(path, name) for path, name in PAGES.items()]
    return [*routes, *(_route(f"/{name}", name) for name in FILES)] if files else routes


def _route(path: str, name: str) -> HTTPRouteHandler:
    @get(path, include_in_schema=False)
    async def file() -> Response[bytes]:
        try:
            content = await asyncio.to_thread((FOLDER / name).read_bytes)
        except OSError:
            raise NotFoundException from None
        return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=HEADERS)

    return file
