"""Runs a command beside a private MariaDB and Redis: ``python -m tests.support.with_servers [--durable] COMMAND``.

The command finds them in TEST_MYSQL_URL (without a database) and TEST_REDIS_URL. ``--durable``: MariaDB's commits reach
the disk, as they must in production; without it they outlive its process only, which is quicker.
"""

import os
import subprocess
import sys

from tests.support.servers import mariadb_server, private_mariadb, redis_server


def main() -> int:
    """Exit code of the command."""
    durable = sys.argv[1:2] == ["--durable"]
    given = "TEST_MYSQL_URL" in os.environ
    with (
        private_mariadb(durable=True) if durable and not given else mariadb_server() as mariadb,
        redis_server() as redis,
    ):
        environment = {**os.environ, "TEST_MYSQL_URL": mariadb.url("").rstrip("/"), "TEST_REDIS_URL": redis.url}
        return subprocess.run(sys.argv[1 + durable :], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
