"""Charts and layers of report.html in a real browser: what a reader points at, taps and reads."""

import json
import re

import pytest

from tests.reporting.page_browser import (
    PRUNED,
    control,
    find,
    needs_chromium,
    texts,
    wait_for_charts,
)
from tests.reporting.page_runs import episode_return

By = pytest.importorskip("selenium.webdriver.common.by", reason="needs selenium").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
Select = pytest.importorskip("selenium.webdriver.support.select").Select
pytestmark = needs_chromium


def _point(browser, step, kind="mouse"):
    """Points at, or taps, the first chart above that step; gives what it tells."""
    script = """
      const plot = document.querySelector("#panels .plot");
      plot.scrollIntoView({ block: "center" });
      const box = plot.getBoundingClientRect(), line = plot.querySelector("path.seed").getBBox();
      return [box.left + line.x + line.width * (arguments[0] - 100) / 300, box.top + 50];"""
    x, y = browser.execute_script(script, step)
    if kind == "mouse":
        _send(browser, "dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    else:
        _send(browser, "dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        _send(browser, "dispatchTouchEvent", type="touchEnd", touchPoints=[])
    return find(browser, "#panels .tip").text


def _send(browser, event, **what):
    browser.execute_cdp_cmd(f"Input.{event}", what)


def _contrast(browser, selector):
    """WCAG's contrast of a text's colour and that of the page."""
    script = """
      const style = getComputedStyle(document.querySelector(arguments[0]));
      return [style.color, style.stroke, getComputedStyle(document.body).backgroundColor];"""
    color, stroke, paper = browser.execute_script(script, selector)
    light = [_luminance(x) for x in (color if stroke == "none" else stroke, paper)]
    return (max(light) + 0.05) / (min(light) + 0.05)


def _luminance(color):
    channels = [int(x) / 255 for x in re.findall(r"\d+", color)[:3]]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in channels]
    return sum(x * y for x, y in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_an_arm_is_switched_off_and_on(at):
    browser = at()
    seeds, button = "#panels path.seed", f"[data-arm='{PRUNED}']"
    find(browser, button).click()
    wait_for_charts(browser)
    assert find(browser, button).get_attribute("aria-pressed") == "false"
    names = browser.execute_script(
        f"return [...document.querySelectorAll('{seeds}')].map(x => x.dataset.name)"
    )
    assert names == [f"dense/{g}/{s}, seed {s}" for g in ("asterix", "breakout") for s in (0, 1)]
    find(browser, button).click()
    wait_for_charts(browser)
    assert len(browser.find_elements(By.CSS_SELECTOR, seeds)) == 8


@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_pointing_at_a_chart_tells_each_seeds_value(at, page, kind):
    """Against the numbers of metrics.jsonl."""
    told = _point(at(), 300, kind)
    root = page.parent / "runs"
    rows = (root / "pruned/asterix/metrics.jsonl").read_text().splitlines()
    own = [row for row in map(json.loads, rows) if row["agent_steps"] == 300]
    values = {r["seed"]: r["episode_return_mean"] for r in own if r["phase"] == "train"}
    assert values == {seed: episode_return(True, "asterix", seed, 2) for seed in (0, 1)}
    assert told.startswith("300 agent steps")
    for seed, value in values.items():
        assert f"seed {seed}: {value:.4g}" in told
    assert f"{PRUNED}, mean of 2 seeds: {sum(values.values()) / 2:.4g}" in told
    assert f"seed 1: {episode_return(False, 'asterix', 1, 2):.3f}" in told


def test_arrow_keys_tell_values_too(at):
    browser = at()
    plot = find(browser, "#panels .plot")
    plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert find(browser, "#panels .tip").text.startswith("200 agent steps")
    plot.send_keys(Keys.ESCAPE)
    assert not find(browser, "#panels .tip").is_displayed()


def test_another_quantity_is_drawn_where_it_was_measured(at):
    browser = at()
    Select(control(browser, "curves", "Quantity")).select_by_visible_text("srank")
    assert texts(browser, "#panels figcaption") == ["asterix: srank", "breakout: srank"]
    assert "singular values" in texts(browser, "#unit")[0]
    Select(control(browser, "curves", "Game")).select_by_value("breakout")
    assert texts(browser, "#panels figcaption") == ["breakout: srank"]


def test_layers_of_the_chosen_run(at):
    browser = at()
    find(browser, "#runs").find_element(By.LINK_TEXT, "pruned/breakout").click()
    captions = texts(browser, "#strips figcaption")
    assert captions[0] == "Sparsity by layer, 100 to 400 agent steps"
    assert captions[1] == "Dormant units by layer, 200 to 400 agent steps"
    assert texts(browser, "#strips .last") == ["0.95", "0.475", "0", "0.3125"]
    script = """
      const strip = document.querySelector("#strips .strip svg");
      const box = strip.getBoundingClientRect();
      const at = { clientX: box.left + box.width * 0.4, clientY: box.top + 2, bubbles: true };
      strip.dispatchEvent(new PointerEvent("pointerdown", at));
      return document.querySelector("#strips output").textContent;"""
    assert browser.execute_script(script) == "head, 200 agent steps: 0.3167"


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_page(at, width):
    browser = at(width)
    wide = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    assert browser.execute_script(wide) == 0
    assert _point(browser, 200, "touch").startswith("200 agent steps")
    assert browser.execute_script(wide) == 0
    chart = find(browser, "#panels svg")
    assert find(browser, ".picture img").size["width"] <= width
    assert min(width, 600) * 0.8 < chart.size["width"] < width
    scale = browser.execute_script("return arguments[0].getScreenCTM().a", chart)
    assert scale == pytest.approx(1, abs=0.01)  # its text is as large as any


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_can_be_read(at, scheme):
    browser = at(scheme=scheme)
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (_luminance(paper) < 0.05) == (scheme == "dark")
    for selector in ("h1", "td", ".note", "a", ".warning", "select"):
        assert _contrast(browser, selector) >= 4.5, selector
    for index in range(8):
        script = "document.querySelector('#panels path.mean').style.stroke = arguments[0]"
        browser.execute_script(script, f"var(--c{index})")
        assert _contrast(browser, "#panels path.mean") >= 3, index
