"""The row of an exported policy: sizes are those of files, and ratios are of what stands beside."""

import numpy as np
import pytest

from benchmarks import export
from prune_rl.exporting import latency

_SPARSE = "create_updater_from_config.update_freq=5"


@pytest.fixture
def row(trained_minatar, monkeypatch):
    """Of a pruned MinAtar run, with times that are the places of the calls."""
    run = trained_minatar(_SPARSE, files=("pruning/magnitude.gin",))
    answers = []

    def interleaved(calls, observations):
        answers.extend(np.asarray(call(observations[0])).reshape(-1) for call in calls)
        return [10.0 * (i + 1) for i in range(len(calls))]

    monkeypatch.setattr(latency, "interleaved", interleaved)
    return export.row_of(run), answers


def test_a_row_has_every_column_and_true_ratios(row):
    own, _ = row
    assert tuple(own) == export.COLUMNS
    assert (own["game"], own["sparsity"], own["units"]) == ("breakout", 0.95, 16 + 128 + 3)
    assert own["dense_bytes"] > 4 * 132_179
    assert own["bytes"] < own["dense_bytes"] / 10
    assert own["smaller"] == round(own["dense_bytes"] / own["bytes"], 1)
    assert own["gzip_bytes"] < own["bytes"]
    assert (own["numpy_dense_us"], own["onnx_dense_us"], own["numpy_us"]) == (10, 20, 30)
    assert (own["onnx_us"], own["jax_dense_us"]) == (40, 50)
    assert own["faster"] == 0.33
    assert own["faster_than_jax"] == 1.67


def test_the_sides_that_are_the_policy_do_the_same(row):
    _, (_, _, by_numpy, by_onnx, by_jax) = row
    assert by_numpy == by_onnx == by_jax
