"""Schema changes: each room brings its own, numbered from 1, applied once each in every database.

The SQL is one text for all engines where they agree: types VARCHAR(n), VARBINARY(n), BIGINT, INT, MEDIUMBLOB,
MEDIUMTEXT; no AUTO_INCREMENT, no charset (the MySQL runner appends engine, charset utf8mb4 and collation utf8mb4_bin
to CREATE TABLE, the SQLite runner adds the length checks that SQLite does not make by itself). Name an index after its
table: in SQLite index names are unique in the whole database.

A rolling release runs the older code on the newer schema for a while, and may go back one release. So a release only
adds (expand). What takes something away comes last (contract): the release before it announces the statement, which it
does not run and can live with; the next one runs it, marked ``contracts``, and anything older refuses the database.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from msgspec import Struct

LEDGER = """
CREATE TABLE IF NOT EXISTS migrations (
    room VARCHAR(64) NOT NULL,
    number INT NOT NULL,
    checksum VARCHAR(64) NOT NULL,
    contracts INT NOT NULL,
    applied_ms BIGINT NOT NULL,
    PRIMARY KEY (room, number)
)
"""
"""What was applied. ``applied_ms`` 0: begun, and the node died before it could note the end."""


class Migration(Struct, frozen=True):
    """Statement ``number`` of a room's schema; never edited once released (its checksum is kept)."""

    number: int
    sql: str
    contracts: bool = False
    """Whether releases that do not know the statement can no longer use the schema."""
    announced: bool = False
    """Whether it is for the next release to run."""

    @property
    def checksum(self) -> str:
        """SHA-256 of the text without surrounding white space."""
        return sha256(self.sql.strip().encode()).hexdigest()


class MigrationMismatch(Exception):
    """The database was migrated with another text under the same room and number, or by a newer release."""


class SchemaBehind(Exception):
    """The database lacks tables that this release needs: ``migrate`` has to run first."""


class Applied(Struct, frozen=True):
    """A row of the table ``migrations``."""

    room: str
    number: int
    checksum: str
    contracts: bool
    applied_ms: int


class Pending(Struct, frozen=True):
    """A migration still to be run; ``begun`` if an earlier run may have got as far as its statement."""

    room: str
    migration: Migration
    begun: bool

    @property
    def name(self) -> str:
        """``room/number``."""
        return f"{self.room}/{self.migration.number}"


def pending(rooms: Mapping[str, Sequence[Migration]], applied: Iterable[Applied]) -> list[Pending]:
    """What is to be run, room by room, in order of the numbers.

    Raises:
        ValueError: a room's numbers are not 1, 2, 3, ...
        MigrationMismatch: see there. Numbers that this release does not know are ignored unless they contract.
    """
    rows = {(row.room, row.number): row for row in applied}
    todo: list[Pending] = []
    for room, migrations in rooms.items():
        if [m.number for m in migrations] != list(range(1, len(migrations) + 1)):
            raise ValueError(f"the migrations of room {room!r} are not numbered 1, 2, 3, ...")
        for migration in migrations:
            row = rows.pop((room, migration.number), None)
            if row is not None and row.checksum != migration.checksum:
                raise MigrationMismatch(
                    f"migration {room}/{migration.number} was applied with another text: "
                    f"a released migration must not be edited; add a new one instead"
                )
            if not migration.announced and (row is None or not row.applied_ms):
                todo.append(Pending(room, migration, begun=row is not None))
    for row in rows.values():
        if row.contracts and row.room in rooms:
            raise MigrationMismatch(
                f"migration {row.room}/{row.number} was applied by a newer release, "
                f"whose schema this release cannot use; run that release"
            )
    return todo
