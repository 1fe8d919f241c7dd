"""Logs are cut back to a checkpoint's positions and never hide a number that is not finite."""

import hashlib
import json
import os

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import SessionLog

from prune_rl.recording.logs import RunLog, has_logs, require_logged
from prune_rl.recording.tensor_files import Damaged

from .tensorboard import read_events, read_scalars


def _scalars(folder, tag):
    """What TensorBoard would show: a start event throws away all later steps seen before it."""
    shown = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        for event in read_events(path):
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
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        log.metrics(_row(1, loss=0.5))
        log.timing(_row(1, agent_steps_per_second=5.0))
        log.episode(0, 0, "train", 7, 1.0, 7, "terminated")
        positions = log.positions()
        log.metrics(_row(2, loss=0.25))
        log.timing(_row(2, agent_steps_per_second=6.0))
        log.episode(0, 0, "train", 9, 2.0, 2, "terminated")
    with RunLog(tmp_path, positions=positions, clock="agent_steps", steps=10) as log:
        log.metrics(_row(2, loss=0.125))
        log.timing(_row(2, agent_steps_per_second=7.0))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in rows] == [0.5, 0.125]
    rows = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert [row["agent_steps_per_second"] for row in rows] == [5.0, 7.0]
    assert (tmp_path / "episodes.csv").read_text().splitlines()[1:] == [
        "0,0,train,7,1.0,7,terminated"
    ]
    assert _scalars(tmp_path / "tensorboard" / "seed_0", "Train/Loss") == {10: 0.5, 20: 0.125}


def test_a_value_that_is_not_finite_is_named(tmp_path):
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        log.metrics(_row(1, loss=float("nan"), q_mean=float("inf"), sparsity=0.0))
    (row,) = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert row["loss"] is None
    assert row["non_finite"] == ["loss", "q_mean"]
    assert row["sparsity"] == 0.0


def test_numbers_that_are_not_finite_are_named_layer_by_layer(tmp_path):
    nan = float("nan")
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        log.metrics(
            _row(1, srank=nan, dormant_by_layer={"torso/Conv_0": nan, "torso/Dense_0": 0.5})
        )
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert row["srank"] is None
    assert row["dormant_by_layer"] == {"torso/Conv_0": None, "torso/Dense_0": 0.5}
    assert row["non_finite"] == ["srank", "dormant_by_layer/torso/Conv_0"]


def test_matrices_are_stored_whole_or_not_at_all(tmp_path, monkeypatch):
    matrix = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        log.matrices("gradient_covariance", 7, 80, seeds=np.array([3, 4]), matrix=matrix)
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
            log.matrices("gradient_covariance", 7, 80, seeds=np.array([3, 4]), matrix=matrix + 1)
    with np.load(path) as stored:
        np.testing.assert_array_equal(stored["matrix"], matrix)


# Tags that Dopamine has are Dopamine's.
_TAGS = {
    "episode_return_mean": "AverageReturns",
    "episode_length_mean": "AverageEpisodeLength",
    "num_episodes": "NumEpisodes",
    "epsilon": "Epsilon",
    "agent_steps_per_second": "AverageStepsPerSecond",
    "gradient_steps_per_second": "AverageGradientStepsPerSecond",
    "sparsity": "Sparsity",
    "loss": "Loss",
    "grad_norm": "GradientNorm",
    "q_mean": "MeanQ",
    "q_variance": "QVariance",
    "q_target_variance": "QTargetVariance",
    "q_norm": "QNorm",
    "parameter_norm": "ParametersNorm",
    "srank": "Srank",
    "dormant": "DormantFraction",
    "dead_units": "DeadUnitsFraction",
    "gradient_correlation": "GradientCorrelation",
    "mask_churn": "MaskChurn",
    "probe_loss": "ProbeLoss",
    "validation_loss": "ValidationLoss",
    "probe_grad_norm": "ProbeGradientNorm",
    "critic/loss": "critic/Loss",
}


def test_every_number_goes_to_its_tag_below_phase_and_seed(tmp_path):
    phases = {"train": "Train", "eval": "Eval", "diagnostics": "Diagnostics"}
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        for seed in (3, 4):
            for p, phase in enumerate(phases):
                numbers = {name: float(100 * seed + 50 * p + i) for i, name in enumerate(_TAGS)}
                # Neither counters nor layers have tags; nor has what is not finite.
                others = {"gradient_steps": 9, "critic/sparsity_by_layer": {"head": 0.5}}
                log.metrics(_row(7, **numbers, **others) | {"seed": seed, "phase": phase})
                log.metrics(_row(8, loss=float("nan")) | {"seed": seed, "phase": phase})
    for seed in (3, 4):
        assert read_scalars(tmp_path / "tensorboard" / f"seed_{seed}") == {
            f"{prefix}/{tag}": {70: 100 * seed + 50 * p + i}
            for p, prefix in enumerate(phases.values())
            for i, tag in enumerate(_TAGS.values())
        }


def test_metrics_hold_every_row_as_it_was_given(tmp_path):
    given = [
        _row(1, sparsity_by_layer={"head": 0.25}, episode_return_mean=None, loss=0.5),
        _row(2, num_episodes=3, frames=80) | {"phase": "eval"},
    ]
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        for row in given:
            log.metrics(row)
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text.endswith("}\n")
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows == [row | {"clock": "agent_steps"} for row in given]
    for row, own in zip(rows, given, strict=True):
        assert list(row)[:4] == ["seed", "iteration", "phase", "clock"]
        assert [name for name in row if name != "clock"] == list(own)


def test_episodes_begin_with_one_header(tmp_path):
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        positions = log.positions()
    header = "seed,iteration,phase,agent_steps,episode_return,episode_length,ended\n"
    assert (tmp_path / "episodes.csv").read_text() == header
    with RunLog(tmp_path, positions=positions, clock="agent_steps", steps=0) as log:
        log.episode(3, 1, "eval", 70, 2.5, 9, "truncated")
    assert (tmp_path / "episodes.csv").read_text() == f"{header}3,1,eval,70,2.5,9,truncated\n"


@pytest.fixture
def logged(tmp_path):
    """A directory with logs, and their positions after the first of two rows of each."""
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        positions = []
        for i in (1, 2):
            log.metrics(_row(i, sparsity=0.5))
            log.episode(0, 0, "train", i, 1.0, 7, "truncated")
            positions.append(log.positions())
    return tmp_path, positions[0]


def test_logs_that_went_on_are_whole(logged):
    require_logged(*logged)
    assert has_logs(logged[0])


@pytest.mark.parametrize("name", ["metrics.jsonl", "episodes.csv"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path, then: path.unlink(), "No such file"),
        (lambda path, then: os.truncate(path, then - 1), "bytes; there were"),
        (lambda path, then: os.truncate(path, 0), "0 bytes; there were"),
        (lambda path, then: path.write_bytes(b"x" + path.read_bytes()[1:]), "have changed"),
        (lambda path, then: path.write_bytes(b" " + path.read_bytes()), "have changed"),
    ],
)
def test_logs_that_lost_something_are_damaged(logged, name, damage, said):
    directory, positions = logged
    damage(directory / name, positions[name]["bytes"])
    with pytest.raises(Damaged, match=f"^{name}: .*{said}"):
        require_logged(directory, positions)


def test_what_follows_a_position_may_be_lost(logged):
    directory, positions = logged
    for name, position in positions.items():
        os.truncate(directory / name, position["bytes"])
    require_logged(directory, positions)


def test_empty_files_are_no_logs(tmp_path):
    assert not has_logs(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    assert not has_logs(tmp_path)
    (tmp_path / "timing.jsonl").write_text("{}")
    assert has_logs(tmp_path)


def test_positions_are_what_is_on_disk(tmp_path):
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        log.metrics(_row(1, sparsity=0.5))
        log.timing(_row(1, agent_steps_per_second=2.0))
        log.episode(0, 0, "train", 7, 1.0, 7, "terminé")  # bytes, not letters
        positions = log.positions()
        assert positions.keys() == {"metrics.jsonl", "episodes.csv", "timing.jsonl"}
        for name, position in positions.items():
            data = (tmp_path / name).read_bytes()
            assert position == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            assert data
        (events,) = (tmp_path / "tensorboard" / "seed_0").iterdir()
        assert events.stat().st_size > 0


@pytest.mark.parametrize("name", ["los", "critic/los", "game"])
def test_an_unknown_name_is_refused_before_anything_is_written(tmp_path, name):
    with RunLog(tmp_path, positions={}, clock="agent_steps", steps=0) as log:
        log.metrics(_row(1, loss=0.5))
        before = log.positions()
        with pytest.raises(ValueError, match=f"'{name}' is no metric") as refused:
            log.metrics(_row(2, loss=0.25, **{name: 1.0}))
        assert ("did you mean 'loss'?" in str(refused.value)) == name.endswith("los")
        assert log.positions() == before
    (written,) = (tmp_path / "tensorboard").iterdir()
    assert {len(points) for points in read_scalars(written).values()} == {1}


def test_a_run_without_agent_steps_is_told_by_its_gradient_steps(tmp_path):
    """As one that learns from a data set: 0 agent steps throughout."""
    rows = [
        {"seed": 0, "iteration": i, "phase": "eval", "agent_steps": 0, "gradient_steps": 25 * i}
        | {"episode_return_mean": float(i)}
        for i in (1, 2, 3)
    ]
    with RunLog(tmp_path, positions={}, clock="gradient_steps", steps=0) as log:
        for row in rows[:2]:
            log.metrics(row)
        log.episode(0, 1, "eval", 25, 1.0, 7, "terminated")
        positions = log.positions()
    with RunLog(tmp_path, positions=positions, clock="gradient_steps", steps=50) as log:
        log.metrics(rows[2])
        log.matrices(
            "gradient_covariance", 3, 75, seeds=np.array([0]), matrix=np.ones((1, 2, 2), np.float32)
        )
    shown = _scalars(tmp_path / "tensorboard" / "seed_0", "Eval/AverageReturns")
    assert shown == {25: 1.0, 50: 2.0, 75: 3.0}
    assert (tmp_path / "episodes.csv").read_text().splitlines() == [
        "seed,iteration,phase,gradient_steps,episode_return,episode_length,ended",
        "0,1,eval,25,1.0,7,terminated",
    ]
    written = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert [row["clock"] for row in written] == ["gradient_steps"] * 3
    with np.load(tmp_path / "diagnostics" / "gradient_covariance_0003.npz") as stored:
        assert set(stored) == {"matrix", "seeds", "gradient_steps"}
        assert stored["gradient_steps"] == 75


def test_a_clock_is_one_of_the_counters(tmp_path):
    with pytest.raises(ValueError, match="expected one of agent_steps, gradient_steps"):
        RunLog(tmp_path, positions={}, clock="frames", steps=0)
    assert not list(tmp_path.iterdir())
