"""Staff changes over HTTP: each once for its ``Idempotency-Key``, for ever.

The row in ``audit`` is written in the commit of the change (``actors.staff``), so it alone says what has happened:

- no row: ask the actor;
- a row with the same digest: what is in it is the answer again, on any node, after any crash;
- a row with another digest: the key was used for something else.

A refusal leaves no row: the same request is tried anew. Whatever an actor refuses with, the row is looked for once
more, for this may have been the second run of a request whose first has done it.
"""

import re
from base64 import b32encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
from litestar import Request, Response

import protocol
from actors.staff import By, shown
from protocol import GuildhallError, IdReused
from server.staff.access import key_behind
from server.staff.desk import Desk

HEADER = "idempotency-key"
PRIVATE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_OP = re.compile(r"[!-~]{1,64}")


class KeyMissing(GuildhallError):
    """A change needs the header Idempotency-Key: 1 to 64 visible ASCII characters, new for each change."""

    code = "request.key_missing"


Make = Callable[[str, By], protocol.Request[Any]]
"""(request id, by) to the internal request of a change."""


class Changes:
    """Runs changes for the endpoints."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def by(self, request: Request[Any, Any, Any]) -> By:
        """Who asks, as which of its requests.

        Raises:
            KeyMissing: it does not say.
        """
        ops = request.headers.getall(HEADER, [])
        if len(ops) != 1 or _OP.fullmatch(ops[0]) is None:
            raise KeyMissing
        key = key_behind(request)
        asked = f"{request.method}\0{request.scope['path']}\0".encode() + await request.body()
        address = request.client.host if request.client else ""
        return By(key=key.id, name=key.name, address=address, op=ops[0], digest=sha256(asked).digest())

    async def known(self, by: By) -> bytes | None:
        """The body of the answer that ``by`` was given before.

        Raises:
            IdReused: it was given for another request.
        """
        rows = await self._desk.select("SELECT digest, reply FROM audit WHERE key_id = ? AND op = ?", (by.key, by.op))
        if not rows:
            return None
        digest, reply = rows[0]
        if bytes(digest) != by.digest:
            raise IdReused(f"Idempotency-Key {by.op} was used for another request")
        return str(reply).encode()

    async def again(self, request: Request[Any, Any, Any]) -> Response[Any] | None:
        """The answer that the request was given before; None if it is new. For a change that needs to look before it
        asks, and would look in vain once it was made.

        Raises:
            KeyMissing, IdReused: as in ``by`` and ``known``.
        """
        body = await self.known(await self.by(request))
        return None if body is None else answer(body)

    async def run(self, request: Request[Any, Any, Any], make: Make) -> Response[Any]:
        """Make the change, or answer again.

        Raises:
            GuildhallError: it was refused, nothing was changed; or the outcome is unknown (``retry`` is not
                ``never``), and the same request finds out.
        """
        by = await self.by(request)
        body = await self.known(by)
        if body is None:
            body = await self._ask(make(request_id(by), by), by)
        return answer(body)

    async def _ask(self, request: protocol.Request[Any], by: By) -> bytes:
        try:
            return shown(await self._desk.ask(request))
        except GuildhallError:
            body = await self.known(by)
            if body is None:
                raise
            return body


def field(given: Response[Any], name: str) -> Any:
    """A field of an answer."""
    return msgspec.json.decode(given.content)[name]


def answer(body: bytes) -> Response[Any]:
    """The answer to a change."""
    return Response(body, status_code=200, media_type="application/json", headers=PRIVATE)


def request_id(by: By) -> str:
    """The op id of a change: what it publishes is never published twice."""
    return b32encode(sha256(f"{by.key}\0{by.op}".encode()).digest()).decode().lower()[:26]
