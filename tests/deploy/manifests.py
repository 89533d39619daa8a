"""Reads what is deployed: compose services and Kubernetes objects, and the settings that a node gets from them."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from server.config import Config
from server.config_checks import check_serving
from server.config_sources import load
from tests.deploy.dockerfile import ROOT, instructions

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MADE_UP = {  # secrets of the right form, by the name of their file
    "store-url": "mysql://guildhall:made-up@mysql:3306/guildhall",
    "bus-url": "redis://:made-up@redis:6379/0",
    "auth-secret": "thirty-two bytes that are made up",
}


def image_environment() -> dict[str, str]:
    """What the image sets by itself."""
    words = [word for line in instructions() if line.word == "ENV" for word in line.words]
    return dict(word.split("=", 1) for word in words)


@cache
def objects() -> list[tuple[Path, dict[str, Any]]]:
    """Every Kubernetes object with the file that it stands in."""
    files = [path for path in sorted(KUBERNETES.rglob("*.yaml")) if path.name != "kustomization.yaml"]
    return [(path, document) for path in files for document in yaml.safe_load_all(path.read_text("utf-8"))]


def kubernetes(kind: str, name: str = "guildhall") -> dict[str, Any]:
    """One Kubernetes object."""
    (found,) = [each for _, each in objects() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(kind: str, name: str = "guildhall") -> dict[str, Any]:
    """What the pods of a deployment or job are."""
    template: dict[str, Any] = kubernetes(kind, name)["spec"]["template"]["spec"]
    return template


def container(kind: str, name: str = "guildhall") -> dict[str, Any]:
    """The one container of those pods."""
    (found,) = pod(kind, name)["containers"]
    return dict(found)


def compose_variables(service: str) -> dict[str, str]:
    """The variables of a service, those of the image included."""
    own: dict[str, str] = SERVICES[service]["environment"]
    return image_environment() | own


def pod_variables(kind: str, name: str = "guildhall") -> dict[str, str]:
    """The variables of a pod, those of the image included."""
    found = container(kind, name)
    variables = image_environment()
    for source in found.get("envFrom", []):
        variables |= kubernetes("ConfigMap", source["configMapRef"]["name"])["data"]
    return variables | {each["name"]: each["value"] for each in found["env"]}


def config(variables: dict[str, str], folder: Path) -> Config:
    """The settings of a node with these variables, read as it reads them, with secrets that are made up.

    Raises:
        ConfigError: the node would refuse them.
    """
    for secret, text in MADE_UP.items():
        (folder / secret).write_text(text)
        (folder / secret.replace("-", "_")).write_text(text)
    placed = {
        name: value.replace("/run/secrets/guildhall/", f"{folder}/").replace("/run/secrets/", f"{folder}/")
        for name, value in variables.items()
        if name.startswith("GUILDHALL_")
    }
    return load({}, placed)


def serving(variables: dict[str, str], folder: Path) -> Config:
    """The same for a node that serves."""
    made = config(variables, folder)
    check_serving(made)
    return made
