"""The answers of the studies on robots, from made-up runs whose numbers say what must come out."""

import csv
import importlib.util
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from prune_rl import configuration
from prune_rl.datasets.d4rl import find_runs
from prune_rl.datasets.experience import Share
from prune_rl.grid import Grid
from prune_rl.reporting.answers import contrast, decide
from tests.reporting.control_trees import SOURCE

_RESULTS = Path(__file__).parents[2] / "results"
_REFERENCES = {"HalfCheetah-v5": (-280.178953, 12135.0), "Walker2d-v5": (1.629008, 4592.3)}
_GAMES = ("HalfCheetah-v5", "Walker2d-v5")


def _script(name):
    spec = importlib.util.spec_from_file_location(f"{name}_answers", _RESULTS / name / "answers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write(folder, cell, scores, *, offline=False, done=20):
    """A run of seeds 0, 1, … whose last quarter scores that on D4RL's scale; 5 of 20 count."""
    game = cell.split("/")[-1]
    low, high = _REFERENCES[game]
    seeds = "0" if len(scores) == 1 else f"0-{len(scores) - 1}"
    run = folder / cell / seeds
    run.mkdir(parents=True)
    config = f"Runner.num_iterations = 20\nRunner.num_seeds = {len(scores)}\n"
    config += f"Runner.create_environment_fn = @make\nmake.game_name = '{game}'\n"
    config += f"Runner.create_source_fn = {SOURCE}\n" if offline else ""
    (run / "config.gin").write_text(config)
    clock = "gradient_steps" if offline else "agent_steps"
    rows = []
    for i in range(done):
        for seed, score in enumerate(scores):
            own = {"seed": seed, "iteration": i, "clock": clock, clock: 5000 * (i + 1)}
            value = low + score / 100 * (high - low) if i >= 15 else 1e6
            rows.append(own | {"phase": "train", "episode_return_mean": -1.0})
            rows.append(own | {"phase": "eval", "episode_return_mean": value})
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _answers(name, tmp_path, *folders):
    out = tmp_path / "new/answers"
    assert _script(name).main([*map(str, folders), f"--out={out}"]) == 0
    with (out / "answers.csv").open() as file:
        return {row["claim"]: row for row in csv.DictReader(file)}


def _is(row, value, answer, seeds=3):
    assert float(row["value"]) == pytest.approx(value)
    assert (row["answer"], row["seeds"]) == (answer, str(seeds))


@pytest.fixture
def sac(tmp_path):
    """Pruned gains 5 on HalfCheetah, loses 1 on Walker2d at x1, gains 9 there at x3 (one seed)."""
    runs = tmp_path / "runs"
    for game, gain in zip(_GAMES, (5.0, -1.0), strict=True):
        for arm, more in (("dense", 0.0), ("95", gain)):
            _write(runs, f"sac/x1/{arm}/{game}", [30 + more, 40 + more, 60 + more])
    for arm, more in (("dense", 0.0), ("95", 9.0)):
        _write(tmp_path / "wide", f"sac/x3/{arm}/Walker2d-v5", [50 + more])
    _write(tmp_path / "wide", "sac/x3/95/HalfCheetah-v5", [1.0], done=7)
    return runs, tmp_path / "wide"


def test_sacs_claims_are_answered_by_their_rules(sac, tmp_path, capsys):
    rows = _answers("continuous_control", tmp_path, *sac)
    _is(rows["1. pruned as good as dense, HalfCheetah-v5, x1"], 5, "yes")
    _is(rows["1b. pruned better"], 5, "yes")
    within = "yes, within the margin, and a little less"
    _is(rows["2. pruned as good as dense, Walker2d-v5, x1"], -1, within)
    _is(rows["2b. pruned better"], -1, "no")
    few = "undecided (fewer than 3 seeds)"
    _is(rows["3. pruned as good as dense, Walker2d-v5, x3"], 9, few, seeds=1)
    # Of the one seed that width 3 has, too.
    _is(rows["4. width helps pruned more, Walker2d-v5"], 10, few, seeds=1)
    said = capsys.readouterr().out
    assert "sac/x3/95/HalfCheetah-v5/0: stopped after 7 of 20 iterations" in said
    assert "| 1b. pruned better | 95 - dense | +5.0 [+5.0, +5.0] | 3 | yes |" in said
    assert f"x3 | 95 - dense | +9.0 | 1 | {few} |" in said  # and no interval
    scores = (tmp_path / "new/answers/scores.csv").read_text().splitlines()
    assert len(scores) == 1 + 12 + 2
    assert scores[1].startswith("sac,x1,95,HalfCheetah-v5,0,35.0")


_AGENTS = ("bc", "td3_bc", "awac", "iql")


@pytest.fixture
def offline(tmp_path):
    """Sparse gains 8 of 5k with two agents, loses 2 with the others; of 100k all are alike."""
    runs, rivals = tmp_path / "runs", tmp_path / "rivals"
    for i, agent in enumerate(_AGENTS):
        for samples, gain in (("5k", 8.0 if i > 1 else -2.0), ("100k", 0.0)):
            for arm, more in (("dense", 0.0), ("sparse", gain)):
                cell = f"expert/{agent}/{samples}/{arm}/HalfCheetah-v5"
                _write(runs, cell, [i + more + x for x in range(5)], offline=True)
    for name, score in (("dropout", 20.0), ("weight_decay", 3.0)):
        cell = f"expert/iql/5k/{name}/HalfCheetah-v5"
        _write(rivals, cell, [score + x for x in range(5)], offline=True)
    return runs, rivals


def test_sparse_regs_claims_are_answered_by_their_rules(offline, tmp_path, capsys):
    rows = _answers("sparse_reg", tmp_path, *offline)
    _is(rows["1. sparse better, expert 5k"], (8 + 8 - 2 - 2) / 4, "yes", 5)
    _is(rows["2. sparse as good, expert 100k"], 0, "yes", 5)
    _is(rows["3. sparsity helps few more, expert"], 3, "yes", 5)
    _is(rows["beside: sparse better, expert 5k, bc"], -2, "no", 5)
    _is(rows["beside: sparse better, expert 5k, iql"], 8, "yes", 5)
    _is(rows["beside: sparse better, expert 100k, iql"], 0, "undecided", 5)
    # IQL's sparse scores are 11 to 15.
    _is(rows["4. sparse better than dropout, expert 5k, iql"], 11 - 20, "no", 5)
    _is(rows["4. sparse better than weight_decay, expert 5k, iql"], 11 - 3, "yes", 5)
    missing = rows["4. sparse better than layer_norm, expert 5k, iql"]
    assert (missing["answer"], missing["value"]) == ("no seed has all cells", "")
    assert "5k, iql | sparse - layer_norm | none | 0 |" in capsys.readouterr().out
    assert not [claim for claim in rows if "medium" in claim]


def test_intervals_are_of_paired_seeds():
    """One draw of seeds for all cells: what moves them alike moves no difference."""
    spread = [0.0, 50.0, 100.0]
    gains = [1.0, 2.0, 3.0]
    scores = {("a",): dict(enumerate(spread)), ("b",): {}}
    scores["b",] = {i: x + gain for i, (x, gain) in enumerate(zip(spread, gains, strict=True))}
    found = contrast(scores, "claim", "b - a", [(1.0, [("b",)]), (-1.0, [("a",)])])
    assert (found.value, found.low, found.high) == pytest.approx((2, 1, 3))
    assert found.answer == "yes"


@pytest.mark.parametrize(
    ("low", "high", "margin", "answer"),
    [
        (1, 2, 0, "yes"),
        (-1, 2, 0, "undecided"),
        (-2, -1, 0, "no"),
        (-1, 2, 2, "yes"),
        (-1, -0.5, 2, "yes, within the margin, and a little less"),
        (-3, -0.5, 2, "no"),
        (-3, 1, 2, "undecided"),
        (np.nan, np.nan, 2, "undecided (fewer than 3 seeds)"),
    ],
)
def test_intervals_decide(low, high, margin, answer):
    assert decide(low, high, margin) == answer


@pytest.mark.parametrize(
    ("name", "cell", "lacking", "count"),
    [
        # 18 of SAC's train alone, two of them here together; 36 of Sparse-Reg's are of five seeds.
        ("continuous_control", "sac/x1/dense/Walker2d-v5", ["2"], 18 - 2),
        ("sparse_reg", "medium/iql/5k/dense/HalfCheetah-v5", ["2", "3", "4"], 35 + 3),
    ],
)
def test_what_never_began_is_named(tmp_path, capsys, name, cell, lacking, count):
    _write(tmp_path / "runs", cell, [1.0, 2.0], offline=name == "sparse_reg")
    _answers(name, tmp_path, tmp_path / "runs")
    said = capsys.readouterr().out.splitlines()
    named = [x.strip().removesuffix(": not begun") for x in said if x.endswith(": not begun")]
    assert len(named) == count
    assert [x for x in named if x.startswith(f"{cell}/")] == [f"{cell}/{x}" for x in lacking]
    other = {"continuous_control": "sac/x3/95/Walker2d-v5/1"}
    assert other.get(name, "expert/iql/5k/dropout/HalfCheetah-v5/0-4") in named


@pytest.mark.parametrize("name", ["continuous_control", "sparse_reg"])
def test_a_folder_without_runs_is_one_line(name, tmp_path, capsys):
    assert _script(name).main([str(tmp_path), f"--out={tmp_path}"]) == 2
    assert capsys.readouterr().err == f"{tmp_path}: holds no run\n"


def _cells_of(*grids):
    names = []
    for grid in grids:
        configuration.load([f"experiments/{grid}.gin"], [])
        names += [cell.name for cell in Grid().cells()]
    return names


@pytest.mark.parametrize(
    ("name", "grids", "count"),
    [
        ("continuous_control", ("sac_pilot", "sac_pilot_wide"), 12 + 6),
        ("sparse_reg", ("sparse_reg_here", "sparse_reg_rivals_here"), 32 + 4),
    ],
)
def test_every_cell_of_the_grids_is_one_that_an_answer_asks_for(
    tmp_path, monkeypatch, capsys, name, grids, count
):
    cells = _cells_of(*grids)
    assert len(cells) == count
    script, asked = _script(name), set()

    def spy(scores, claim, quantity, terms, margin=0.0):
        asked.update(cell for _, own in terms for cell in own)
        return contrast(scores, claim, quantity, terms, margin)

    monkeypatch.setattr(script, "contrast", spy)
    for cell in dict.fromkeys(x.rpartition("/")[0] for x in cells):
        _write(tmp_path, cell, [1.0, 2.0, 3.0, 4.0, 5.0], offline=name == "sparse_reg")
    assert script.main([str(tmp_path), f"--out={tmp_path}"]) == 0
    assert "not begun" not in capsys.readouterr().out
    assert {"/".join(own) for own in asked} == {x.rpartition("/")[0] for x in cells}
    text = (_RESULTS / name / "README.md").read_text()
    for grid in grids:
        assert f"experiments/{grid}.gin" in text


def _rows(file):
    with file.open() as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize("name", ["continuous_control", "sparse_reg"])
def test_committed_answers_are_those_of_the_committed_cells(name, tmp_path):
    """And their numbers stand in the README, with their intervals."""
    own = _RESULTS / name
    assert _script(name).main([str(own / "cells"), f"--out={tmp_path}"]) == 0
    for file in ("answers.csv", "scores.csv"):
        committed, again = _rows(own / file), _rows(tmp_path / file)
        assert len(committed) == len(again) > 0
        for old, new in zip(committed, again, strict=True):
            numbers = {"value", "low", "high", "score"} & {key for key in old if old[key]}
            assert {k: old[k] for k in old.keys() - numbers} == {
                k: new[k] for k in new.keys() - numbers
            }
            for key in numbers:
                assert float(old[key]) == pytest.approx(float(new[key]), abs=1e-6)
    text = (own / "README.md").read_text().replace("\N{MINUS SIGN}", "-")
    for row in _rows(own / "answers.csv"):
        value, low, high = (float(row[key] or "nan") for key in ("value", "low", "high"))
        if not np.isnan(low):
            assert f"{value:+.1f} [{low:+.1f}, {high:+.1f}]" in text, row["claim"]
        elif not np.isnan(value):
            assert f"{value:+.1f}, one seed" in text, row["claim"]


def test_the_committed_samples_come_to_lie_where_the_grids_look_for_them(tmp_path):
    """By the README's own lines, in an empty folder."""
    blocks = re.findall(r"```\n(.*?)```", (_RESULTS / "sparse_reg/README.md").read_text(), re.S)
    (lines,) = [own for own in blocks if own.startswith("mkdir")]
    (tmp_path / "results").symlink_to(_RESULTS)
    for _ in range(2):  # what is there already does no harm
        subprocess.run(["bash", "-e", "-c", lines], cwd=tmp_path, check=True)
    (run,) = find_runs(tmp_path / "data/here")
    assert (run.path.parts[-3:-1], run.game) == (("expert", "halfcheetah"), "HalfCheetah-v5")
    assert run.parts(Share(count=5_000, unit="first"))[0].num_transitions == 5_000
