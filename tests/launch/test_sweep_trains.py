"""A sweep of real trainings on MinAtar, as a user calls it: interrupted, then called again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from launch import sweep
from prune_rl.reporting.trainings import FINISHED, STOPPED, find_trainings

_GRID = """
include 'suites/minatar_2.gin'
Grid.axes = [('arm', {'pruned': ['pruning/magnitude.gin']})]
Grid.shared = ['experiments/minatar_breakout.gin', 'DQNAgent.min_replay_history=40',
               'ReplayBuffer.batch_size=4', 'Runner.evaluation_steps=0']
Grid.num_seeds = 1
Runner.num_iterations = 40
Runner.training_steps = 100
"""


def test_interrupted_and_called_again_every_cell_comes_to_its_end(tmp_path, monkeypatch, until):
    monkeypatch.chdir(tmp_path)
    Path("GRID.gin").write_text(_GRID)
    flags = ["--backend=local", "--workers=2", "--gin_files=GRID.gin", "--base_dir=runs/g"]
    root = Path(sweep.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "launch.sweep", *flags],
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
        text=True,
    )
    run = Path("runs/g/pruned/breakout/0")
    metrics = run / "metrics.jsonl"
    until(lambda: metrics.exists() and metrics.stat().st_size, seconds=120)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert (
        run.with_suffix(".log")
        .read_text()
        .splitlines()[-1]
        .startswith("prune_rl.train: SIGTERM: saved after")
    )
    (price,) = Path("runs/g/.prices").glob("*.json")
    measured = price.stat().st_mtime_ns
    assert json.loads(price.read_bytes())["ram_bytes"] > 2**27
    assert STOPPED in [x.state for x in find_trainings([Path("runs/g")])]

    monkeypatch.setenv("PYTHONPATH", str(root))
    assert sweep.main(flags) == 0
    trainings = list(find_trainings([Path("runs/g")]))
    assert [(x.name, x.state, x.iterations_done) for x in trainings] == [
        (f"pruned/{game}/0", FINISHED, 40) for game in ("asterix", "breakout")
    ]
    assert len(json.loads((run / "provenance.json").read_bytes())) == 2
    assert price.stat().st_mtime_ns == measured
