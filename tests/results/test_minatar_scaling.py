"""The answers of the scaling study, from made-up runs whose numbers say what must come out."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import trim_mean

_SCRIPT = Path(__file__).parents[2] / "results" / "minatar_scaling" / "answers.py"
_ITERATIONS = 30
# Returns of the last quarter in units of dense_x1, whose game's unit is below.
_LEVEL = {
    "dense_x1": 1.0,
    "pruned_x1": 0.7,
    "static_x1": 0.2,
    "dense_x8": 1.1,
    "pruned_x8": 1.5,
    "static_x8": 1.5,
    "dense_x8_pooled": 0.4,
    "pruned_x8_pooled": 0.4,
}
_UNIT = {"breakout": 10.0, "asterix": 3.0}
# By game, so that neither a mean over games nor one base for both is the same.
_MORE = {"breakout": 0.0, "asterix": 0.2}
# Of seeds, the same in all arms, which are paired. The last is an outlier: IQM and mean differ.
_SPREAD = (-0.02, -0.01, 0.0, 0.01, 2.0)
_NORM = {"breakout": 30.0, "asterix": 10.0}
_LESS = {"breakout": 0.5, "asterix": 0.75}  # of the norm, where pruned


@pytest.fixture(scope="module")
def answers():
    spec = importlib.util.spec_from_file_location("answers", _SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _return(arm, game, seed):
    more = 0.0 if arm == "dense_x1" else _MORE[game]
    spread = _SPREAD[seed] * (0.5 if arm == "dense_x8" else 1)  # that differences have one too
    return (_LEVEL[arm] + more + spread) * _UNIT[game]


def _write_run(folder, arm, game, seed, iterations=_ITERATIONS):
    run = folder / arm / game / str(seed)
    run.mkdir(parents=True)
    config = f"Runner.num_iterations = {_ITERATIONS}\nRunner.seed = {seed}\n"
    config += f"create_minatar_environment.game_name = '{game}'\n"
    (run / "config.gin").write_text(config)
    own = {"seed": seed, "clock": "agent_steps", "gradient_steps": 0, "frames": 0}
    rows = []
    for i in range(iterations):
        step = own | {"iteration": i, "agent_steps": 10 * (i + 1)}
        # 22 of 30 iterations do not count, whatever they return or measure.
        value = _return(arm, game, seed) if i >= 22 else 1e6
        rows.append(step | {"phase": "train", "episode_return_mean": value})
        if i % 3 == 2:
            rows.append(step | {"phase": "diagnostics"} | _measured(arm, game, i >= 22))
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _measured(arm, game, counts):
    less = _LESS[game] if arm.startswith("pruned") else 1.0
    names = ("dormant", "value_churn", "policy_churn", "srank", "q_norm", "q_target_variance")
    same = dict.fromkeys((*names, "gradient_correlation"), 0.25)
    return same | {"parameter_norm": less * _NORM[game] if counts else 1e6, "q_variance": 1 / less}


def _iqm_of(arm):
    """In units of dense_x1's mean on each game, by scipy."""
    scores = [
        _return(arm, game, seed) / np.mean([_return("dense_x1", game, x) for x in range(5)])
        for game in _UNIT
        for seed in range(5)
    ]
    return trim_mean(scores, 0.25)


def _gain(*arms):
    """IQM of the first less that of the second, plus the third's less the fourth's, …"""
    return sum((-1) ** i * _iqm_of(arm) for i, arm in enumerate(arms))


def _write_study(folder, seeds):
    for arm in _LEVEL:
        for game in _UNIT:
            for seed in seeds:
                _write_run(folder, arm, game, seed)


@pytest.fixture(scope="module")
def of_five_seeds(answers, tmp_path_factory):
    runs, out = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("out")
    _write_study(runs, range(5))
    assert answers.main([str(runs), str(out)]) == 0
    return _read(out / "answers.csv")


def _read(path):
    with path.open() as file:
        return {row["claim"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("claim", "arms", "answer"),
    [
        ("1. width helps pruned more", "pruned_x8 pruned_x1 dense_x1 dense_x8", "yes"),
        ("2. pruned >= dense, width 8", "pruned_x8 dense_x8", "yes"),
        ("3a. gradual beats static, width 1", "pruned_x1 static_x1", "yes"),
        ("3b. gradual beats static, width 8", "pruned_x8 static_x8", "undecided"),
        ("4. pooling does as much", "dense_x8_pooled pruned_x8", "no"),
        ("beside: width, pruned", "pruned_x8 pruned_x1", "yes"),
    ],
)
def test_a_claim_is_answered_by_its_rule(of_five_seeds, claim, arms, answer):
    row = of_five_seeds[claim]
    assert float(row["value"]) == pytest.approx(_gain(*arms.split()), abs=1e-9)
    assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
    assert row["answer"] == answer


@pytest.mark.parametrize(
    ("claim", "value", "answer"),
    [
        ("5. pruning lowers parameter_norm", -(0.5 + 0.25) / 2, "yes"),
        ("5. pruning lowers q_variance", (1 + 1 / 3) / 2, "no"),
        ("5. pruning lowers value_churn", 0.0, "undecided"),
    ],
)
def test_a_diagnostic_is_divided_by_each_games_own(of_five_seeds, claim, value, answer):
    """No seed differs, so that the interval is a point."""
    row = of_five_seeds[claim]
    for name in ("value", "low", "high"):
        assert float(row[name]) == pytest.approx(value, abs=1e-9)
    assert row["answer"] == answer


def test_seeds_are_paired(of_five_seeds):
    """Both arms have the same outlier: drawn for itself in each, the interval would be wide."""
    row = of_five_seeds["3b. gradual beats static, width 8"]
    assert float(row["low"]) == float(row["high"]) == 0
    assert row["improvement"].startswith("P(pruned_x8 > static_x8) = 0.50 [")


@pytest.mark.parametrize(
    ("low", "high", "margin", "answer"),
    [
        (0.01, 0.2, 0.0, "yes"),
        (-0.01, 0.2, 0.0, "undecided"),
        (-0.3, -0.1, 0.0, "no"),
        (-0.04, 0.1, 0.05, "yes"),
        (-0.06, 0.1, 0.05, "undecided"),
        (-0.04, -0.01, 0.05, "yes, within the margin, and a little less"),
        (-0.3, -0.01, 0.05, "no"),
    ],
)
def test_intervals_decide(answers, low, high, margin, answer):
    assert answers._answer(low, high, 5, margin) == answer
    assert answers._answer(low, high, 2, margin).startswith("undecided")


def test_only_seeds_that_every_cell_has_finished_count(answers, tmp_path, capsys):
    runs = tmp_path / "runs"
    _write_study(runs, range(3))
    _write_run(runs, "dense_x1", "breakout", 3)
    _write_run(runs, "dense_x8", "asterix", 4, iterations=7)
    assert answers.main([str(runs), str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "whole seeds: [0, 1, 2]" in said
    assert "dense_x8/asterix/4" in said
    assert "dense_x1/breakout/3" not in said
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 16 + 1  # what is finished is kept, though not all of it counts
    levels = {row["arm"]: float(row["return"]) for row in rows if row["game"] == "asterix"}
    assert levels["dense_x1"] == pytest.approx(3 * 1.0)


def test_nothing_whole_is_no_answer(answers, tmp_path):
    _write_run(tmp_path / "runs", "dense_x1", "breakout", 0)
    assert answers.main([str(tmp_path / "runs"), str(tmp_path)]) == 1
    assert not (tmp_path / "answers.csv").exists()
