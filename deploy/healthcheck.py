"""Whether the node in this container runs: exit code 0 when ``/healthz`` says so within three seconds, else 1.

Imports only what is small and ignores proxy settings: it runs every few seconds. Port and TLS are those of the node's
variables. Whose certificate it is does not matter: nobody else listens in this container.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

TLS = {"GUILDHALL_TLS_CERT", "GUILDHALL_EDGE_TLS_CERT"}


def _secure(port: int) -> HTTPConnection:
    import ssl  # noqa: PLC0415 - large
    from http.client import HTTPSConnection  # noqa: PLC0415 - is not there without ssl

    return HTTPSConnection("127.0.0.1", port, timeout=3, context=ssl._create_unverified_context())  # noqa: S323, SLF001


def main() -> int:
    """The exit code; on failure the reason is printed for the engine's record."""
    port = int(os.environ.get("GUILDHALL_HTTP_PORT", "7351"))
    connection = _secure(port) if TLS & os.environ.keys() else HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    sys.stdout.write(f"{status}\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
