"""Curves are read from a run's own log; their interval is checked against scipy-free NumPy."""

import json

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.reporting import curves


def _write_run(directory, *, phases=("train",), missing=False):
    directory.mkdir()
    with (directory / "metrics.jsonl").open("w") as file:
        for seed in (4, 3, 5):
            for iteration in range(2):
                for phase in phases:
                    value = None if missing and iteration == 0 else float(10 * seed + iteration)
                    row = {
                        "seed": seed,
                        "iteration": iteration,
                        "phase": phase,
                        "agent_steps": 100 * (iteration + 1),
                        "gradient_steps": 25 * (iteration + 1),
                        "frames": 400 * (iteration + 1),
                        "episode_return_mean": value,
                        "num_episodes": 2,
                        "sparsity": 0.5 * iteration,
                    }
                    file.write(json.dumps(row) + "\n")
    return directory


def test_curve_is_arranged_by_seed_and_step(tmp_path):
    rows = curves.read_metrics(_write_run(tmp_path / "run", missing=True))
    found = curves.curve(rows, "train", "episode_return_mean")
    np.testing.assert_array_equal(found.steps, [100, 200])
    np.testing.assert_array_equal(found.values, [[np.nan, 31], [np.nan, 41], [np.nan, 51]])


def test_bootstrap_interval_agrees_with_the_normal_one_for_many_seeds():
    values = np.random.default_rng(1).normal(5, 2, (400, 3))
    low, high = curves.bootstrap_interval(values)
    half = 1.96 * values.std(axis=0) / np.sqrt(400)
    np.testing.assert_allclose(low, values.mean(axis=0) - half, atol=0.05)
    np.testing.assert_allclose(high, values.mean(axis=0) + half, atol=0.05)


def test_bootstrap_interval_is_reproducible_and_a_point_for_equal_seeds():
    values = np.full((3, 2), 7.0)
    for bound in curves.bootstrap_interval(values):
        np.testing.assert_array_equal(bound, [7, 7])
    noisy = np.random.default_rng(2).normal(size=(5, 4))
    np.testing.assert_array_equal(
        curves.bootstrap_interval(noisy), curves.bootstrap_interval(noisy)
    )


@pytest.mark.filterwarnings("error")
def test_picture_and_numbers_of_two_runs(tmp_path):
    dense = _write_run(tmp_path / "dense", phases=("train", "eval"), missing=True)
    pruned = _write_run(tmp_path / "pruned")
    picture, numbers = tmp_path / "compare.png", tmp_path / "compare.csv"
    arguments = [f"--run=dense={dense}", f"--run={pruned}", f"--out={picture}", f"--csv={numbers}"]
    assert curves.main(arguments) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = numbers.read_text().splitlines()
    assert len(lines) == 1 + 12 + 6
    assert lines[-1] == "pruned,5,1,train,200,50,800,51.0,2,0.5"


@pytest.mark.parametrize("content", [None, ""])
def test_no_run_is_one_line(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    assert curves.main([f"--run={tmp_path}", f"--out={tmp_path / 'x.png'}"]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    with pytest.raises(ConfigError):
        curves.read_metrics(tmp_path)
