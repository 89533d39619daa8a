"""A private pair of MariaDB servers for tests: a source and the replica that takes its place when it is gone."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from tests.support.servers import MariadbServer, ServerMissing, private_mariadb

APPLY_S = 30
"""The replica must have applied what it has received within this time, whole seconds; it takes a moment."""

_BOTH = (
    *("--log-bin=binlog", "--relay-log=relay", "--binlog-format=ROW", "--gtid-strict-mode=ON", "--sync-binlog=1"),
    "--log-bin-trust-function-creators=ON",  # a trigger of the experiments writes down who commits
)
_SEMI_SYNC_SOURCE = (
    *("--rpl-semi-sync-master-enabled=ON", "--rpl-semi-sync-master-wait-point=AFTER_SYNC"),
    "--rpl-semi-sync-master-timeout=3600000",  # milliseconds: never reached, so never asynchronous
)
_SEMI_SYNC_REPLICA = ("--rpl-semi-sync-slave-enabled=ON",)


class Pair(Struct, frozen=True):
    """A source, and a replica that is read only until it is promoted."""

    source: MariadbServer
    replica: MariadbServer

    def promote(self) -> None:
        """Make a source of the replica. It has first applied all that it has received: a node that looked for its
        last commit before that would not find it. The old source must not serve any more."""
        replica = self.replica
        replica.run("STOP SLAVE IO_THREAD")
        received = replica.told("SHOW SLAVE STATUS")["Gtid_IO_Pos"]
        applied = replica.told(f"SELECT MASTER_GTID_WAIT('{received}', {APPLY_S}) AS missed")
        if applied["missed"]:
            raise ServerMissing(f"the replica has not applied {received}: {replica.told('SHOW SLAVE STATUS')}")
        replica.run("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF")


@contextmanager
def replicated_mariadb(*, semi_sync: bool) -> Iterator[Pair]:
    """Two servers of this test's own whose commits reach the disk; both hold no database yet.

    ``semi_sync``: a commit on the source is answered, and seen by anybody, only after the replica has received it.
    Else replication is asynchronous.
    """
    of_source, of_replica = (_SEMI_SYNC_SOURCE, _SEMI_SYNC_REPLICA) if semi_sync else ((), ())
    with (
        private_mariadb(durable=True, options=(*_BOTH, "--server-id=1", *of_source)) as source,
        private_mariadb(durable=True, options=(*_BOTH, "--server-id=2", "--read-only", *of_replica)) as replica,
    ):
        replica.run(
            f"CHANGE MASTER TO MASTER_HOST = '{source.host}', MASTER_PORT = {source.port},"
            f" MASTER_USER = '{source.user}', MASTER_PASSWORD = '{source.password}', MASTER_USE_GTID = slave_pos",
            "START SLAVE",
        )
        yield Pair(source, replica)
