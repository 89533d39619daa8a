"""Browser windows for tests: headless Chromium, each window with a profile of its own.

A missing browser is installed with apt where that is possible, else it is a failure, never a skip. ``TEST_CHROMIUM``
and ``TEST_CHROMEDRIVER`` name other programs.
"""

import os
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

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

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
        """What the browser complained about, but for connections that a killed server refused."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        lines = [str(entry["message"]) for entry in log if entry["level"] in {"SEVERE", "WARNING"}]
        return [line for line in lines if "net::ERR_" not in line and "WebSocket connection to" not in line]


@contextmanager
def window(folder: Path, size: tuple[int, int] = (1200, 800), *flags: str) -> Iterator[Window]:
    """A window with a new profile in ``folder``, closed with the block."""
    options = Options()
    options.binary_location = os.environ.get("TEST_CHROMIUM") or program("chromium", "chromium", "TEST_CHROMIUM")
    for flag in (*_FLAGS, *flags, f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver_path = os.environ.get("TEST_CHROMEDRIVER") or program("chromedriver", "chromium-driver", "TEST_CHROMEDRIVER")
    driver = webdriver.Chrome(options, Service(driver_path))
    try:
        driver.set_script_timeout(PATIENCE_S)
        driver.set_page_load_timeout(PATIENCE_S)
        yield Window(driver)
    finally:
        driver.quit()
