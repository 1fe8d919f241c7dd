"""The commands of results/minatar: what they train, what they draw, and a real one cut short."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import gin
import pytest

from prune_rl import configuration
from prune_rl.reporting import diagnostics, final, heatmaps

_FOLDER = Path(__file__).parents[2] / "results" / "minatar"
_ARMS = {
    "figure_3.sh": 2 * (1 + 5),
    "figure_11.sh": 2 * 2,
    "figure_12.sh": 2 * 6,
    "figure_13.sh": 2 * 2,
}


def _run(script, folder, *arguments, path=""):
    environment = os.environ | {"RUNS": str(folder / "runs"), "OUT": str(folder)}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # all of the time is compiling
    environment["PATH"] = f"{path or Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["bash", str(_FOLDER / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("script", _ARMS)
def test_a_figure_draws_the_arms_that_it_trains(tmp_path, script):
    """A python that only notes its arguments stands in for the hours of training."""
    stub = tmp_path / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/bash\nprintf "%q " "$@" >> {tmp_path}/calls; echo >> {tmp_path}/calls')
    stub.chmod(0o755)
    done = _run(script, tmp_path, "--gin_bindings=Runner.seed=7", path=str(stub.parent))
    assert done.returncode == 0, done.stderr
    calls = [shlex.split(line) for line in (tmp_path / "calls").read_text().splitlines()]
    trained, drawn = {}, set()
    for _, module, *flags in calls:
        pairs = [flag.removeprefix("--").split("=", 1) for flag in flags]
        if module == "prune_rl.train":
            trained[dict(pairs)["base_dir"]] = pairs
        else:
            drawn |= {value.rsplit("=", 1)[1] for name, value in pairs if name == "run"}
    assert set(trained) == drawn
    assert len(trained) == _ARMS[script]
    for pairs in trained.values():
        files = [value for name, value in pairs if name == "gin_files"]
        bindings = [value for name, value in pairs if name == "gin_bindings"]
        assert bindings[-1] == "Runner.seed=7"
        configuration.load(files, bindings)
        gin.clear_config()


def test_a_training_that_fails_fails_the_figure(tmp_path):
    done = _run("figure_13.sh", tmp_path, "--gin_bindings=Runner.num_seeds=none")
    assert done.returncode != 0
    assert not (tmp_path / "figure_13.png").exists()


def test_figures_of_real_runs_cut_short(tmp_path):
    short = (
        "Runner.num_seeds=3",
        "Runner.num_iterations=2",
        "Runner.training_steps=60",
        "Runner.evaluation_steps=20",
        "DQNAgent.min_replay_history=40",
        "DQNAgent.replay_ratio=0.5",
        "Diagnostics.probe_size=16",
        "Diagnostics.srank_probe_size=16",
        "Diagnostics.dormant_probe_size=16",
        "Diagnostics.num_gradients=4",
    )
    done = _run("figure_13.sh", tmp_path, *(f"--gin_bindings={binding}" for binding in short))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure_13.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "figure_13.csv").read_text().splitlines()) == 1 + 4 * 3
    run = f"--run=dense@1={tmp_path / 'runs' / 'dense_x1'}"
    for module in (diagnostics, final, heatmaps):
        assert module.main([run, f"--out={tmp_path / 'x.png'}"]) == 0
