"""Runs that were stopped, killed, damaged or finished: what the same command makes of them."""

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import gin
import numpy as np
import pytest
from flax import linen as nn

from prune_rl import train
from prune_rl.networks.torsos.torso import FEATURES, Torso, merge_stack
from prune_rl.recording import tensor_files
from prune_rl.trainer import Trainer

_MAGNITUDE = ("pruning/magnitude.gin",)
_ATARI = [
    "--gin_files=agents/dqn.gin",
    "--gin_files=pruning/magnitude.gin",
    *(
        f"--gin_bindings={binding}"
        for binding in (
            'create_atari_environment.game_name="Breakout"',
            "DQNAgent.torso=@CoarseTorso()",
            'DQNAgent.seed_strategy="unroll"',  # as the Nature CNN has it
            "Runner.num_seeds=2",
            "Runner.num_iterations=2",
            "Runner.training_steps=60",
            "Runner.evaluation_steps=0",
            "DQNAgent.min_replay_history=20",
            "DQNAgent.target_update_period=16",
            "create_updater_from_config.sparsity=0.9",
        )
    ),
]


@gin.configurable
class CoarseTorso(Torso):
    """Sees all of an Atari frame, compiles in a tenth of the time of the Nature CNN."""

    wiring: ClassVar = {"Conv_0": ("Dense_0",), "Dense_0": (FEATURES,)}

    @nn.compact
    def __call__(self, observation):
        x = nn.relu(nn.Conv(4, (12, 12), 12)(merge_stack(observation)))
        return self._hidden(32, x.reshape(-1))


def _stop_after(monkeypatch, num_steps):
    """Makes training fail at its `num_steps`-th agent step, as a kill would."""
    taken = 0
    step = Trainer.step

    def failing_step(self, *args):
        nonlocal taken
        taken += 1
        if taken > num_steps:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(Trainer, "step", failing_step)


def _ask_after(monkeypatch, num_steps):
    """Sends SIGTERM in the `num_steps`-th agent step."""
    count, step = iter(range(1, 1000)), Trainer.step

    def asking_step(self, *args):
        if next(count) == num_steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args)

    monkeypatch.setattr(Trainer, "step", asking_step)


def _copy(base_dir, folder):
    return Path(shutil.copytree(base_dir, folder / "run"))


@pytest.mark.parametrize("stop_at", [130, 390])
def test_a_resumed_run_equals_the_uninterrupted_one(
    tmp_path, monkeypatch, train_minatar, trained_minatar, assert_same_logs, stop_at, agent_leaves
):
    whole, stopped = trained_minatar(files=_MAGNITUDE), tmp_path / "stopped"
    with monkeypatch.context() as patch:
        _stop_after(patch, stop_at)
        assert train_minatar(stopped, files=_MAGNITUDE) == 130
    assert train_minatar(stopped, files=_MAGNITUDE) == 0
    assert_same_logs(stopped, whole)
    for a, b in zip(agent_leaves(stopped), agent_leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("stop_at", "fixed_probe"), [(130, False), (390, False), (390, True)])
def test_a_run_with_interventions_and_diagnostics_resumes_to_the_bit(
    tmp_path,
    monkeypatch,
    train_minatar,
    trained_minatar,
    assert_same_logs,
    stop_at,
    fixed_probe,
    agent_leaves,
):
    files = (*_MAGNITUDE, "plasticity/redo.gin", "diagnostics/all.gin")
    bind = (
        "Runner.interventions=[@ReDo(), @Reset()]",
        "ReDo.reset_period=10",
        "ReDo.dead_neurons_threshold=0.2",
        "ReDo.statistics_batch_size=16",
        "Reset.reset_period=0.4",
        f"Diagnostics.fixed_probe={fixed_probe}",
        "Diagnostics.probe_size=20",
        "Diagnostics.srank_probe_size=20",
        "Diagnostics.dormant_probe_size=20",
        "Diagnostics.num_gradients=4",
    )
    whole, stopped = trained_minatar(*bind, files=files), tmp_path / "stopped"
    with monkeypatch.context() as patch:
        _stop_after(patch, stop_at)
        assert train_minatar(stopped, *bind, files=files) == 130
    assert train_minatar(stopped, *bind, files=files) == 0
    assert_same_logs(stopped, whole)
    for a, b in zip(agent_leaves(stopped), agent_leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    matrices = sorted(path.name for path in (whole / "diagnostics").iterdir())
    assert matrices == [f"gradient_covariance_000{i}.npz" for i in range(3)]
    for name in matrices:
        with (
            np.load(whole / "diagnostics" / name) as a,
            np.load(stopped / "diagnostics" / name) as b,
        ):
            np.testing.assert_array_equal(a["matrix"], b["matrix"])
            assert a["matrix"].shape == (2, 4, 4)


_PONG_ON_DEVICE = (
    '--gin_bindings=create_atari_environment.game_name="Pong"',
    "--gin_bindings=OnlineSource.replay_on_device=True",
    "--gin_bindings=ReplayBuffer.max_capacity=100",  # so that rows are overwritten
)


@pytest.mark.parametrize("flags", [(), _PONG_ON_DEVICE])
def test_atari_resumes_to_the_bit(
    tmp_path, monkeypatch, read_metrics, assert_same_logs, agent_leaves, flags
):
    whole, stopped, flags = tmp_path / "whole", tmp_path / "stopped", [*_ATARI, *flags]
    assert train.main([f"--base_dir={whole}", *flags]) == 0
    for steps in (25, 65):  # the second within an iteration that was begun before
        with monkeypatch.context() as patch:
            _ask_after(patch, steps)
            assert train.main([f"--base_dir={stopped}", *flags]) == 75
    assert train.main([f"--base_dir={stopped}", *flags]) == 0
    assert_same_logs(stopped, whole)
    for a, b in zip(agent_leaves(stopped), agent_leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert read_metrics(whole)[-1]["sparsity"] == pytest.approx(0.9, abs=1e-3)
    assert read_metrics(whole)[-1]["frames"] == 4 * 120


def test_a_killed_process_resumes(tmp_path, train_minatar, assert_same_logs):
    """SIGKILL at an arbitrary moment after the first checkpoint."""
    arguments = [
        f"--base_dir={tmp_path / 'killed'}",
        "--gin_files=experiments/minatar_breakout.gin",
        "--gin_bindings=Runner.num_iterations=4",
        "--gin_bindings=Runner.training_steps=1500",
        "--gin_bindings=Runner.evaluation_steps=0",
    ]
    process = subprocess.Popen([sys.executable, "-m", "prune_rl.train", *arguments])
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "checkpoints" / "1").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert train.main(arguments) == 0
    assert train.main([f"--base_dir={tmp_path / 'whole'}", *arguments[1:]]) == 0
    assert_same_logs(tmp_path / "killed", tmp_path / "whole")


def test_other_settings_do_not_resume_a_run(tmp_path, capsys, train_minatar, trained_minatar):
    base_dir = _copy(trained_minatar("Runner.num_iterations=1"), tmp_path)
    before = (base_dir / "metrics.jsonl").read_text()
    assert train_minatar(base_dir, "Runner.num_iterations=1", "DQNAgent.gamma=0.9") == 2
    error = capsys.readouterr().err
    assert "DQNAgent.gamma = 0.99" in error
    assert "DQNAgent.gamma = 0.9\n" not in error
    assert (base_dir / "metrics.jsonl").read_text() == before


def test_a_finished_run_is_left_as_it_is_and_says_so(
    tmp_path, capsys, train_minatar, trained_minatar
):
    def files():
        # The lock names the last process that looked.
        found = [x for x in base_dir.rglob("*") if x.is_file() and x.name != "lock"]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    base_dir = _copy(trained_minatar("Runner.num_iterations=1"), tmp_path)
    before = files()
    capsys.readouterr()
    assert train_minatar(base_dir, "Runner.num_iterations=1") == 0
    said = capsys.readouterr()
    expected = f"{base_dir} is finished (1 of 1 iterations); nothing to do\n"
    assert (said.out, said.err) == ("", expected)
    assert files() == before
    # One that was stopped before it drew its picture still does.
    (base_dir / "curve.png").unlink()
    assert train_minatar(base_dir, "Runner.num_iterations=1") == 0
    assert "finished" not in capsys.readouterr().err
    assert (base_dir / "metrics.jsonl").read_bytes() == before[base_dir / "metrics.jsonl"][1]
    assert (base_dir / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_an_unreadable_checkpoint_costs_no_more_than_itself(
    tmp_path, train_minatar, trained_minatar, assert_same_logs, agent_leaves
):
    base_dir = _copy(trained_minatar(), tmp_path)
    newest = base_dir / "checkpoints" / "3"
    leaves = agent_leaves(base_dir)
    for file in newest.rglob("*"):
        if file.is_file() and file.stat().st_size > 200:
            file.write_bytes(file.read_bytes()[:100])
    assert train_minatar(base_dir) == 0
    assert_same_logs(base_dir, trained_minatar())
    for a, b in zip(agent_leaves(base_dir), leaves, strict=True):
        np.testing.assert_array_equal(a, b)


_SHORT = [
    "--gin_files=experiments/minatar_breakout.gin",
    "--gin_bindings=Runner.num_iterations=2",
    "--gin_bindings=Runner.training_steps=500",
    "--gin_bindings=Runner.evaluation_steps=0",
]


def test_a_disk_without_room_for_the_first_checkpoint_is_said_in_one_line(tmp_path):
    """A limit on file size stands in for a full disk: the write itself fails."""
    flags = [f"--base_dir={tmp_path}", *_SHORT]
    command = f"ulimit -f 400; {sys.executable} -m prune_rl.train {shlex.join(flags)}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1
    line = f"prune_rl.train: checkpoint {tmp_path}/checkpoints/0: File too large; none was made"
    assert done.stderr.splitlines() == [f"{line} before"]
    assert not [x for x in (tmp_path / "checkpoints").rglob("*") if x.is_file()]
    assert train.main(flags) == 0


def test_a_disk_that_fills_up_costs_what_was_done_since_the_last_checkpoint(
    tmp_path, monkeypatch, capsys
):
    full, whole = tmp_path / "full", tmp_path / "whole"
    write = tensor_files.write_bytes

    def refusing(root, name, data):
        if name == "manifest.json" and root.name == "1.part":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(root, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(tensor_files, "write_bytes", refusing)
        assert train.main([f"--base_dir={full}", *_SHORT]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    problem = f"checkpoint {full}/checkpoints/1: No space left on device; checkpoint 0 is whole"
    assert said == f"prune_rl.train: {problem}"
    assert {x.name for x in (full / "checkpoints").iterdir()} == {"0", "rows"}
    assert not [x for x in (full / "checkpoints" / "rows").rglob("*") if x.is_file()]
    for run in (full, whole):
        assert train.main([f"--base_dir={run}", *_SHORT]) == 0
    for name in ("episodes.csv",):
        assert (full / name).read_bytes() == (whole / name).read_bytes()
