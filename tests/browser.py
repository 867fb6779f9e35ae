"""Chromium without a window, to see pages as people do."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Canvases lie in shadow roots, where no selector reaches.
CANVASES = """
const found = [];
(function look(root) {
  for (const one of root.querySelectorAll("*")) {
    if (one.localName === "canvas") found.push(one);
    if (one.shadowRoot) look(one.shadowRoot);
  }
})(arguments[0]);
return found.map((one) => {
  const { data } = one.getContext("2d").getImageData(0, 0, one.width, one.height);
  const colors = new Set();
  let last = -1;
  for (const pixel of new Uint32Array(data.buffer)) {
    if (pixel !== last) colors.add((last = pixel) & 0xffffff);
  }
  const hex = (value) => (value & 255).toString(16).padStart(2, "0");
  return [...colors].map((c) => "#" + hex(c) + hex(c >> 8) + hex(c >> 16));
});
"""


class Browser:
    """A page in a browser, and what it did."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, width: int = 1200, height: int = 850) -> None:
        """Open a page and wait for its maps; what earlier pages logged is forgotten."""
        self.resize(width, height)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(page.absolute().as_uri())
        self.wait("[...document.querySelectorAll('.viewer')].every((one) => one.dataset.ready)")
        self.wait("typeof Bokeh === 'undefined' || Bokeh.documents.every((one) => one.is_idle)")

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def run(self, script: str, *words: Any) -> Any:
        return self.driver.execute_script(script, *words)

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 20, poll_frequency=0.05).until(lambda _: self.run(f"return Boolean({condition})"))

    def settle(self) -> None:
        """Wait until what changed is drawn: two frames."""
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def point(self, selector: str, across: float, down: float) -> None:
        """Move the pointer to a place on an element, from (0, 0) at its upper left to (1, 1)."""
        from selenium.webdriver.common.action_chains import ActionChains

        target = self.one(selector)
        x, y = (across - 0.5) * target.size["width"], (down - 0.5) * target.size["height"]
        ActionChains(self.driver, duration=0).move_to_element_with_offset(target, round(x), round(y)).perform()

    def drag(self, selector: str, x: int, y: int = 0) -> None:
        """Drag an element by pixels."""
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.driver, duration=0).click_and_hold(self.one(selector))
        chain.move_by_offset(x // 2, y // 2).move_by_offset(x - x // 2, y - y // 2).release().perform()

    def colors(self, selector: str) -> list[set[str]]:
        """The colours on each canvas inside an element."""
        self.settle()
        return [set(found) for found in self.run(CANVASES, self.one(selector))]

    def picture(self, path: Path, *, whole: bool = False) -> np.ndarray[Any, Any]:
        """Keep a screenshot; returns its pixels (rows, cols, 3)."""
        self.settle()
        if whole:
            self.resize(self.run("return innerWidth"), self.run("return document.documentElement.scrollHeight"))
            self.settle()
        data = self.driver.get_screenshot_as_png()
        path.write_bytes(data)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def complaints(self) -> list[str]:
        """Warnings and errors in the console, breaches of the page's own policy among them."""
        return [one["message"] for one in self.driver.get_log("browser") if one["level"] in {"WARNING", "SEVERE"}]

    def requests(self) -> list[str]:
        """Addresses asked for, but for the page itself and what is in it."""
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in {"Network.requestWillBeSent", "Network.webSocketCreated"}:
                told = message["params"]
                asked.append(told.get("url") or told["request"]["url"])
        return [url for url in asked if not url.startswith(("file://", "data:", "blob:"))]


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser, or a skipped test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("there is no chromium with its chromedriver here (Debian: apt install chromium chromium-driver)")
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with Chrome(options=options, service=Service(driver)) as chrome:
        chrome.set_script_timeout(20)
        yield Browser(chrome)
