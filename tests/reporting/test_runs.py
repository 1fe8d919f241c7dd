"""Runs are read from their own log; the interval is checked against the normal one."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.reporting import curves, runs


def test_curve_is_arranged_by_seed_and_step(tmp_path, write_run):
    rows = runs.read_metrics(write_run(tmp_path / "run", missing=True))
    found = runs.curve(rows, "train", "episode_return_mean")
    np.testing.assert_array_equal(found.steps, [100, 200])
    np.testing.assert_array_equal(found.values, [[np.nan, 31], [np.nan, 41], [np.nan, 51]])


def test_three_evaluations_without_agent_steps_are_three_points(tmp_path, write_values):
    values = [[1, 2, np.nan], [4, 5, 6]]
    phases = {"eval": {"episode_return_mean": values}}
    run = write_values(tmp_path / "run", [500, 1000, 1500], phases, offline=True)
    found = runs.curve(runs.read_metrics(run), "eval", "episode_return_mean")
    np.testing.assert_array_equal(found.steps, [500, 1000, 1500])
    np.testing.assert_array_equal(found.values, values)


@pytest.mark.parametrize("line", [b"5", b"[]", b'{"seed": 0}', b"\xff", b"no", b""])
def test_a_line_that_is_no_row_is_named(tmp_path, line):
    row = b'{"seed": 0, "iteration": 0, "phase": "eval"}\n'
    (tmp_path / "metrics.jsonl").write_bytes(row + line + b"\n" + row)
    with pytest.raises(ConfigError, match=r"metrics.jsonl, line 2: expected a JSON object"):
        runs.read_metrics(tmp_path)


def test_an_unknown_clock_is_named(tmp_path):
    row = '{"seed": 0, "iteration": 0, "phase": "eval", "clock": "gradient_step"}\n'
    (tmp_path / "metrics.jsonl").write_text(row)
    with pytest.raises(ConfigError, match=r"line 1: clock='gradient_step'.*'gradient_steps'\?"):
        runs.read_metrics(tmp_path)


def test_bootstrap_interval_agrees_with_the_normal_one_for_many_seeds():
    values = np.random.default_rng(1).normal(5, 2, (400, 3))
    low, high = runs.bootstrap_interval(values)
    half = 1.96 * values.std(axis=0) / np.sqrt(400)
    np.testing.assert_allclose(low, values.mean(axis=0) - half, atol=0.05)
    np.testing.assert_allclose(high, values.mean(axis=0) + half, atol=0.05)


def test_bootstrap_interval_is_that_of_means_over_seeds(interval_of):
    """Against a rewrite that sorts the means and reads the quantiles off; seeds are skewed."""
    values = np.array([[0, 1, np.nan], [2, 1, np.nan], [3, 50, np.nan], [100, np.nan, np.nan]])
    low, high = runs.bootstrap_interval(values)
    *expected, nothing = interval_of(values)
    np.testing.assert_allclose(np.transpose([low, high])[:2], expected)
    assert nothing is None
    assert np.isnan([low[2], high[2]]).all()


def test_bootstrap_interval_is_of_three_seeds_at_least_at_every_step():
    values = np.array([[1, 1, 1], [2, 2, np.nan], [3, np.nan, np.nan], [4.0, 4, np.nan]])
    for bound in runs.bootstrap_interval(values):
        np.testing.assert_array_equal(np.isnan(bound), [False, False, True])


def test_bootstrap_interval_is_reproducible_and_a_point_for_equal_seeds():
    values = np.full((3, 2), 7.0)
    for bound in runs.bootstrap_interval(values):
        np.testing.assert_array_equal(bound, [7, 7])
    noisy = np.random.default_rng(2).normal(size=(5, 4))
    np.testing.assert_array_equal(runs.bootstrap_interval(noisy), runs.bootstrap_interval(noisy))


def test_a_csv_leaves_the_fields_of_missing_numbers_empty(tmp_path):
    runs.write_rows(tmp_path / "x.csv", ("a", "b"), [(1, float("nan")), ("x", None)])
    assert (tmp_path / "x.csv").read_text() == "a,b\n1,\nx,\n"


def test_a_broken_line_is_named_and_an_unfinished_one_left_out(tmp_path, write_run):
    run = write_run(tmp_path / "run")
    log = run / "metrics.jsonl"
    whole = runs.read_metrics(run)
    log.write_text(log.read_text() + '{"seed": 3, "ph')
    assert runs.read_metrics(run) == whole
    log.write_text(log.read_text() + "\n")
    with pytest.raises(ConfigError, match=r"metrics\.jsonl, line 7: expected a JSON object"):
        runs.read_metrics(run)


def test_a_picture_of_an_unknown_kind_is_refused_before_anything_is_read(capsys):
    with pytest.raises(SystemExit, match="2"):
        curves.main(["--run=nowhere", "--out=x.pgn"])
    assert "expected a name ending in" in capsys.readouterr().err
