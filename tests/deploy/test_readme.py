"""Who follows deploy/README.md has the secrets that compose asks for, and a node that takes them."""

import re
import subprocess
from pathlib import Path
from shutil import copytree
from stat import S_IMODE

import pytest

from server.config import Config
from server.config_checks import check_serving
from server.config_sources import load
from tests.deploy.manifests import COMPOSE, DEPLOY, compose_variables

README = (DEPLOY / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of secrets, as the page's commands make it in a fresh checkout."""
    (commands,) = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    checkout = tmp_path_factory.mktemp("checkout")
    copytree(DEPLOY / "secrets", checkout / "deploy" / "secrets", ignore=lambda _, names: set(names) - {".gitignore"})
    subprocess.run(["/bin/sh", "-eu", "-c", commands], cwd=checkout, check=True, timeout=10)
    return checkout / "deploy" / "secrets"


def node(secrets: Path) -> Config:
    """The settings of a compose node with these secrets."""
    ours = {name: value for name, value in compose_variables("node-a").items() if name.startswith("GUILDHALL_")}
    return load({}, {name: value.replace("/run/secrets", str(secrets)) for name, value in ours.items()})


def test_its_commands_make_every_secret_that_compose_asks_for(secrets: Path) -> None:
    made = {path.name for path in secrets.iterdir() if path.name != ".gitignore"}

    assert made == COMPOSE["secrets"].keys()
    assert {S_IMODE((secrets / name).stat().st_mode) for name in made} == {0o444}
    assert S_IMODE(secrets.stat().st_mode) == 0o700


def test_a_node_takes_them_and_so_do_mysql_and_redis(secrets: Path) -> None:
    made = node(secrets)
    check_serving(made)
    mysql, redis = (secrets / "mysql_password").read_text(), (secrets / "redis_conf").read_text()

    assert made.store.url == f"mysql://guildhall:{mysql}@mysql:3306/guildhall"
    assert redis == f"requirepass {made.bus.url.removeprefix('redis://:').partition('@')[0]}\n"
    assert len((secrets / "auth_secret").read_bytes()) == 64


def test_every_file_that_it_names_exists() -> None:
    named = re.findall(r"(?:-f |-k |`)((?:deploy/)?kubernetes(?:/[a-z.]+)+|deploy/[a-z./]+)", README)

    assert len(named) > 8
    assert [name for name in named if not (DEPLOY / name.removeprefix("deploy/")).exists()] == []
