"""One target under atheris, which is libFuzzer: ``python -m tests.fuzz.drive TARGET [libFuzzer's options] FOLDER...``.

A process of its own: it never returns, and the code under test is changed when it is imported, to see what is reached.
"""

import sys
from importlib import import_module

import atheris

SEEN = ["protocol", "server", "tests.fuzz.planted"]


def main() -> None:
    """Look for inputs that fail."""
    name = sys.argv[1]
    with atheris.instrument_imports(include=SEEN):
        module = import_module(f"tests.fuzz.{'planted' if name == 'planted' else 'targets'}")
    target = module.Sessions() if name == "sessions" else getattr(module, name)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
