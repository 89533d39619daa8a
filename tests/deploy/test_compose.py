"""deploy/compose.yaml: two nodes that accept their settings, behind one door, on a database that keeps what it says."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.limits import AdmissionLimits
from tests.deploy.balancer import CONFIGURATION, NODES
from tests.deploy.manifests import COMPOSE, DEPLOY, SERVICES, compose_variables, config, serving

OURS = [*NODES, "migrate"]
DEFAULT = Config()


def seconds(text: str) -> int:
    """A duration as compose writes it."""
    return int(text.removesuffix("s"))


def test_it_is_of_the_compose_specification() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", NODES)
def test_a_node_accepts_its_settings(name: str, tmp_path: Path) -> None:
    made = serving(compose_variables(name), tmp_path)

    assert made.store.url.startswith("mysql://")
    assert made.bus.url.startswith("redis://")
    assert not made.auth.dev
    assert {made.gateway.host, made.http.host} == {"0.0.0.0"}


def test_the_migration_accepts_its_settings(tmp_path: Path) -> None:
    assert config(compose_variables("migrate"), tmp_path).store.url.startswith("mysql://")
    assert SERVICES["migrate"]["command"] == ["migrate"]


def test_nodes_start_after_the_migration_is_done() -> None:
    for name in NODES:
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_only_the_load_balancer_can_be_reached_from_outside_and_by_default_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"balancer": ["${GUILDHALL_PUBLISH:-127.0.0.1:7350}:8080"]}
    assert "bind :8080" in CONFIGURATION.read_text("utf-8")
    assert COMPOSE["networks"]["back"]["internal"]
    assert {name for name, service in SERVICES.items() if "front" in service["networks"]} == {"balancer", *NODES}


def test_the_address_that_nodes_believe_is_the_load_balancers(tmp_path: Path) -> None:
    (network,) = COMPOSE["networks"]["front"]["ipam"]["config"]

    assert serving(compose_variables("node-a"), tmp_path).edge.trusted_proxies == [network["subnet"]]


def test_players_behind_the_balancer_are_limited_one_by_one(tmp_path: Path) -> None:
    assert serving(compose_variables("node-a"), tmp_path).limits.admission == AdmissionLimits()
    assert "http-request set-header X-Forwarded-For %[src]\n" in CONFIGURATION.read_text("utf-8")


@pytest.mark.parametrize("name", [*OURS, "balancer"])
def test_a_container_of_ours_can_change_nothing(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_time_to_drain(name: str, tmp_path: Path) -> None:
    drain_s = serving(compose_variables(name), tmp_path).gateway.drain_s

    assert seconds(SERVICES[name]["stop_grace_period"]) >= 2 * drain_s + 10


def test_what_has_answered_commit_is_on_the_disk() -> None:
    assert {"--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1"} <= set(SERVICES["mysql"]["command"])
    assert SERVICES["mysql"]["volumes"] == ["mysql:/var/lib/mysql"]


def test_redis_keeps_nothing_and_asks_for_a_password() -> None:
    command = SERVICES["redis"]["command"]

    assert command[command.index("--save") + 1] == ""
    assert command[command.index("--appendonly") + 1] == "no"
    assert "/run/secrets/redis_conf" in command


def test_every_image_has_a_version() -> None:
    images = [service["image"] for service in SERVICES.values()]

    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


def test_no_secret_is_written_down() -> None:
    def texts(part: Any) -> list[str]:
        parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        return [part] if isinstance(part, str) else [text for each in parts for text in texts(each)]

    assert [text for text in texts(COMPOSE) if "://" in text and "@" in text] == []
    assert {name for service in SERVICES.values() for name in service.get("secrets", ())} == COMPOSE["secrets"].keys()
    assert {secret["file"] for secret in COMPOSE["secrets"].values()} == {f"secrets/{n}" for n in COMPOSE["secrets"]}
    assert (DEPLOY / "secrets" / ".gitignore").read_text().splitlines()[1:] == ["*", "!.gitignore"]
