"""Which web pages may use a visitor's browser to connect here (RFC 6455, section 10.2). Pure.

A browser lets any page open a WebSocket to anywhere, and says in ``Origin`` which page it is; the page cannot change
that. Native clients send none and need none: what signs in is the token in ``hello``, nothing that a browser adds by
itself, as it does a cookie.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"
LOOPBACK: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Origins:
    """The pages that may connect: those of ``allowed``, word for word; ``None``: pages of the same host. In development
    mode, where a name is enough to sign in, only those of this machine: a page that has its own name point here (DNS
    rebinding) is of the same host too.

    Raises:
        ValueError: one of ``allowed`` is no origin; the text says which.
    """

    def __init__(self, allowed: Sequence[str] | None, *, dev: bool = False) -> None:
        self._allowed = None if allowed is None else {_as_sent(origin) for origin in allowed}
        self._dev = dev

    def may_connect(self, origins: Sequence[str], hosts: Sequence[str]) -> bool:
        """Whether an upgrade with these ``Origin`` and ``Host`` fields is a page's that may, or no page's."""
        if not origins:
            return True
        if len(origins) > 1:
            return False
        origin = origins[0]
        if self._allowed is not None:
            return ANY in self._allowed or origin in self._allowed
        if self._dev:
            return LOOPBACK.fullmatch(origin) is not None
        own = _host_of(f"http://{hosts[0]}") if len(hosts) == 1 else None
        return own is not None and _host_of(origin) == own


def _as_sent(origin: str) -> str:
    """``origin`` as browsers write it: in small letters, without the port that its scheme has anyway."""
    if origin == ANY:
        return origin
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        raise ValueError(_no_origin(origin)) from None
    host = parts.hostname or ""
    bare = not (parts.path or parts.query or parts.fragment) and not origin.endswith(("?", "#"))
    if not bare or parts.scheme not in _DEFAULT_PORTS or not host or "*" in host or "@" in parts.netloc:
        raise ValueError(_no_origin(origin))
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")


def _no_origin(origin: str) -> str:
    return f"{origin!r} is no origin; allowed: * or scheme://host[:port] without a path"


def _host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in _DEFAULT_PORTS else None
