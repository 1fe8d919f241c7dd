"""report.html in a real browser: what a reader sees, clicks, points at and taps."""

import json
import re
import shutil
from pathlib import Path

import pytest

from prune_rl.reporting.page import write_page
from prune_rl.reporting.statistics import Estimate
from prune_rl.reporting.trainings import find_trainings
from tests.reporting.page_runs import episode_return, start, write_tree
from tests.reporting.test_page import HOSTILE, _picture

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
By = pytest.importorskip("selenium.webdriver.common.by").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
Select = pytest.importorskip("selenium.webdriver.support.select").Select
_CHROMIUM, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (_CHROMIUM and _DRIVER), reason="needs Debian's chromium and chromium-driver"
)
_ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
DENSE, PRUNED = "dqn minatar x1 dense", "dqn minatar x8 magnitude 95%"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page's file; a run has a hostile setting and is of another commit."""
    root = write_tree(tmp_path_factory.mktemp("page") / "runs")
    other = [start("c" * 40, command=["train.py", HOSTILE])]
    (root / "dense/asterix/1/provenance.json").write_text(json.dumps(other))
    estimates = [
        Estimate(f"{DENSE} {HOSTILE}", "iqm", 0.5, 0.4, 0.6, 2, 6),
        Estimate(PRUNED, "iqm", 1.5, 1.4, 1.6, 2, 4),
    ]
    out = root.parent / "report.html"
    write_page(out, list(find_trainings([root])), estimates, [_picture(title=HOSTILE)])
    return out


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for argument in (*_ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(_DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def at(browser, page):
    """Opens the page at a width, in light or dark, and gives the browser."""

    def open_page(width=1280, scheme="light", file=page):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(Path(file).as_uri())
        assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
        _wait_for_charts(browser)
        return browser

    return open_page


def _wait_for_charts(browser):
    """They draw when they first have a width: by the end of a frame."""
    browser.execute_async_script(
        "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))"
    )


def _texts(browser, selector):
    """Of every element, as a screen reader has it."""
    script = "return [...document.querySelectorAll(arguments[0])].map((x) => x.textContent)"
    return browser.execute_script(script, selector)


def _find(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def _control(browser, section, label):
    """The select or box with that label."""
    path = f"//section[@id='{section}']//label[contains(., '{label}')]/*"
    return browser.find_element(By.XPATH, path)


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
    return _find(browser, "#panels .tip").text


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


def test_everything_is_drawn_without_a_complaint(at):
    browser = at()
    browser.get_log("browser")  # of before
    browser = at()
    assert browser.get_log("browser") == []
    assert "6 runs (8 seeds), 2 arms, 2 games" in _texts(browser, "#facts")[0]
    titles = [f"{game}: episode return (training)" for game in ("asterix", "breakout")]
    assert _texts(browser, "#panels figcaption") == titles
    assert len(browser.find_elements(By.CSS_SELECTOR, "#panels path.seed")) == 8
    assert browser.execute_script("return document.querySelector('.picture img').naturalWidth") > 99
    assert _texts(browser, "#statistics td:nth-child(4)") == ["0.4 to 0.6", "\N{EN DASH}"]


def test_names_are_text(at):
    """A setting, a label and a title that look like markup are shown as they are."""
    browser = at()
    assert HOSTILE in _texts(browser, "#pictures h3")
    assert any(HOSTILE in text for text in _texts(browser, "#statistics td"))
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 2


def test_a_click_on_a_column_sorts_by_numbers_then_back(at):
    browser = at()
    head = browser.find_element(By.XPATH, "//section[@id='runs']//button[.='final return']")
    cell = "#runs tbody td:nth-child(5)"
    head.click()
    shown = [float(text.split(" ")[0]) for text in _texts(browser, cell)]
    assert len(shown) == 6
    assert shown == sorted(shown)
    assert _find(browser, "#runs th:nth-child(5)").get_attribute("aria-sort") == "ascending"
    head.send_keys(Keys.ENTER)
    assert [float(text.split(" ")[0]) for text in _texts(browser, cell)] == shown[::-1]
    assert _find(browser, "#runs th:nth-child(5)").get_attribute("aria-sort") == "descending"
    assert _find(browser, "#runs th:nth-child(1)").get_attribute("aria-sort") == "none"


def test_a_run_of_two_seeds_shows_their_mean_and_deviation(at):
    browser = at()
    rows = dict(
        zip(
            _texts(browser, "#runs td:first-child"),
            _texts(browser, "#runs td:nth-child(5)"),
            strict=True,
        )
    )
    last = [episode_return(True, "breakout", seed, 3) for seed in (0, 1)]
    assert rows["pruned/breakout"] == f"{sum(last) / 2:.2f} ± 0.71"
    assert rows["dense/asterix/0"] == f"{episode_return(False, 'asterix', 0, 3):.3f}"


def test_words_and_choices_filter_the_runs(at):
    browser = at()
    names = "#runs tbody td:first-child"
    box = _find(browser, "#runs input")
    box.send_keys("MAGNITUDE breakout")
    assert _texts(browser, names) == ["pruned/breakout"]
    assert _texts(browser, "#shown") == ["1 of 6 runs shown."]
    box.clear()
    box.send_keys(" ")
    Select(_control(browser, "runs", "game")).select_by_value("asterix")
    assert _texts(browser, names) == ["dense/asterix/0", "dense/asterix/1", "pruned/asterix"]
    Select(_control(browser, "runs", "arm")).select_by_value(DENSE)
    assert _texts(browser, names) == ["dense/asterix/0", "dense/asterix/1"]


def test_an_arm_is_switched_off_and_on(at):
    browser = at()
    seeds, button = "#panels path.seed", f"[data-arm='{PRUNED}']"
    _find(browser, button).click()
    _wait_for_charts(browser)
    assert _find(browser, button).get_attribute("aria-pressed") == "false"
    names = browser.execute_script(
        f"return [...document.querySelectorAll('{seeds}')].map(x => x.dataset.name)"
    )
    assert names == [f"dense/{g}/{s}, seed {s}" for g in ("asterix", "breakout") for s in (0, 1)]
    _find(browser, button).click()
    _wait_for_charts(browser)
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
    plot = _find(browser, "#panels .plot")
    plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert _find(browser, "#panels .tip").text.startswith("200 agent steps")
    plot.send_keys(Keys.ESCAPE)
    assert not _find(browser, "#panels .tip").is_displayed()


def test_another_quantity_is_drawn_where_it_was_measured(at):
    browser = at()
    Select(_control(browser, "curves", "Quantity")).select_by_visible_text("srank")
    assert _texts(browser, "#panels figcaption") == ["asterix: srank", "breakout: srank"]
    assert "singular values" in _texts(browser, "#unit")[0]
    Select(_control(browser, "curves", "Game")).select_by_value("breakout")
    assert _texts(browser, "#panels figcaption") == ["breakout: srank"]


def test_layers_of_the_chosen_run(at):
    browser = at()
    _find(browser, "#runs").find_element(By.LINK_TEXT, "pruned/breakout").click()
    captions = _texts(browser, "#strips figcaption")
    assert captions[0] == "Sparsity by layer, 100 to 400 agent steps"
    assert captions[1] == "Dormant units by layer, 200 to 400 agent steps"
    assert _texts(browser, "#strips .last") == ["0.95", "0.475", "0", "0.3125"]
    script = """
      const strip = document.querySelector("#strips .strip svg");
      const box = strip.getBoundingClientRect();
      const at = { clientX: box.left + box.width * 0.4, clientY: box.top + 2, bubbles: true };
      strip.dispatchEvent(new PointerEvent("pointerdown", at));
      return document.querySelector("#strips output").textContent;"""
    assert browser.execute_script(script) == "head, 200 agent steps: 0.3167"


def test_the_settings_of_two_runs_are_those_that_differ(at):
    browser = at()
    first, second = (_control(browser, "settings", x) for x in ("one run", "another"))
    Select(first).select_by_visible_text("dense/asterix/1")
    Select(second).select_by_visible_text("pruned/breakout")
    rows = _texts(browser, "#difference tbody tr")
    assert rows == [
        "create_minatar_environment.game_name'asterix''breakout'",
        "q/create_updater_from_config.pruner_type'no_prune''magnitude'",
        "q/create_updater_from_config.sparsity0.00.95",
        "torso/MinAtarTorso.width18",
        "Runner.num_seeds12",
        "Runner.seed10",
    ]
    assert _texts(browser, "#difference .note") == ["6 bindings of 12 differ."]
    _control(browser, "settings", "show equal").click()
    assert len(_texts(browser, "#difference tbody tr")) == 12
    assert len(_texts(browser, "#difference tr.differs")) == 6


def test_another_commit_is_marked(at):
    browser = at()
    (warning,) = _texts(browser, "#provenance .warning")
    assert warning.startswith("Runs of 3 commits: aaaaaaaaaa (3 runs)")
    assert _texts(browser, "#provenance .other") == ["c" * 10, "b" * 10, "b" * 10]
    assert "sticky_action_probability0.1" in _texts(browser, "#origin")[0]
    assert "mean over updates looked at" in _texts(browser, "#origin")[0]


def test_numbers_of_a_picture_are_there_when_asked_for(at):
    browser = at()
    assert _texts(browser, "#pictures td") == []
    _find(browser, "#pictures summary").click()
    _wait_for_charts(browser)  # the numbers come with the next event too
    assert _texts(browser, "#pictures td") == ["dense", "1.5"]


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_page(at, width):
    browser = at(width)
    wide = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    assert browser.execute_script(wide) == 0
    assert _point(browser, 200, "touch").startswith("200 agent steps")
    assert browser.execute_script(wide) == 0
    chart = _find(browser, "#panels svg")
    assert _find(browser, ".picture img").size["width"] <= width
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


def test_a_page_of_nothing_opens(at, tmp_path):
    write_page(tmp_path / "report.html", [], [], [])
    browser = at()
    browser.get_log("browser")
    browser = at(file=tmp_path / "report.html")
    assert browser.get_log("browser") == []
    assert "0 runs" in _texts(browser, "#facts")[0]
