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

from prune_rl.reporting.page import embedded, page_data, write_page
from prune_rl.reporting.trainings import find_trainings
from tests.reporting.page_runs import (
    DENSE,
    HOSTILE,
    ITERATIONS,
    contents,
    episode_return,
    estimate,
    picture,
    rows_of,
    start,
    trainings_of,
    write_run,
    write_tree,
)


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "runs")


def _data(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


class _Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_data_in_the_page_are_those_of_the_runs(tmp_path, tree):
    write_page(tmp_path / "report.html", contents(trainings_of(tree), [estimate()], [picture()]))
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
    data = page_data(contents(trainings_of(tree)))
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
        assert page_data(contents(trainings))["title"] == f"Report of {shown}"
    monkeypatch.chdir(tmp_path / "runs")
    for folders in ([Path()], [Path("../runs/deeper/../a"), Path("b")]):
        data = page_data(contents(find_trainings(folders)))
        assert data["title"] == f"Report of {tmp_path / 'runs'}"


def test_names_with_markup_leave_the_page_as_it_is(tmp_path, tree):
    """The same elements in the same order, whatever a folder, setting or label is called."""
    folder = tmp_path / "<b title='\"&quot;é"
    write_tree(folder)
    config = folder / "dense/asterix/0/config.gin"
    setting = HOSTILE.replace("\u2028", "")  # which ends a line
    config.write_text(config.read_text() + f"QNetwork.name = '{setting}'\n")
    starts = [start(HOSTILE, command=[HOSTILE])]
    (folder / "dense/asterix/0/provenance.json").write_text(json.dumps(starts))
    own = picture(title=HOSTILE, rows=[(HOSTILE, 1.0)])._replace(caption=HOSTILE)
    write_page(tmp_path / "tame.html", contents(trainings_of(tree), [estimate()], [picture()]))
    write_page(tmp_path / "wild.html", contents(trainings_of(folder), [estimate(HOSTILE)], [own]))
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
    write_page(tmp_path / "report.html", contents(trainings_of(folder)))
    assert "runs" in _data((tmp_path / "report.html").read_text("utf-8"))["title"]


def test_the_page_loads_nothing_from_anywhere(tmp_path, tree):
    write_page(tmp_path / "report.html", contents(trainings_of(tree), [], [picture()]))
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
        write_page(tmp_path / name, contents(trainings_of(tree), [estimate()], [picture()]))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_eighty_runs_of_thirty_iterations_are_small(tmp_path, tree):
    one = trainings_of(tree)[0]
    measured = {"q_norm": 1 / 3, "q_variance": 2 / 3, "parameter_norm": 100 / 3, "grad_norm": 1 / 7}
    rows = [row | measured for row in rows_of(True, "breakout", [0], iterations=30)]
    runs = [dataclasses.replace(one, name=f"{i}", rows=rows, num_iterations=30) for i in range(80)]
    write_page(tmp_path / "report.html", contents(runs))
    assert 300_000 < (tmp_path / "report.html").stat().st_size < 3_000_000


def test_a_missing_value_is_null_and_a_run_without_rows_is_there(tmp_path):
    rows = rows_of(False, "breakout", [0])
    rows[1] |= {"episode_return_mean": None, "loss": math.inf}
    write_run(tmp_path / "runs" / "a", DENSE, "breakout", [0], rows=rows)
    write_run(tmp_path / "runs" / "b", DENSE, "breakout", [1], rows=[])
    shown = contents(trainings_of(tmp_path / "runs"), [estimate("", math.nan)])
    write_page(tmp_path / "report.html", shown)
    data = _data((tmp_path / "report.html").read_text("utf-8"))
    seen, empty = data["runs"]
    assert seen["phases"]["train"]["values"]["episode_return_mean"][0][1] is None
    assert seen["phases"]["train"]["values"]["loss"][0][:2] == [0.01, None]
    assert data["estimates"][0]["value"] is None
    assert (empty["phases"], empty["layers"], empty["final"]) == ({}, {}, [None])
    assert (empty["iterations"], empty["steps"], empty["speed"]) == (0, 0, None)


def test_a_page_of_nothing_is_written(tmp_path):
    write_page(tmp_path / "report.html", contents())
    assert _data((tmp_path / "report.html").read_text("utf-8"))["runs"] == []


def test_statistics_stand_together_and_an_interval_that_is_none_is_null():
    mean = estimate("a")._replace(statistic="mean", low=math.nan, high=math.nan)
    found = page_data(contents([], [estimate("a"), mean, estimate("b")]))["estimates"]
    assert [own["statistic"] for own in found] == ["iqm", "iqm", "mean"]
    assert [own["low"] for own in found] == [0.4123, 0.4123, None]
    assert [own["high"] for own in found] == [0.6, 0.6, None]


def test_a_picture_is_an_image_with_its_numbers(tmp_path):
    rows = [(f"arm {i}", np.float64(i / 3)) for i in range(1_200)]
    (small,) = page_data(contents(pictures=[picture(rows=rows)]))["pictures"]
    assert small["rows"][1] == ["arm 1", 0.3333]
    assert (len(small["rows"]), small["num_rows"]) == (1_000, 1_200)
    assert small["header"] == ["arm", "value"]
    large = picture()
    large.figure.axes[0].plot(np.random.default_rng(0).normal(size=40_000), ".")
    assert data_kinds(page_data(contents(pictures=[large]))) == {"data:image/png"}


def test_what_statistics_are_without_is_named(tmp_path):
    root = tmp_path / "runs"
    silent = [row | {"episode_return_mean": None} for row in rows_of(False, "breakout", [1])]
    write_run(root / "short", DENSE, "breakout", [0], rows=rows_of(False, "breakout", [0], 2))
    write_run(root / "silent", DENSE, "breakout", [1], rows=silent)
    write_run(root / "whole", DENSE, "breakout", [2])
    data = page_data(contents(trainings_of(root), left_out=["a seed that is there twice"]))
    assert data["uncounted"] == [
        "a seed that is there twice",
        "seed 0 of short: stopped after 2 iterations",
        "seed 1 of silent: no episode ended at the end",
    ]


def test_a_page_that_cannot_be_made_leaves_the_one_before(tmp_path, tree):
    out = tmp_path / "report.html"
    out.write_text("before")
    own = picture()
    own.figure.axes[0].set_title("$\\frac{$")  # what matplotlib cannot draw
    with pytest.raises(ValueError, match="frac"):
        write_page(out, contents(trainings_of(tree), [], [own]))
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]
