"""The image: small, without root or secrets, and its commands work from what was copied and locked alone."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.ports import free_port
from server.config import Config
from tests.deploy.dockerfile import ROOT, allowed, build, instructions
from tests.deploy.image import SECRET, START_S, Image, linked
from tests.support.wire import outside

KEYS = f'[{{"kid":"k1","alg":"HS256","secret":"{SECRET}"}}]'


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(build(tmp_path_factory.mktemp("image"), linked))


@pytest.fixture
def ports() -> dict[str, str]:
    return {"GUILDHALL_GATEWAY_PORT": str(free_port()), "GUILDHALL_HTTP_PORT": str(free_port())}


@pytest.fixture
def node(image: Image, ports: dict[str, str], tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """What the image starts, alone on SQLite, with nothing set but a key."""
    settings = {"GUILDHALL_HOST": "127.0.0.1", "GUILDHALL_AUTH_KEYS": KEYS, **ports}
    process = image.start(tmp_path / "log", **settings)
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


def words(word: str) -> list[str]:
    """The text of every line of the Dockerfile that begins with a word."""
    return [line.text for line in instructions() if line.word == word]


async def _healthy(image: Image, ports: dict[str, str]) -> None:
    async with asyncio.timeout(START_S):
        while not await asyncio.to_thread(image.healthy, **ports):  # each takes a tenth of a second
            pass


# How it is written.
def test_the_dockerfile_has_no_known_fault() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    found = subprocess.run(
        [linter, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )

    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_what_is_installed_is_locked_by_hash_and_never_compiled() -> None:
    (install,) = [text for text in words("RUN") if "pip" in text]

    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(install.split())


def test_the_server_is_process_1_and_hears_sigterm() -> None:
    assert words("ENTRYPOINT") == ['["python", "-m", "server"]']
    assert words("CMD") == ['["serve"]']
    assert words("STOPSIGNAL") == ["SIGTERM"]


def test_it_runs_as_a_user_that_is_not_root_and_is_given_as_a_number() -> None:
    assert words("USER") == ["10001:10001"]
    assert [line.word for line in instructions()].index("USER") > max(
        n for n, line in enumerate(instructions()) if line.word in {"RUN", "COPY"}
    )


def test_the_ports_are_those_of_the_settings() -> None:
    default = Config()

    assert words("EXPOSE") == [f"{default.gateway.port} {default.http.port}"]


@pytest.mark.parametrize(
    "path",
    [
        *("deploy/secrets/store_url", "deploy/compose.yaml", ".git/config", ".venv/bin/python", "data/guildhall.db"),
        *("tests/conftest.py", "server/__pycache__/cli.cpython-311.pyc", "pyproject.toml", ".env", "guildhall.toml"),
    ],
)
def test_what_does_not_belong_into_an_image_is_not_even_sent_to_the_builder(path: str) -> None:
    assert not allowed(path)


# What it does.
def test_it_holds_the_four_layers_the_pages_and_its_health_check_and_nothing_else(image: Image) -> None:
    files = [file for file in image.files() if not file.startswith("guildhall/data/")]  # what a node has written
    sources = [file for file in files if not file.endswith(".pyc")]
    tops = {file.split("/")[1] for file in sources}

    assert tops == {"protocol", "storage", "actors", "server", "clients", "healthcheck.py"}
    pages = [file for file in sources if file.startswith("guildhall/clients/")]
    assert {Path(file).parent.name for file in pages} == {"web"}
    assert {Path(file).suffix for file in pages} == {".html", ".js", ".css", ".svg"}
    assert {Path(file).suffix for file in set(sources) - set(pages)} <= {".py", ".json", ".typed"}
    assert len(files) - len(sources) == len([file for file in sources if file.endswith(".py")])


def test_a_node_may_write_to_its_data_folder_only(image: Image) -> None:
    last = words("COPY")[-1]

    assert last == "--from=build --chown=10001:10001 /srv/writable/ /srv/guildhall/"
    assert [text for text in words("COPY")[:-1] if "chown" in text] == []
    assert image.path("/srv/guildhall/data").is_dir()


async def test_it_serves_with_a_key_alone_is_healthy_and_stops_in_order_at_sigterm(
    image: Image, ports: dict[str, str], node: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    await _healthy(image, ports)
    minted = await asyncio.to_thread(image.run, "token", "ann", GUILDHALL_AUTH_KEYS=KEYS)
    async with outside(f"ws://127.0.0.1:{ports['GUILDHALL_GATEWAY_PORT']}/ws", "", token=minted.stdout.strip()) as ann:
        assert ann.welcome["player"] == "ann", ann.welcome
        node.send_signal(signal.SIGTERM)
        assert await ann.closed() == 4000
    assert await asyncio.to_thread(node.wait, 30) == 0, (tmp_path / "log").read_text()
    assert not image.healthy(**ports)


def test_it_migrates_a_database(image: Image, mysql_url: str) -> None:
    first, second = (image.run("migrate", GUILDHALL_STORE_URL=mysql_url) for _ in range(2))

    assert first.returncode == 0, first.stderr
    assert first.stdout
    assert (second.returncode, second.stdout) == (0, "")


def test_it_refuses_to_serve_without_a_key(image: Image, ports: dict[str, str]) -> None:
    refused = image.run("serve", **ports)

    assert refused.returncode == 2
    assert "no key to verify sign-in tokens" in refused.stderr


def test_it_refuses_development_sign_in_since_it_listens_on_every_address(image: Image) -> None:
    refused = image.run("serve", GUILDHALL_AUTH_DEV="true")

    assert refused.returncode == 2
    assert "it is refused while gateway.host is 0.0.0.0" in refused.stderr


def test_a_node_that_does_not_answer_is_not_healthy(image: Image, ports: dict[str, str]) -> None:
    assert not image.healthy(**ports)
