"""Expand, then contract: a schema change that the release before cannot live with says so."""

import re
from collections.abc import Iterator

import pytest

from server.features import blueprint
from storage import Migration, MigrationMismatch
from storage.migrations import Applied, pending
from storage.schema import with_core

EXPANDS = (
    re.compile(r"CREATE TABLE \w+ \(.*\)", re.DOTALL),
    re.compile(r"CREATE INDEX \w+ ON \w+ \([^()]+\)"),
    re.compile(r"ALTER TABLE \w+ ADD COLUMN \w+ [A-Z]+(\(\d+\))?( NULL)?( DEFAULT ('[^']*'|-?\d+|NULL))?"),
    re.compile(r"ALTER TABLE \w+ ADD COLUMN \w+ [A-Z]+(\(\d+\))? NOT NULL DEFAULT ('[^']*'|-?\d+)"),
)
"""What an older release does not notice: it neither reads nor writes what is new, and nothing that it writes is
refused. A unique index is none of these: it may refuse what the older release writes."""


def expands(migration: Migration) -> bool:
    """Whether the release before can go on with the schema."""
    return any(form.fullmatch(migration.sql.strip()) for form in EXPANDS)


def steps() -> Iterator[object]:
    for room, migrations in with_core(blueprint().migrations()).items():
        for migration in migrations:
            yield pytest.param(migration, id=f"{room}-{migration.number}")


@pytest.mark.parametrize("migration", list(steps()))
def test_a_change_that_does_more_than_add_is_marked(migration: Migration) -> None:
    assert expands(migration) or migration.contracts, "mark it `contracts=True`; the release before announces it"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (b INT NOT NULL PRIMARY KEY)",
        "CREATE INDEX a_by_b ON a (b, c)",
        "ALTER TABLE a ADD COLUMN b BIGINT NULL",
        "ALTER TABLE a ADD COLUMN b VARCHAR(64) NOT NULL DEFAULT ''",
        "ALTER TABLE a ADD COLUMN b INT NOT NULL DEFAULT 0",
    ],
)
def test_what_only_adds_is_known(sql: str) -> None:
    assert expands(Migration(1, sql))


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE a",
        "ALTER TABLE a DROP COLUMN b",
        "ALTER TABLE a RENAME TO b",
        "ALTER TABLE a RENAME COLUMN b TO c",
        "ALTER TABLE a MODIFY COLUMN b VARCHAR(32) NOT NULL",
        "ALTER TABLE a ADD COLUMN b INT NOT NULL",
        "ALTER TABLE a ADD COLUMN b INT NOT NULL DEFAULT 0, DROP COLUMN c",
        "CREATE UNIQUE INDEX a_by_b ON a (b)",
        "DROP INDEX a_by_b",
        "DELETE FROM a",
    ],
)
def test_what_takes_away_or_narrows_is_known(sql: str) -> None:
    assert not expands(Migration(1, sql))


# Taking something away, over three releases.
TABLE = Migration(1, "CREATE TABLE gift_log (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(64) NULL)")
DROP = "ALTER TABLE gift_log DROP COLUMN note"
USES, ANNOUNCES, DROPS = (
    {"gifts": [TABLE]},
    {"gifts": [TABLE, Migration(2, DROP, contracts=True, announced=True)]},
    {"gifts": [TABLE, Migration(2, DROP, contracts=True)]},
)


def after(release: dict[str, list[Migration]]) -> list[Applied]:
    """What a release has applied."""
    done = [step.migration for step in pending(release, [])]
    return [Applied("gifts", step.number, step.checksum, step.contracts, 1) for step in done]


def test_a_contraction_is_run_by_the_release_after_the_one_that_announces_it() -> None:
    assert [step.name for step in pending(ANNOUNCES, [])] == ["gifts/1"]
    assert [step.name for step in pending(DROPS, after(ANNOUNCES))] == ["gifts/2"]


def test_one_can_go_back_to_the_release_that_has_announced_it_and_no_further() -> None:
    assert pending(ANNOUNCES, after(DROPS)) == []
    with pytest.raises(MigrationMismatch, match="newer release"):
        pending(USES, after(DROPS))


def test_what_was_announced_is_what_is_run() -> None:
    other = {"gifts": [TABLE, Migration(2, "DROP TABLE gift_log", contracts=True, announced=True)]}
    with pytest.raises(MigrationMismatch, match="another text"):
        pending(other, after(DROPS))
