"""What the bench asks of a node as its staff, over HTTP."""

import urllib.request


def change(http_port: int, method: str, path: str, body: bytes) -> None:
    """Make one change; ``body`` is JSON.

    Raises:
        urllib.error.HTTPError: it was refused.
    """
    call = urllib.request.Request(
        f"http://127.0.0.1:{http_port}{path}",
        method=method,
        data=body,
        headers={"authorization": "Bearer dev", "idempotency-key": "bench", "content-type": "application/json"},
    )
    urllib.request.urlopen(call, timeout=30).close()  # noqa: S310 - a node of this machine
