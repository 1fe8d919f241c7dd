"""report.html in a browser: the page that is opened, and what its reader finds there."""

import json
import math
import shutil
from pathlib import Path

import pytest

from prune_rl.reporting.page import write_page
from prune_rl.reporting.statistics import Estimate
from tests.reporting.page_runs import HOSTILE, contents, picture, start, trainings_of, write_tree

_CHROMIUM, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    not (_CHROMIUM and _DRIVER), reason="needs Debian's chromium and chromium-driver"
)
_ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
DENSE, PRUNED = "dqn minatar x1 dense", "dqn minatar x8 magnitude 95%"


def write_example(root: Path) -> Path:
    """A page of the runs below it; one has a hostile setting and is of another commit."""
    write_tree(root / "runs")
    other = [start("c" * 40, command=["train.py", HOSTILE])]
    (root / "runs/dense/asterix/1/provenance.json").write_text(json.dumps(other))
    estimates = [
        Estimate(f"{DENSE} {HOSTILE}", "iqm", 0.5, 0.4, 0.6, 2, 6),
        Estimate(PRUNED, "iqm", 1.5, math.nan, math.nan, 2, 4),
    ]
    out = root / "report.html"
    write_page(out, contents(trainings_of(root / "runs"), estimates, [picture(title=HOSTILE)]))
    return out


def start_browser(profile: Path):
    """A headless Chromium; whoever starts it ends it."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(_DRIVER))


def open_page(browser, file: Path, width=1280, scheme="light"):
    """Opens it at a width, in light or dark, and waits until it is drawn."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(file.as_uri())
    assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
    wait_for_charts(browser)


def wait_for_charts(browser):
    """They draw when they first have a width: by the end of a frame."""
    browser.execute_async_script(
        "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))"
    )


def texts(browser, selector):
    """Of every element, as a screen reader has it."""
    script = "return [...document.querySelectorAll(arguments[0])].map((x) => x.textContent)"
    return browser.execute_script(script, selector)


def find(browser, selector):
    return browser.find_element("css selector", selector)


def control(browser, section, label):
    """The select or box with that label."""
    path = f"//section[@id='{section}']//label[contains(., '{label}')]/*"
    return browser.find_element("xpath", path)
