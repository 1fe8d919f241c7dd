"""What report.html knows of runs: curves, layers, scores and origin, as plain JSON."""

import dataclasses
import json
import math

import pytest

from prune_rl.reporting.page import embedded, page_data
from prune_rl.reporting.page_data import describe_runs, number, thin
from prune_rl.reporting.table import final_scores
from tests.reporting.page_runs import (
    PRUNED,
    contents,
    described,
    episode_return,
    rows_of,
    trainings_of,
    write_tree,
)


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "runs")


def test_long_runs_are_thinned_and_the_page_says_so(tree):
    one = dataclasses.replace(trainings_of(tree)[0], rows=rows_of(True, "breakout", [0], 100))
    whole, thinned = described([one]), described([one], 140)
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


def test_final_returns_are_those_of_the_scores(tree):
    """A mean over the last quarter; of evaluations, which the curves then show first."""
    trainings = trainings_of(tree)
    data = described(trainings)
    last = [episode_return(True, "breakout", seed, 3) for seed in (0, 1)]
    assert data["runs"][-1]["final"] == [number(value) for value in last]
    assert {run["final_phase"] for run in data["runs"]} == {"train"}
    evaluated = [row | {"phase": "eval", "episode_return_mean": 77.0} for row in trainings[0].rows]
    rows = [*trainings[0].rows, *evaluated]
    data = described([dataclasses.replace(trainings[0], rows=rows)])
    assert (data["runs"][0]["final"], data["runs"][0]["final_phase"]) == ([77], "eval")
    assert data["quantities"][0]["phase"] == "eval"


def test_final_returns_are_those_that_the_page_is_given(tree):
    """In whatever order, with their phase: of a report of --phase, or of several clocks."""
    trainings = trainings_of(tree)
    scores = [own._replace(value=1.0 * i) for i, own in enumerate(final_scores(trainings))]
    runs = describe_runs(trainings, scores[::-1], [scores[1], scores[5], scores[6]])["runs"]
    assert [run["final"] for run in runs] == [[0], [1], [2], [3], [4, 5], [6, 7]]
    assert [run["counted"] for run in runs] == [*[[x] for x in (0, 1, 0, 0)], [0, 1], [1, 0]]
    told = describe_runs(trainings, [own._replace(phase="eval") for own in scores], [])
    assert {run["final_phase"] for run in told["runs"]} == {"eval"}


def test_returns_come_first_and_sparsity_once(tree):
    trainings = trainings_of(tree)
    names = [(own["phase"], own["name"]) for own in described(trainings)["quantities"]]
    assert names[0] == ("train", "episode_return_mean")
    assert ("train", "agent_steps_per_second") in names
    assert ("diagnostics", "srank") in names
    assert [phase for phase, name in names if name == "sparsity"] == ["train"]


def test_layers_are_means_over_seeds_and_networks_have_their_own(tree):
    pruned = trainings_of(tree)[-1]
    rows = [row | {"q/sparsity_by_layer": {"head": 0.5}, "q/loss": 2.0} for row in pruned.rows]
    data = described([dataclasses.replace(pruned, rows=rows)])
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
    data = json.loads(embedded(page_data(contents(trainings_of(tree)))))
    *unknown, odd, _, pruned = [run["provenance"] for run in data["runs"]]
    assert unknown == [None] * 3
    assert (odd["started"], odd["command"], odd["starts"]) == (None, "", 1)
    assert (pruned["git_commit"], pruned["starts"]) == ("b" * 40, 2)
    assert pruned["command"] == "train.py '--base_dir=a b'"
    assert data["records"][pruned["versions"]] == {"jax": "0.10.2", "flax": "0.12.8"}
    assert data["records"][pruned["protocol"]]["suite"] == "minatar"


def test_what_many_runs_share_is_there_once(tree):
    data = page_data(contents(trainings_of(tree)))
    assert len(data["bindings"]) == len({tuple(pair) for pair in data["bindings"]})
    assert len(data["records"]) == 3  # versions, protocol and units of all runs


def test_a_diverged_seed_is_named(tree):
    run = trainings_of(tree)[-1]
    rows = [row | ({"diverged_at": 30} if row["seed"] == 1 else {}) for row in run.rows]
    (own,) = described([dataclasses.replace(run, rows=rows)])["runs"]
    assert own["diverged"] == [1]


def test_a_pruned_and_a_dense_arm_are_two(tree):
    arms = {run["arm"] for run in described(trainings_of(tree))["runs"]}
    assert len(arms) == 2
    assert PRUNED["pruner"] in max(arms, key=len)
