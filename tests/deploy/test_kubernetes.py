"""deploy/kubernetes: objects of the right form, nodes that accept their settings, and numbers that agree."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.runtime.meters import Meters
from server.config import Config, ConfigError
from server.limits import AdmissionLimits
from server.telemetry import registry_of
from tests.deploy.manifests import KUBERNETES, config, container, kubernetes, objects, pod, pod_variables, serving

DEFAULT = Config()
PODS = [("Deployment", "guildhall"), ("Job", "guildhall-migrate")]
VERSIONS = ["1.32", "1.37"]  # the oldest and the newest that this is written for


def kustomization(folder: Path = KUBERNETES) -> dict[str, Any]:
    """A list of objects."""
    found: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_of_its_schema(version: str) -> None:
    files = sorted({str(path) for path, _ in objects()})
    checked = subprocess.run(
        [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, *files],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_lists_name_every_file_but_the_example_of_the_secret() -> None:
    listed = {
        *kustomization()["resources"],
        *(f"migrate/{n}" for n in kustomization(KUBERNETES / "migrate")["resources"]),
    }
    files = {str(path.relative_to(KUBERNETES)) for path, _ in objects()}

    assert files - listed == {"secret.example.yaml"}
    assert listed <= files


def test_the_migration_and_the_nodes_are_of_one_release() -> None:
    assert kustomization()["images"] == kustomization(KUBERNETES / "migrate")["images"]


# Settings.
def test_a_node_accepts_its_settings(tmp_path: Path) -> None:
    made = serving(pod_variables("Deployment"), tmp_path)

    assert made.store.url.startswith("mysql://")
    assert made.bus.url.startswith("redis")
    assert made.auth.keys[0].secret_file == f"{tmp_path}/auth-secret"
    assert not made.auth.dev
    assert {made.gateway.host, made.http.host} == {"0.0.0.0"}


def test_the_migration_accepts_its_settings(tmp_path: Path) -> None:
    assert config(pod_variables("Job", "guildhall-migrate"), tmp_path).store.url.startswith("mysql://")
    assert container("Job", "guildhall-migrate")["args"] == ["migrate"]


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_kubernetes_adds_no_variables_that_a_node_would_refuse(kind: str, name: str, tmp_path: Path) -> None:
    """A service called guildhall sets GUILDHALL_PORT=tcp://... in every pod; a node takes no unknown setting."""
    added = {"GUILDHALL_SERVICE_HOST": "10.0.0.1", "GUILDHALL_PORT": "tcp://10.0.0.1:7350"}

    with pytest.raises(ConfigError):
        config(pod_variables(kind, name) | added, tmp_path)
    assert pod(kind, name)["enableServiceLinks"] is False


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_a_pod_gets_the_secrets_that_its_settings_name(kind: str, name: str) -> None:
    keys = kubernetes("Secret")["stringData"].keys()
    (volume,) = pod(kind, name)["volumes"]
    (mount,) = container(kind, name)["volumeMounts"]
    files = {f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
    named = {value for variable, value in pod_variables(kind, name).items() if variable.endswith("_FILE")}

    assert {item["key"] for item in volume["secret"]["items"]} <= keys
    assert named <= files
    if kind == "Deployment":
        assert f"{mount['mountPath']}/auth-secret" in pod_variables(kind)["GUILDHALL_AUTH_KEYS"]
        assert "migrate-store-url" not in {item["key"] for item in volume["secret"]["items"]}


def test_the_example_of_the_secret_holds_none() -> None:
    values = kubernetes("Secret")["stringData"].values()

    assert [value for value in values if "CHANGE-ME" not in value] == []
    assert max(len(value) for value in values if "://" not in value) < 32  # which a node refuses as too short


# Coming and going.
def test_a_pod_is_not_killed_before_its_drain_is_over(tmp_path: Path) -> None:
    drain_s = serving(pod_variables("Deployment"), tmp_path).gateway.drain_s
    pause_s = container("Deployment")["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pod("Deployment")["terminationGracePeriodSeconds"] >= pause_s + 2 * drain_s + 10


def test_a_node_that_drains_gets_no_new_players_and_one_that_lost_its_database_is_not_restarted() -> None:
    node = container("Deployment")

    assert node["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    for probe in ("livenessProbe", "startupProbe"):
        assert node[probe]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_a_rollout_and_an_emptied_machine_take_one_node_at_a_time() -> None:
    rollout = kubernetes("Deployment")["spec"]["strategy"]["rollingUpdate"]

    assert rollout == {"maxSurge": 1, "maxUnavailable": 0}
    assert kubernetes("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_the_autoscaler_counts_what_nodes_show_and_leaves_room_for_the_players_of_a_lost_one() -> None:
    spec = kubernetes("HorizontalPodAutoscaler")["spec"]
    (metric,) = spec["metrics"]
    fewest, wanted = spec["minReplicas"], int(metric["pods"]["target"]["averageValue"])

    assert metric["pods"]["metric"]["name"] in {each.name for each in registry_of(Meters()).collect()}
    assert wanted * fewest / (fewest - 1) < DEFAULT.limits.admission.connections
    assert "replicas" not in kubernetes("Deployment")["spec"]


def test_players_behind_the_ingress_are_limited_one_by_one(tmp_path: Path) -> None:
    node = serving(pod_variables("Deployment"), tmp_path)

    assert node.edge.trusted_proxies
    assert node.limits.admission == AdmissionLimits()
    assert kubernetes("Ingress")["metadata"]["annotations"]["haproxy.org/forwarded-for"] == "true"


# Who may do what.
@pytest.mark.parametrize(("kind", "name"), PODS)
def test_a_pod_can_change_nothing_and_ask_kubernetes_nothing(kind: str, name: str) -> None:
    assert container(kind, name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    context = pod(kind, name)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert {context["runAsUser"], context["runAsGroup"], context["fsGroup"]} == {10001}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(kind, name)["automountServiceAccountToken"] is False
    enforced = kubernetes("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"


def test_ports_are_those_of_the_settings() -> None:
    ports = {port["name"]: port["containerPort"] for port in container("Deployment")["ports"]}
    service = {port["name"]: port["port"] for port in kubernetes("Service")["spec"]["ports"]}
    monitored = kubernetes("Deployment")["spec"]["template"]["metadata"]["annotations"]

    assert ports == service == {"gateway": DEFAULT.gateway.port, "http": DEFAULT.http.port}
    assert monitored["prometheus.io/port"] == str(DEFAULT.http.port)


def test_only_players_and_sign_in_come_in_from_outside() -> None:
    (rule,) = kubernetes("Ingress")["spec"]["rules"]
    paths = {path["path"]: path["backend"]["service"]["port"]["name"] for path in rule["http"]["paths"]}

    assert paths == {"/ws": "gateway", "/v1/auth": "http"}
    assert kubernetes("Ingress")["spec"]["tls"][0]["hosts"] == [rule["host"]]
    assert kubernetes("Service")["spec"]["type"] == "ClusterIP"


def test_what_the_network_policy_does_not_name_is_refused() -> None:
    refused = kubernetes("NetworkPolicy", "deny-all")["spec"]
    allowed = kubernetes("NetworkPolicy")["spec"]

    assert refused == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert all("from" in rule and rule["ports"] for rule in allowed["ingress"])
    assert all("to" in rule and rule["ports"] for rule in allowed["egress"])
    assert {port["port"] for rule in allowed["ingress"] for port in rule["ports"]} == {
        DEFAULT.gateway.port,
        DEFAULT.http.port,
    }
    assert {port["port"] for rule in allowed["egress"] for port in rule["ports"]} == {53, 3306, 6379}


def test_what_selects_nodes_selects_them() -> None:
    labels = kubernetes("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        kubernetes("Deployment")["spec"]["selector"]["matchLabels"],
        kubernetes("Service")["spec"]["selector"],
        kubernetes("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        kubernetes("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod("Deployment")["topologySpreadConstraints"]),
    ]
    migration = kubernetes("Job", "guildhall-migrate")["spec"]["template"]["metadata"]["labels"].items()

    assert all(selector.items() <= labels for selector in selectors)
    assert not kubernetes("Service")["spec"]["selector"].items() <= migration
    assert kubernetes("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= migration
