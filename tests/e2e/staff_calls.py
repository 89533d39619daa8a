"""The staff API as a game's own server calls it, for what a test needs to have done."""

import json
import urllib.request
from typing import Any
from uuid import uuid4

from tests.support.nodes import NodeProcess

Answer = dict[str, Any]


def staff_call(server: NodeProcess, method: str, path: str, body: Answer | None = None) -> Answer:
    """Call an endpoint with the key of development mode; a refusal is an ``HTTPError``."""
    request = urllib.request.Request(f"{server.http}{path}", method=method)
    request.add_header("authorization", "Bearer dev")
    request.add_header("idempotency-key", uuid4().hex)
    if body is not None:
        request.add_header("content-type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=10) as answer:
        decoded: Answer = json.load(answer)
        return decoded


def announce(server: NodeProcess, text: str, **fields: Any) -> str:
    """Announce ``text`` to everybody now, and return the announcement's id."""
    made = staff_call(server, "POST", "/v1/announcements", {"text": {"en": text}, **fields})
    return str(made["announcement"])
