"""The page of the staff API in a real browser: it lists every endpoint, and what only reads can be tried."""

from collections.abc import Iterator

import pytest

from tests.e2e.browser import Browser, Window
from tests.support.nodes import NodeProcess, node

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("node")
    with node(folder, "node", "--store", f"sqlite:///{folder}/g.db", "--node", "north") as running:
        yield running


@pytest.fixture
def page(server: NodeProcess, browser: Browser) -> Iterator[Window]:
    with browser.window() as opened:
        opened.open(f"{server.http}/v1/docs")
        opened.until_shown("#endpoints[aria-busy=false] details")
        yield opened


def _open(page: Window, method: str, path: str) -> None:
    """Open an endpoint, and mark it for the selectors below."""
    script = """
      const says = (each, part) => each.querySelector(part).textContent;
      const [wanted] = [...document.querySelectorAll(".endpoint")].filter(
        (each) => says(each, ".method") === arguments[0] && says(each, ".path") === arguments[1]);
      wanted.open = true;
      wanted.id = "opened";
    """
    page.driver.execute_script(script, method, path)
    page.until_shown("#opened .inside")


def test_an_endpoint_shows_its_scope_its_fields_and_its_refusals(page: Window) -> None:
    _open(page, "POST", "/v1/players/{player}/ban")
    for words in (
        "players.ban",
        "Idempotency-Key",
        "reason",
        "1 to 500 characters",
        "player.not_found",
        "auth.expired",
    ):
        page.until_shown("#opened .inside", words)
    assert page.driver.find_elements("css selector", "#opened .try") == []
    assert page.problems() == []


def test_a_read_is_tried_with_the_key_that_was_typed_in(page: Window) -> None:
    _open(page, "GET", "/v1/nodes")
    page.click("#opened .try button")
    page.until_shown("#opened .answer", "auth.invalid")
    page.driver.find_element("id", "key").send_keys("dev")
    page.click("#opened .try button")
    page.until_shown("#opened .answer", '"node": "north"')


def test_every_endpoint_of_the_document_is_listed(page: Window) -> None:
    listed = page.driver.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        fetch("/v1/docs/openapi.json").then((answer) => answer.json()).then(({ paths }) => {
          const count = Object.values(paths).flatMap((each) => Object.keys(each)).length;
          done([count, document.querySelectorAll(".endpoint").length]);
        });
        """
    )
    assert listed[0] == listed[1] > 15
