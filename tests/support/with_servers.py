"""Runs a command beside a private MariaDB and Redis: ``python -m tests.support.with_servers COMMAND``.

The command finds them in TEST_MYSQL_URL (without a database) and TEST_REDIS_URL.
"""

import os
import subprocess
import sys

from tests.support.servers import mariadb_server, redis_server


def main() -> int:
    """Exit code of the command."""
    with mariadb_server() as mariadb, redis_server() as redis:
        environment = {**os.environ, "TEST_MYSQL_URL": mariadb.url("").rstrip("/"), "TEST_REDIS_URL": redis.url}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
