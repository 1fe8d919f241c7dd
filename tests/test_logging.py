"""Logs are cut back to a checkpoint's positions and never hide a number that is not finite."""

import json
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from prune_rl.logging import RunLog


def _events(path):
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])  # then 4 bytes of checksum, and 4 behind
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def _scalars(folder, tag):
    """What TensorBoard would show: a start event throws away all later steps seen before it."""
    shown = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        for event in _events(path):
            if event.session_log.status == SessionLog.START:
                shown = {step: value for step, value in shown.items() if step < event.step}
            for value in event.summary.value:
                if value.tag == tag:
                    shown[event.step] = value.simple_value
    return shown


def _row(iteration, **values):
    row = {"seed": 0, "iteration": iteration, "phase": "train", "agent_steps": 10 * iteration}
    return row | values


def test_logs_are_cut_back_to_their_positions(tmp_path):
    with RunLog(tmp_path, positions={}, agent_steps=0) as log:
        log.metrics(_row(1, loss=0.5))
        log.episode(0, 0, "train", 7, 1.0, 7, "terminated")
        positions = log.positions()
        log.metrics(_row(2, loss=0.25))
        log.episode(0, 0, "train", 9, 2.0, 2, "terminated")
    with RunLog(tmp_path, positions=positions, agent_steps=10) as log:
        log.metrics(_row(2, loss=0.125))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in rows] == [0.5, 0.125]
    assert (tmp_path / "episodes.csv").read_text().splitlines()[1:] == [
        "0,0,train,7,1.0,7,terminated"
    ]
    assert _scalars(tmp_path / "tensorboard" / "seed_0", "Train/Loss") == {10: 0.5, 20: 0.125}


def test_a_value_that_is_not_finite_is_named(tmp_path):
    with RunLog(tmp_path, positions={}, agent_steps=0) as log:
        log.metrics(_row(1, loss=float("nan"), q_mean=float("inf"), sparsity=0.0))
    (row,) = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert row["loss"] is None
    assert row["non_finite"] == ["loss", "q_mean"]
    assert row["sparsity"] == 0.0


def test_numbers_that_are_not_finite_are_named_layer_by_layer(tmp_path):
    nan = float("nan")
    with RunLog(tmp_path, positions={}, agent_steps=0) as log:
        log.metrics(
            _row(1, srank=nan, dormant_by_layer={"torso/Conv_0": nan, "torso/Dense_0": 0.5})
        )
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert row["srank"] is None
    assert row["dormant_by_layer"] == {"torso/Conv_0": None, "torso/Dense_0": 0.5}
    assert row["non_finite"] == ["srank", "dormant_by_layer/torso/Conv_0"]


def test_matrices_are_stored_whole_or_not_at_all(tmp_path, monkeypatch):
    matrix = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    with RunLog(tmp_path, positions={}, agent_steps=0) as log:
        log.matrices("gradient_covariance", 7, 80, np.array([3, 4]), matrix)
        path = tmp_path / "diagnostics" / "gradient_covariance_0007.npz"
        with np.load(path) as stored:
            np.testing.assert_array_equal(stored["matrix"], matrix)
            assert stored["seeds"].tolist() == [3, 4]
            assert stored["agent_steps"] == 80

        def full(file, **arrays):
            file.write_bytes(b"half")
            raise OSError("no space left on device")

        monkeypatch.setattr(np, "savez_compressed", full)
        with pytest.raises(OSError, match="no space"):
            log.matrices("gradient_covariance", 7, 80, np.array([3, 4]), matrix + 1)
    with np.load(path) as stored:
        np.testing.assert_array_equal(stored["matrix"], matrix)
