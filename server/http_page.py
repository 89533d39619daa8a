"""The demo page, in development mode only: a browser client to try a server with."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

FOLDER = Path(__file__).parents[1] / "clients" / "web"
TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
}

_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,64}}\.({'|'.join(TYPES)})")


def page_routes(folder: Path, gateway_port: Callable[[], int]) -> list[HTTPRouteHandler]:
    """``/`` and the files of ``folder`` beside it; nothing below it and nothing above."""

    @get("/", include_in_schema=False)
    async def index() -> Response[bytes]:
        return await _file(folder, "index.html", gateway_port())

    @get("/{name:str}", include_in_schema=False)
    async def file(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await _file(folder, request.path_params["name"], gateway_port())

    return [index, file]


def security_headers(gateway_port: int) -> dict[str, str]:
    """The page may load only what is beside it, and talk only to this server and its gateway."""
    hosts = (f"{host}:{gateway_port}" for host in ("127.0.0.1", "localhost"))
    gateway = " ".join(f"{scheme}://{host}" for host in hosts for scheme in ("ws", "wss"))
    policy = (
        f"default-src 'self'; connect-src 'self' {gateway}; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    )
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }


async def _file(folder: Path, name: str, gateway_port: int) -> Response[bytes]:
    kind = _NAME.fullmatch(name)
    if kind is None:
        raise NotFoundException
    try:
        content = await asyncio.to_thread((folder / name).read_bytes)
    except OSError:
        raise NotFoundException from None
    return Response(content, media_type=TYPES[kind[1]], headers=security_headers(gateway_port))
