"""Cells that train for seconds, and one that trains until somebody has done something to it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from launch.executor import Job
from prune_rl.grid import Cell

_TINY = (
    "Runner.training_steps=300",
    "Runner.evaluation_steps=50",
    "DQNAgent.min_replay_history=60",
    "DQNAgent.target_update_period=50",
    "DQNAgent.epsilon_decay_period=100",
)


def job(folder: Path, name: str, *bindings: str, num_iterations: int = 2) -> Job:
    """A cell of one seed of DQN on MinAtar Breakout, of `num_iterations` times 300 agent steps."""
    own = (*_TINY, f"Runner.num_iterations={num_iterations}", *bindings)
    cell = Cell(name, ("experiments/minatar_breakout.gin",), own)
    return Job(cell, folder / name, folder / "logs" / f"{name}.log")


def grid(folder: Path) -> Path:
    """A file of such cells: dense and pruned on two games."""
    path = folder / "grid.gin"
    arms = {
        name: [f"pruning/{file}.gin"] for name, file in (("dense", "none"), ("pruned", "magnitude"))
    }
    shared = ["experiments/minatar_breakout.gin", *_TINY, "Runner.num_iterations=2"]
    path.write_text(
        f"include 'suites/minatar_2.gin'\nGrid.axes = [('arm', {arms})]\n"
        f"Grid.shared = {shared}\nGrid.num_seeds = 1\n"
    )
    return path


def metrics(job: Job) -> list[dict]:
    """What the run has logged so far."""
    path = job.directory / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(true: Callable[[], object], what: str, seconds: float = 100.0) -> None:
    """Waits, and fails with `what` was waited for."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} seconds"
        time.sleep(0.1)


def text(path: Path) -> str:
    """Of a file, '' if there is none."""
    return path.read_text() if path.exists() else ""
