"""Whether the node in this container runs: exit code 0 when ``/healthz`` says so within three seconds, else 1.

Imports only what is small and ignores proxy settings: it runs every few seconds.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException


def main() -> int:
    """The exit code; on failure the reason is printed for the engine's record."""
    port = int(os.environ.get("GUILDHALL_HTTP_PORT", "7351"))
    connection = HTTPConnection("127.0.0.1", port, timeout=3)
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
