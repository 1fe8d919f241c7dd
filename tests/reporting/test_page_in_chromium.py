"""report.html in a real browser: what a reader sees, clicks and sorts."""

import pytest

from prune_rl.reporting.page import write_page
from prune_rl.reporting.statistics import Estimate
from tests.reporting.page_browser import (
    DENSE,
    control,
    find,
    needs_chromium,
    texts,
    wait_for_charts,
)
from tests.reporting.page_runs import (
    DENSE as DENSE_RUN,
)
from tests.reporting.page_runs import (
    HOSTILE,
    contents,
    episode_return,
    rows_of,
    trainings_of,
    write_run,
    write_tree,
)

By = pytest.importorskip("selenium.webdriver.common.by", reason="needs selenium").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
Select = pytest.importorskip("selenium.webdriver.support.select").Select
pytestmark = needs_chromium


def test_everything_is_drawn_without_a_complaint(at):
    browser = at()
    browser.get_log("browser")  # of before
    browser = at()
    assert browser.get_log("browser") == []
    assert "6 runs (8 seeds), 2 arms, 2 games" in texts(browser, "#facts")[0]
    titles = [f"{game}: episode return (training)" for game in ("asterix", "breakout")]
    assert texts(browser, "#panels figcaption") == titles
    assert len(browser.find_elements(By.CSS_SELECTOR, "#panels path.seed")) == 8
    assert browser.execute_script("return document.querySelector('.picture img').naturalWidth") > 99
    assert texts(browser, "#statistics td:nth-child(4)") == ["0.4 to 0.6", "\N{EN DASH}"]


def test_statistics_say_what_their_scores_are(at, tmp_path):
    assert {"scores", "returns of"}.isdisjoint(texts(at(), "#statistics th"))
    estimates = [
        Estimate("dqn", "iqm", 0.5, 0.4, 0.6, 2, 6, f"return / mean of {HOSTILE}", "eval"),
        Estimate("cql", "iqm", 0.5, 0.4, 0.6, 2, 6, "0 random, 1 human", "train"),
    ]
    write_page(tmp_path / "report.html", contents(estimates=estimates))
    browser = at(file=tmp_path / "report.html")
    assert texts(browser, "#statistics th")[-2:] == ["scores", "returns of"]
    scales = [f"return / mean of {HOSTILE}", "0 random, 1 human"]
    assert texts(browser, "#statistics td:nth-child(8)") == scales
    assert texts(browser, "#statistics td:nth-child(9)") == ["evaluation", "training"]


def test_names_are_text(at):
    """A setting, a label and a title that look like markup are shown as they are."""
    browser = at()
    assert HOSTILE in texts(browser, "#pictures h3")
    assert any(HOSTILE in text for text in texts(browser, "#statistics td"))
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 2


def test_a_click_on_a_column_sorts_by_numbers_then_back(at):
    browser = at()
    head = browser.find_element(By.XPATH, "//section[@id='runs']//button[.='final return']")
    cell = "#runs tbody td:nth-child(5)"
    head.click()
    shown = [float(text.split(" ")[0]) for text in texts(browser, cell)]
    assert len(shown) == 6
    assert shown == sorted(shown)
    assert find(browser, "#runs th:nth-child(5)").get_attribute("aria-sort") == "ascending"
    head.send_keys(Keys.ENTER)
    assert [float(text.split(" ")[0]) for text in texts(browser, cell)] == shown[::-1]
    assert find(browser, "#runs th:nth-child(5)").get_attribute("aria-sort") == "descending"
    assert find(browser, "#runs th:nth-child(1)").get_attribute("aria-sort") == "none"


def test_a_run_of_two_seeds_shows_their_mean_and_deviation(at):
    browser = at()
    rows = dict(
        zip(
            texts(browser, "#runs td:first-child"),
            texts(browser, "#runs td:nth-child(5)"),
            strict=True,
        )
    )
    last = [episode_return(True, "breakout", seed, 3) for seed in (0, 1)]
    assert rows["pruned/breakout"] == f"{sum(last) / 2:.2f} ± 0.71"
    assert rows["dense/asterix/0"] == f"{episode_return(False, 'asterix', 0, 3):.3f}"


def test_final_returns_are_over_the_seeds_that_statistics_are_of(at, tmp_path):
    write_tree(tmp_path / "runs")
    rows = [row for row in rows_of(False, "breakout", [2]) if row["iteration"] < 2]
    write_run(tmp_path / "runs/dense/breakout/2", DENSE_RUN, "breakout", [2], rows=rows)
    shown = contents(trainings_of(tmp_path / "runs"), left_out=[HOSTILE])
    write_page(tmp_path / "report.html", shown)
    browser = at(file=tmp_path / "report.html")
    heads = texts(browser, "#finals th")
    lines = [texts(browser, f"#finals tbody tr:nth-child({i}) td") for i in (1, 2)]
    told = [dict(zip(heads, line, strict=True)) for line in lines]
    last = [episode_return(False, "breakout", seed, 3) for seed in (0, 1)]
    assert [own["game"] for own in told] == ["asterix", "breakout"]
    assert [(own["seeds"], own["left out"]) for own in told] == [("2", "0"), ("2", "1")]
    assert told[1]["mean"] == f"{sum(last) / 2:.4g}"
    assert (told[1]["least"], told[1]["most"]) == tuple(f"{value:.4g}" for value in last)
    assert texts(browser, "#uncounted summary") == ["Not in the statistics: 2 seeds or runs"]
    missing = "seed 2 of dense/breakout/2: stopped after 2 iterations"
    assert texts(browser, "#uncounted li") == [HOSTILE, missing]
    assert "1 seed more is left out: not finished" in texts(browser, "#finals .note")[0]


def test_words_and_choices_filter_the_runs(at):
    browser = at()
    names = "#runs tbody td:first-child"
    box = find(browser, "#runs input")
    box.send_keys("MAGNITUDE breakout")
    assert texts(browser, names) == ["pruned/breakout"]
    assert texts(browser, "#shown") == ["1 of 6 runs shown."]
    box.clear()
    box.send_keys(" ")
    Select(control(browser, "runs", "game")).select_by_value("asterix")
    assert texts(browser, names) == ["dense/asterix/0", "dense/asterix/1", "pruned/asterix"]
    Select(control(browser, "runs", "arm")).select_by_value(DENSE)
    assert texts(browser, names) == ["dense/asterix/0", "dense/asterix/1"]


def test_the_settings_of_two_runs_are_those_that_differ(at):
    browser = at()
    first, second = (control(browser, "settings", x) for x in ("one run", "another"))
    Select(first).select_by_visible_text("dense/asterix/1")
    Select(second).select_by_visible_text("pruned/breakout")
    rows = texts(browser, "#difference tbody tr")
    assert rows == [
        "create_minatar_environment.game_name'asterix''breakout'",
        "q/create_updater_from_config.pruner_type'no_prune''magnitude'",
        "q/create_updater_from_config.sparsity0.00.95",
        "torso/MinAtarTorso.width18",
        "Runner.num_seeds12",
        "Runner.seed10",
    ]
    assert texts(browser, "#difference .note") == ["6 bindings of 12 differ."]
    control(browser, "settings", "show equal").click()
    assert len(texts(browser, "#difference tbody tr")) == 12
    assert len(texts(browser, "#difference tr.differs")) == 6


def test_another_commit_is_marked(at):
    browser = at()
    (warning,) = texts(browser, "#provenance .warning")
    assert warning.startswith("Runs of 3 commits: aaaaaaaaaa (3 runs)")
    assert texts(browser, "#provenance .other") == ["c" * 10, "b" * 10, "b" * 10]
    assert "sticky_action_probability0.1" in texts(browser, "#origin")[0]
    assert "mean over updates looked at" in texts(browser, "#origin")[0]


def test_numbers_of_a_picture_are_there_when_asked_for(at):
    browser = at()
    assert texts(browser, "#pictures td") == []
    find(browser, "#pictures summary").click()
    wait_for_charts(browser)  # the numbers come with the next event too
    assert texts(browser, "#pictures td") == ["dense", "1.5"]


def test_a_page_of_nothing_opens(at, tmp_path):
    write_page(tmp_path / "report.html", contents())
    browser = at()
    browser.get_log("browser")
    browser = at(file=tmp_path / "report.html")
    assert browser.get_log("browser") == []
    assert "0 runs" in texts(browser, "#facts")[0]
