"""The included scenarios, and how a scenario is found: by its name, or by the path of its file."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from loadtest.scenario import Scenario


class BadScenario(Exception):
    """There is no such scenario, or its file is none; says why."""


def names() -> Mapping[str, str]:
    """The included scenarios: the first line of each by its name."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name.replace("_", "-"): says_of(_included(name)) for name in found}


def load(name: str) -> tuple[Scenario, str]:
    """A scenario, and what it says of itself.

    Raises:
        BadScenario
    """
    module = _from_file(Path(name)) if name.endswith(".py") else _by_name(name)
    scenario = getattr(module, "SCENARIO", None)
    if not isinstance(scenario, Scenario):
        raise BadScenario(f"{name} has no SCENARIO of type loadtest.scenario.Scenario")
    return scenario, says_of(module)


def says_of(module: ModuleType) -> str:
    """The first line of its docstring."""
    return (module.__doc__ or "").strip().partition("\n")[0]


def _by_name(name: str) -> ModuleType:
    known = names()
    if name not in known:
        raise BadScenario(f"there is no scenario {name!r}; there are {', '.join(known)}, or the path of a .py file")
    return _included(name.replace("-", "_"))


def _included(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scenario_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BadScenario(f"{path} is not there")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadScenario(f"{path} does not run: {type(error).__name__}: {error}") from error
    return module
