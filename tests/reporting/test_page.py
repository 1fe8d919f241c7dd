"""report.html holds what runs wrote, all of it inside, and no name can be more than text."""

import dataclasses
import json
import math
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from prune_rl.reporting.page import embedded, page_data, write_page
from prune_rl.reporting.page_data import describe_runs, number, thin
from prune_rl.reporting.pictures import Picture
from prune_rl.reporting.statistics import Estimate
from prune_rl.reporting.trainings import find_trainings
from tests.reporting.page_runs import (
    DENSE,
    ITERATIONS,
    PRUNED,
    episode_return,
    rows_of,
    start,
    write_run,
    write_tree,
)

HOSTILE = "</script><script>alert(1)</script><!--<script>\u2028'\"&amp;é"
_RETURNS = {"phase": "train", "name": "episode_return_mean"}


def _trainings(root):
    return list(find_trainings([root]))


def _data(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def _picture(name="figure_1", title="Returns", rows=(("dense", 1.5),)):
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([1, 2, 3], [3, 1, 2])
    return Picture(name, title, "A line.", figure, ("arm", "value"), list(rows))


class _Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def _estimate(arm="dense", value=0.5, num_runs=6):
    return Estimate(arm, "iqm", value, 0.41234567, 0.6, 2, num_runs)


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "runs")


def test_the_data_in_the_page_are_those_of_the_runs(tmp_path, tree):
    write_page(tmp_path / "report.html", _trainings(tree), [_estimate()], [_picture()])
    data = _data((tmp_path / "report.html").read_text("utf-8"))
    names = [f"dense/{game}/{seed}" for game in ("asterix", "breakout") for seed in (0, 1)]
    assert [run["name"] for run in data["runs"]] == [*names, "pruned/asterix", "pruned/breakout"]
    pruned = data["runs"][-1]
    own = pruned["phases"]["train"]
    assert (own["seeds"], own["steps"]) == ([0, 1], [100, 200, 300, 400])
    for seed in (0, 1):
        full = [episode_return(True, "breakout", seed, t) for t in range(ITERATIONS)]
        assert own["values"]["episode_return_mean"][seed] == [float(f"{x:.4g}") for x in full]
    told = (pruned["width"], pruned["sparsity"], pruned["seeds"], pruned["state"], pruned["speed"])
    assert told == (8, 0.95, [0, 1], "finished", 250)
    assert (pruned["iterations"], pruned["steps"], pruned["num_steps"]) == (4, 400, 400)
    assert data["estimates"][0]["low"] == 0.4123
    bindings = dict(data["bindings"][place] for place in pruned["config"])
    assert bindings["torso/MinAtarTorso.width"] == "8"
    assert bindings["Runner.agent"] == "@DQNAgent()"


def test_the_title_names_the_folders_and_the_newest_start(tree):
    newer = [start(started="2026-11-23T01:00:00+00:00"), start(started="2026-11-24T01:00:00+00:00")]
    (tree / "dense/asterix/1/provenance.json").write_text(json.dumps(newer))
    data = page_data(_trainings(tree), [], [])
    assert data["title"] == f"Report of {tree}"
    assert data["newest"] == "2026-11-24T01:00:00+00:00"


def test_the_title_names_folders_as_seen_from_here(tmp_path, monkeypatch):
    for name in ("a", "b", "deeper/c"):
        write_run(tmp_path / "runs" / name, DENSE, "breakout", [0 if name == "a" else 1])
    monkeypatch.chdir(tmp_path)
    for folders, shown in (
        [["runs"], "runs"],
        [["runs/a"], "runs/a"],
        [["runs/a", "runs/b"], "runs"],
        [[str(tmp_path / "runs")], "runs"],
    ):
        trainings = find_trainings([Path(x) for x in folders])
        assert page_data(trainings, [], [])["title"] == f"Report of {shown}"
    monkeypatch.chdir(tmp_path / "runs")
    assert page_data(find_trainings([Path()]), [], [])["title"] == f"Report of {tmp_path / 'runs'}"
    above = find_trainings([Path("../runs/deeper/../a"), Path("b")])
    assert page_data(above, [], [])["title"] == f"Report of {tmp_path / 'runs'}"


def test_names_with_markup_leave_the_page_as_it_is(tmp_path, tree):
    """The same elements in the same order, whatever a folder, setting or label is called."""
    folder = tmp_path / "<b title='\"&quot;é"
    write_tree(folder)
    config = folder / "dense/asterix/0/config.gin"
    setting = HOSTILE.replace("\u2028", "")  # which ends a line
    config.write_text(config.read_text() + f"QNetwork.name = '{setting}'\n")
    starts = [start(HOSTILE, command=[HOSTILE])]
    (folder / "dense/asterix/0/provenance.json").write_text(json.dumps(starts))
    picture = _picture(title=HOSTILE, rows=[(HOSTILE, 1.0)])._replace(caption=HOSTILE)
    write_page(tmp_path / "tame.html", _trainings(tree), [_estimate()], [_picture()])
    write_page(tmp_path / "wild.html", _trainings(folder), [_estimate(HOSTILE)], [picture])
    tame, wild = (_Tags((tmp_path / f"{x}.html").read_text("utf-8")) for x in ("tame", "wild"))
    assert wild.found == tame.found
    data = _data((tmp_path / "wild.html").read_text("utf-8"))
    assert not {"<", ">", "&"} & set(embedded(data))
    assert data["title"] == f"Report of {folder}"
    assert data["estimates"][0]["arm"] == data["pictures"][0]["caption"] == HOSTILE
    assert data["pictures"][0]["rows"] == [[HOSTILE, 1]]
    assert ["QNetwork.name", f"'{setting}'"] in data["bindings"]
    assert data["runs"][0]["provenance"]["git_commit"] == HOSTILE


def test_a_folder_whose_name_is_no_text_is_shown_all_the_same(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xffruns")
    write_run(folder / "a", DENSE, "breakout", [0])
    write_page(tmp_path / "report.html", _trainings(folder), [], [])
    assert "runs" in _data((tmp_path / "report.html").read_text("utf-8"))["title"]


def test_the_page_loads_nothing_from_anywhere(tmp_path, tree):
    write_page(tmp_path / "report.html", _trainings(tree), [], [_picture()])
    text = (tmp_path / "report.html").read_text("utf-8")
    tags = _Tags(text).found
    assert {name for name, _ in tags}.isdisjoint({"iframe", "object", "embed", "base"})
    links = [own[x] for _, own in tags for x in ("src", "href", "srcset") if x in own]
    assert links == ["data:,"]
    assert not re.search(r"url\(|@import|\bfetch\(|\bimport\b|XMLHttpRequest", text)
    assert re.findall(r"https?://[\w./]+", text) == ["http://www.w3.org/2000/svg"]
    (policy,) = [own["content"] for name, own in tags if "http-equiv" in own]
    assert "default-src 'none'" in policy
    assert data_kinds(_data(text)) == {"data:image/svg+xml"}


def data_kinds(data):
    return {own["image"].partition(";")[0] for own in data["pictures"]}


def test_equal_runs_give_equal_pages(tmp_path, tree):
    for name in ("one", "two"):
        write_page(tmp_path / name, _trainings(tree), [_estimate()], [_picture()])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_eighty_runs_of_thirty_iterations_are_small(tmp_path, tree):
    one = _trainings(tree)[0]
    measured = {"q_norm": 1 / 3, "q_variance": 2 / 3, "parameter_norm": 100 / 3, "grad_norm": 1 / 7}
    rows = [row | measured for row in rows_of(True, "breakout", [0], iterations=30)]
    runs = [dataclasses.replace(one, name=f"{i}", rows=rows, num_iterations=30) for i in range(80)]
    write_page(tmp_path / "report.html", runs, [], [])
    assert 300_000 < (tmp_path / "report.html").stat().st_size < 3_000_000


def test_long_runs_are_thinned_and_the_page_says_so(tree):
    one = dataclasses.replace(_trainings(tree)[0], rows=rows_of(True, "breakout", [0], 100))
    whole, thinned = describe_runs([one]), describe_runs([one], most_numbers=140)
    assert whole["left_out"] == []
    assert len(whole["runs"][0]["phases"]["train"]["steps"]) == 100
    own = thinned["runs"][0]["phases"]["train"]
    assert len(own["steps"]) == 20  # of 7 lines, 5 of training and 2 of diagnostics
    assert (own["steps"][0], own["steps"][-1]) == (100, 10_000)
    assert {len(line) for (line,) in own["values"].values()} == {len(own["steps"])}
    assert own["values"]["loss"][0][-1] == 1
    strips = thinned["runs"][0]["layers"]["sparsity_by_layer"]
    assert len(strips["steps"]) == len(strips["layers"]["head"]) == 11
    assert thinned["left_out"] == [
        "Curves have at most 20 of up to 100 points, evenly chosen, the first and the last among "
        "them.",
        "Values by layer have at most 11 of up to 100 points, evenly chosen, the first and the "
        "last among them.",
    ]


def test_thinning_keeps_the_ends_and_even_steps():
    assert thin(range(9), 3) == [0, 4, 8]
    assert thin(range(9), 9) == thin(range(9), 20) == list(range(9))
    assert thin(range(9), 1) == [8]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *[(1.23456, 1.235), (0.00012345678, 0.0001235), (107.0, 107), (123456.0, 123500), (0, 0)],
        *[(math.nan, None), (math.inf, None), (None, None)],
    ],
)
def test_numbers_have_four_digits(value, shown):
    assert number(value) == shown
    assert isinstance(number(107.0), int)


def test_a_missing_value_is_null_and_a_run_without_rows_is_there(tmp_path):
    rows = rows_of(False, "breakout", [0])
    rows[1] |= {"episode_return_mean": None, "loss": math.inf}
    write_run(tmp_path / "runs" / "a", DENSE, "breakout", [0], rows=rows)
    write_run(tmp_path / "runs" / "b", DENSE, "breakout", [1], rows=[])
    write_page(
        tmp_path / "report.html", _trainings(tmp_path / "runs"), [_estimate("", math.nan)], []
    )
    data = _data((tmp_path / "report.html").read_text("utf-8"))
    seen, empty = data["runs"]
    assert seen["phases"]["train"]["values"]["episode_return_mean"][0][1] is None
    assert seen["phases"]["train"]["values"]["loss"][0][:2] == [0.01, None]
    assert data["estimates"][0]["value"] is None
    assert (empty["phases"], empty["layers"], empty["final"]) == ({}, {}, [None])
    assert (empty["iterations"], empty["steps"], empty["speed"]) == (0, 0, None)


def test_a_page_of_nothing_is_written(tmp_path):
    write_page(tmp_path / "report.html", [], [], [])
    assert _data((tmp_path / "report.html").read_text("utf-8"))["runs"] == []


def test_final_returns_are_those_of_the_scores(tree):
    """A mean over the last quarter; of evaluations, which the curves then show first."""
    trainings = _trainings(tree)
    data = describe_runs(trainings)
    last = [episode_return(True, "breakout", seed, 3) for seed in (0, 1)]
    assert data["runs"][-1]["final"] == [number(value) for value in last]
    assert {run["final_phase"] for run in data["runs"]} == {"train"}
    evaluated = [row | {"phase": "eval", "episode_return_mean": 77.0} for row in trainings[0].rows]
    rows = [*trainings[0].rows, *evaluated]
    data = describe_runs([dataclasses.replace(trainings[0], rows=rows)])
    assert (data["runs"][0]["final"], data["runs"][0]["final_phase"]) == ([77], "eval")
    assert data["quantities"][0]["phase"] == "eval"


def test_returns_come_first_and_sparsity_once(tree):
    trainings = _trainings(tree)
    names = [(own["phase"], own["name"]) for own in describe_runs(trainings)["quantities"]]
    assert names[0] == ("train", "episode_return_mean")
    assert ("train", "agent_steps_per_second") in names
    assert ("diagnostics", "srank") in names
    assert [phase for phase, name in names if name == "sparsity"] == ["train"]


def test_layers_are_means_over_seeds_and_networks_have_their_own(tree):
    pruned = _trainings(tree)[-1]
    rows = [row | {"q/sparsity_by_layer": {"head": 0.5}, "q/loss": 2.0} for row in pruned.rows]
    data = describe_runs([dataclasses.replace(pruned, rows=rows)])
    layers = data["runs"][0]["layers"]
    assert list(layers) == ["q/sparsity_by_layer", "sparsity_by_layer", "dormant_by_layer"]
    assert layers["dormant_by_layer"]["steps"] == [200, 400]
    assert layers["dormant_by_layer"]["layers"]["torso/Dense_0"] == [0.3125, 0.3125]
    assert layers["sparsity_by_layer"]["layers"]["torso/Conv_0"] == [0, 0.1583, 0.3167, 0.475]
    assert layers["q/sparsity_by_layer"]["layers"] == {"head": [0.5] * 4}
    assert "q: loss" in [own["label"] for own in data["quantities"]]


def test_provenance_is_that_of_the_latest_start(tree):
    broken = ("[]", "{", "5", '[{"versions": NaN, "command": null}]')
    for place, text in zip(("dense/asterix/0", "dense/asterix/1"), broken, strict=False):
        (tree / place / "provenance.json").write_text(text)
    (tree / "dense/breakout/0/provenance.json").write_text(broken[2])
    (tree / "dense/breakout/1/provenance.json").write_text(broken[3])
    data = json.loads(embedded(page_data(_trainings(tree), [], [])))
    *unknown, odd, _, pruned = [run["provenance"] for run in data["runs"]]
    assert unknown == [None] * 3
    assert (odd["started"], odd["command"], odd["starts"]) == (None, "", 1)
    assert (pruned["git_commit"], pruned["starts"]) == ("b" * 40, 2)
    assert pruned["command"] == "train.py '--base_dir=a b'"
    assert data["records"][pruned["versions"]] == {"jax": "0.10.2", "flax": "0.12.8"}
    assert data["records"][pruned["protocol"]]["suite"] == "minatar"


def test_what_many_runs_share_is_there_once(tree):
    data = page_data(_trainings(tree), [], [])
    assert len(data["bindings"]) == len({tuple(pair) for pair in data["bindings"]})
    assert len(data["records"]) == 3  # versions, protocol and units of all runs


def test_statistics_stand_together_and_need_three_runs_a_game_for_an_interval():
    given = [_estimate("a"), _estimate("a", num_runs=5)._replace(statistic="mean"), _estimate("b")]
    found = page_data([], given, [])["estimates"]
    assert [own["statistic"] for own in found] == ["iqm", "iqm", "mean"]
    assert [own["low"] for own in found] == [0.4123, 0.4123, None]
    assert [own["high"] for own in found] == [0.6, 0.6, None]


def test_a_diverged_seed_is_named(tree):
    run = _trainings(tree)[-1]
    rows = [row | ({"diverged_at": 30} if row["seed"] == 1 else {}) for row in run.rows]
    (own,) = describe_runs([dataclasses.replace(run, rows=rows)])["runs"]
    assert own["diverged"] == [1]


def test_a_picture_is_an_image_with_its_numbers(tmp_path):
    rows = [(f"arm {i}", np.float64(i / 3)) for i in range(1_200)]
    (small,) = page_data([], [], [_picture(rows=rows)])["pictures"]
    assert small["rows"][1] == ["arm 1", 0.3333]
    assert (len(small["rows"]), small["num_rows"]) == (1_000, 1_200)
    assert small["header"] == ["arm", "value"]
    large = _picture()
    large.figure.axes[0].plot(np.random.default_rng(0).normal(size=40_000), ".")
    assert data_kinds(page_data([], [], [large])) == {"data:image/png"}


def test_a_page_that_cannot_be_made_leaves_the_one_before(tmp_path, tree):
    out = tmp_path / "report.html"
    out.write_text("before")
    picture = _picture()
    picture.figure.axes[0].set_title("$\\frac{$")  # what matplotlib cannot draw
    with pytest.raises(ValueError, match="frac"):
        write_page(out, _trainings(tree), [], [picture])
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]


def test_a_pruned_and_a_dense_arm_are_two(tree):
    arms = {run["arm"] for run in describe_runs(_trainings(tree))["runs"]}
    assert len(arms) == 2
    assert PRUNED["pruner"] in max(arms, key=len)
