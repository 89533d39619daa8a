"""Browser windows for tests: one headless Chromium, each window with a profile of its own.

Starting Chromium costs a second or two of processor time, a window a tenth of it. A missing browser is installed with
apt where that is possible, else it is a failure, never a skip. ``TEST_CHROMIUM`` and ``TEST_CHROMEDRIVER`` name other
programs.
"""

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from websockets.sync.client import ClientConnection, connect

from tests.support.servers import program

PATIENCE_S = 25.0  # a browser on a busy machine; what is waited for takes well under a second, a restart a few

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # containers have no user namespaces to make one of
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)

# Runs when the page changes, until ``holds`` returns something; no polling.
_UNTIL = """
const done = arguments[arguments.length - 1];
const values = [...arguments].slice(0, -1);
const holds = (...args) => { %s };
const look = () => {
  const found = holds(...values);
  if (found === undefined || found === null || found === false) return false;
  observer.disconnect();
  done(found);
  return true;
};
const observer = new MutationObserver(look);
observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
look();
"""


class Window:
    """One window, as the person before it sees it."""

    def __init__(self, browser: "Browser", handle: str) -> None:
        self._browser = browser
        self._handle = handle

    @property
    def driver(self) -> webdriver.Chrome:
        """Selenium's, turned to this window."""
        return self._browser.turned_to(self._handle)

    def open(self, url: str) -> None:
        """Load a page."""
        self.driver.get(url)

    def act_as_phone(self, width: int, height: int) -> None:
        """Have a small touch screen from now on, in CSS pixels; a window cannot be made that narrow."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def run_before_pages(self, script: str) -> None:
        """Run ``script`` in every page that is loaded from now on, before its own."""
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    def reload(self) -> None:
        """As with F5; the tab keeps its storage."""
        self.driver.refresh()

    def until(self, script: str, *values: Any) -> Any:
        """Wait until ``script``, the body of a function of ``args``, returns a value, and return it.

        Raises:
            AssertionError: it did not, within ``PATIENCE_S``.
        """
        try:
            return self.driver.execute_async_script(_UNTIL % script, *values)
        except TimeoutException:
            raise AssertionError(f"the page never got there: {script} {values}\n{self.text()}") from None

    def until_shown(self, selector: str, text: str = "") -> None:
        """Wait until an element that is visible matches, and holds ``text``."""
        self.until(
            "return [...document.querySelectorAll(args[0])]"
            ".some((each) => each.checkVisibility() && each.textContent.includes(args[1]))",
            selector,
            text,
        )

    def text(self) -> str:
        """All that can be read."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def click(self, selector: str) -> None:
        """Click an element."""
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def enter(self, selector: str, text: str) -> None:
        """Type into a field and press Enter."""
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(text, Keys.ENTER)

    def problems(self) -> list[str]:
        """What the browser has complained about since it was last asked, in this window or another of the test.

        But for connections that a killed server refused.
        """
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        lines = [str(entry["message"]) for entry in log if entry["level"] in {"SEVERE", "WARNING"}]
        return [line for line in lines if "net::ERR_" not in line and "WebSocket connection to" not in line]


class Browser:
    """A Chromium that runs, and the windows in it."""

    def __init__(self, driver: webdriver.Chrome, control: ClientConnection) -> None:
        self._driver = driver
        self._control = control
        self._first = self._current = driver.current_window_handle
        self._calls = 0
        self._open = 0

    @contextmanager
    def window(self, size: tuple[int, int] = (1200, 800)) -> Iterator[Window]:
        """A window with a new profile, which is gone after the block."""
        profile = self._call("Target.createBrowserContext")["browserContextId"]
        place = {"url": "about:blank", "browserContextId": profile, "newWindow": True}
        handle = self._call("Target.createTarget", **place, width=size[0], height=size[1])["targetId"]
        self._open += 1
        try:
            yield Window(self, handle)
        finally:
            self._open -= 1
            driver = self.turned_to(self._first)
            self._call("Target.disposeBrowserContext", browserContextId=profile)
            if not self._open:
                driver.get_log("browser")  # type: ignore[no-untyped-call] # the next test has not said this

    def turned_to(self, handle: str) -> webdriver.Chrome:
        """Selenium's driver, whose commands go to this window from now on."""
        if handle != self._current:
            self._driver.switch_to.window(handle)
            self._current = handle
        return self._driver

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser itself for what a page may not have: other profiles."""
        self._calls += 1
        self._control.send(json.dumps({"id": self._calls, "method": method, "params": params}))
        while (answer := json.loads(self._control.recv(PATIENCE_S))).get("id") != self._calls:
            pass  # an event
        result: dict[str, Any] = answer["result"]
        return result


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with its files in ``folder``, ended with the block."""
    options = Options()
    options.binary_location = os.environ.get("TEST_CHROMIUM") or program("chromium", "chromium", "TEST_CHROMIUM")
    for flag in (*_FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver_path = os.environ.get("TEST_CHROMEDRIVER") or program("chromedriver", "chromium-driver", "TEST_CHROMEDRIVER")
    driver = webdriver.Chrome(options, Service(driver_path))
    try:
        driver.set_script_timeout(PATIENCE_S)
        driver.set_page_load_timeout(PATIENCE_S)
        with connect(_control_url(driver), compression=None) as control:
            yield Browser(driver, control)
    finally:
        driver.quit()


def _control_url(driver: webdriver.Chrome) -> str:
    """Where the browser, not one of its pages, listens for commands."""
    address = driver.capabilities["goog:chromeOptions"]["debuggerAddress"]
    with urllib.request.urlopen(f"http://{address}/json/version", timeout=PATIENCE_S) as answer:
        url: str = json.load(answer)["webSocketDebuggerUrl"]
    return url
