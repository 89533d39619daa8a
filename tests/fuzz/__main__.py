"""``make fuzz``: every target and every property of this folder for its share of the time, with a seed that is told.

The byte-level part learns from what it reaches (atheris); the properties make messages from their types (hypothesis).
What fails is written down with the order that tries it again, and belongs into ``corpus/TARGET`` once it is mended.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from random import SystemRandom

from tests.fuzz.shapes import REQUESTS, full
from tests.fuzz.targets import CORPUS, TARGETS

ROOT = Path(__file__).parents[2]
FOUND = ROOT / "tests" / "fuzz" / "found"
NAMES = (*TARGETS, "sessions")
LONGEST = {"sessions": 2_000}
INPUT_S = 10  # for one input, far above what any takes: more is a hang
MEMORY_MB = 1_024  # of the whole process; it begins with a tenth of that
EXAMPLES = "200"  # of each property in a round
BY_HAND = "make fuzz ARGS='--target {} --input {}'"


def main(argv: list[str]) -> int:
    """Exit code 0: nothing was found."""
    options = _parser().parse_args(argv)
    seed = options.seed if options.seed is not None else SystemRandom().randrange(1, 2**31)
    if options.input is not None:
        return _again(options.target, options.input)
    names = [options.target] if options.target else [*NAMES, "properties"]
    if find_spec("atheris") is None:
        _say("atheris is not here (it is made for Linux on x86-64): only the properties are tried")
        names = ["properties"]
    share = options.seconds / (len(names) + 1) if len(names) > 1 else options.seconds
    _say(f"seed {seed}; the same again: make fuzz SEED={seed} SECONDS={options.seconds:g}")
    failed = []
    for name in names:
        well = _properties(2 * share, seed) if name == "properties" else _drive(name, share, seed)
        if not well:
            failed.append(name)
    _say("found nothing" if not failed else f"FOUND SOMETHING: {', '.join(failed)}")
    return 1 if failed else 0


def _drive(name: str, seconds: float, seed: int) -> bool:
    """A target for a while; False if an input fails."""
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as learned:
        words = Path(learned, "words.dict")
        words.write_text("".join(f'"{word}"\n' for word in sorted(_words())), "utf-8")
        kept = CORPUS / name
        before = set(FOUND.iterdir())
        ran = _run(
            ["-m", "tests.fuzz.drive", name, f"-max_total_time={max(1, round(seconds))}", f"-seed={seed}"],
            [f"-max_len={LONGEST.get(name, 4_096)}", f"-timeout={INPUT_S}", f"-rss_limit_mb={MEMORY_MB}"],
            [f"-dict={words}", f"-artifact_prefix={FOUND}/", learned, *([str(kept)] if kept.is_dir() else [])],
        )
        if ran.returncode == 0:
            _say(f"{name}: {_last('#[0-9].*', ran.stderr)}; {_last('Done .*', ran.stderr)}")
            return True
    _say(ran.stdout[-6_000:] + ran.stderr[-2_000:])
    for path in sorted(set(FOUND.iterdir()) - before):
        _say(f"{name} FAILS; the same again: {BY_HAND.format(name, path)}")
    return False


def _properties(seconds: float, seed: int) -> bool:
    """Rounds of the properties, each with a seed of its own; False if one fails."""
    end = time.monotonic() + seconds
    rounds, took = 0, 0.0
    while rounds == 0 or time.monotonic() + took < end:
        began = time.monotonic()
        order = ["-m", "pytest", "-q", "-p", "no:randomly", "-m", "hypothesis", "-x", "-o", "timeout=600"]
        ran = _run(order, [f"--hypothesis-seed={seed + rounds}", "tests/fuzz"], [], FUZZ_EXAMPLES=EXAMPLES)
        if ran.returncode:
            _say(ran.stdout[-8_000:])
            _say(f"properties FAIL; the same again: make fuzz SEED={seed + rounds} ARGS='--target properties'")
            return False
        took = time.monotonic() - began
        rounds += 1
    _say(f"properties: {rounds} rounds of {EXAMPLES} examples each")
    return True


def _again(name: str, path: Path) -> int:
    """One input on its target, with the traceback where it fails."""
    return _run(["-m", "tests.fuzz.drive", name, f"-timeout={INPUT_S}", str(path)], [], [], show=True).returncode


def _run(*parts: list[str], show: bool = False, **environment: str) -> "subprocess.CompletedProcess[str]":
    order = [sys.executable, *(word for part in parts for word in part)]
    return subprocess.run(
        order,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=not show,
        text=True,
        errors="replace",
        check=False,
    )


def _words() -> set[str]:
    """What messages are written with: libFuzzer puts it in here and there."""
    names = {name for request in REQUESTS.values() for name in full(request)}
    return {*REQUESTS, *names, "permessage-deflate", "Sec-WebSocket-Protocol: ", "guildhall.v1.json"}


def _last(pattern: str, text: str) -> str:
    lines = re.findall(f"^{pattern}$", text, re.MULTILINE)
    return " ".join(lines[-1].split()) if lines else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--target", choices=[*NAMES, "properties", "planted"])
    parser.add_argument("--input", type=Path, help="try this one input on the target")
    return parser


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what whoever runs it reads


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
