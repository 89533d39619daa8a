"""``guildhall key``: keys are made once, listed without their secret, and revoked, beside a node that runs."""

from pathlib import Path

import pytest

from server.cli import main
from server.config import Config, ConfigError, StoreConfig
from server.features import blueprint
from server.staff import keys_cli
from server.staff.keys import SCOPES, SELECT, key_of, opens, split
from storage import SchemaBehind, migrate, open_store
from tests.support.clock import START_MS, FakeClock

DAY_S = 86_400


@pytest.fixture(params=["sqlite", "mysql"])
async def config(request: pytest.FixtureRequest) -> Config:
    url: str = request.getfixturevalue(f"{request.param}_url")
    await migrate(url, blueprint().migrations())
    return Config(store=StoreConfig(url=url))


class Line:
    """The command line, as far as keys go."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.clock = FakeClock()

    async def run(self, action: str, **given: str | list[str]) -> list[str]:
        said: list[str] = []
        await keys_cli.run(self.config, {"action": action, **given}, said.append, self.clock)
        return said


async def test_a_key_is_shown_once_and_kept_as_a_hash(config: Config) -> None:
    line = Line(config)
    async with open_store(config.store.url) as store:  # as a node has it open
        [text] = await line.run("create", name="Ann Ops", scope=["players.read", "players.ban"], expires="90d")
        [row] = await store.select(SELECT)
        [(action, target, after)] = await store.select("SELECT action, target, new_value FROM audit")

    key, parts = key_of(row), split(text)
    assert parts is not None
    assert (key.id, key.name, key.scopes) == (parts[0], "Ann Ops", frozenset({"players.read", "players.ban"}))
    assert (key.created_ms, key.expires_ms, key.revoked_ms) == (START_MS, START_MS + 90 * DAY_S * 1000, None)
    assert opens(parts[1], key)
    assert parts[1] not in repr(row)
    assert (action, target) == ("key.created", f"key:{key.id}")
    assert parts[1] not in after
    assert "hash" not in after


async def test_keys_are_listed_with_their_state_and_without_their_secret(config: Config) -> None:
    line = Line(config)
    texts = [
        *await line.run("create", name="One", scope=["admin"]),
        *await line.run("create", name="Two", scope=["audit.read"], expires="1h"),
        *await line.run("create", name="Three", scope=["audit.read"], expires="2d"),
    ]
    ids = [text.split("_")[1] for text in texts]
    await line.run("revoke", id=ids[0])
    await line.clock.advance(3600)
    listed = {each.split()[0]: each for each in await line.run("list")}

    assert listed.keys() == set(ids)
    assert [("revoked" in listed[i], "expired" in listed[i], "good until" in listed[i]) for i in ids] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert not any(text.split("_", 2)[2] in "".join(listed.values()) for text in texts)


async def test_revoking_is_for_ever_and_repeating_it_does_no_harm(config: Config) -> None:
    line = Line(config)
    [text] = await line.run("create", name="One", scope=["admin"])
    key_id = text.split("_")[1]
    await line.clock.advance(1)
    await line.run("revoke", id=key_id)
    await line.clock.advance(60)
    await line.run("revoke", id=key_id)
    async with open_store(config.store.url) as store:
        [row] = await store.select(SELECT)
        entries = await store.select("SELECT action FROM audit ORDER BY id")

    assert key_of(row).revoked_ms == START_MS + 1000
    assert entries == [("key.created",), ("key.revoked",)]


@pytest.mark.parametrize(
    ("action", "given"),
    [
        ("create", {"name": "x"}),
        ("create", {"name": "x", "scope": ["everything"]}),
        ("create", {"name": "", "scope": ["admin"]}),
        ("create", {"name": "x" * 65, "scope": ["admin"]}),
        ("create", {"name": "a\nb", "scope": ["admin"]}),
        ("create", {"name": "x", "scope": ["admin"], "expires": "0d"}),
        ("create", {"name": "x", "scope": ["admin"], "expires": "90"}),
        ("create", {"name": "x", "scope": ["admin"], "expires": "9999d"}),
        ("revoke", {"id": "none"}),
    ],
    ids=str,
)
async def test_wrong_orders_are_refused_and_change_nothing(
    sqlite_url: str, action: str, given: dict[str, str | list[str]]
) -> None:
    await migrate(sqlite_url, blueprint().migrations())
    line = Line(Config(store=StoreConfig(url=sqlite_url)))
    with pytest.raises(ConfigError):
        await line.run(action, **given)

    assert await line.run("list") == []


async def test_a_database_of_an_older_release_has_to_be_migrated_first(sqlite_url: str) -> None:
    await migrate(sqlite_url, {})
    with pytest.raises(SchemaBehind, match="guildhall migrate"):
        await Line(Config(store=StoreConfig(url=sqlite_url))).run("list")


# The command.
def test_the_command_makes_lists_and_revokes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", f"sqlite:///{tmp_path}/g.db"]
    assert main(["migrate", *store]) == 0
    capsys.readouterr()
    assert main(["key", "create", "Ann Ops", "--scope", "admin", "--expires", "1d", *store]) == 0
    text = capsys.readouterr().out.strip()
    key_id = text.split("_")[1]
    assert main(["key", "revoke", key_id, *store]) == 0
    assert main(["key", "list", *store]) == 0
    assert f"{key_id}  revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [["key"], ["key", "fly"], ["key", "create"], ["key", "create", "x", "--scopes", "admin"], ["key", "revoke"]],
    ids=" ".join,
)
def test_wrong_commands_are_one_line_and_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_scope_is_one_word_of_an_area() -> None:
    assert [scope for scope in SCOPES if scope != "admin" and scope.count(".") != 1] == []
    assert "admin" in SCOPES
