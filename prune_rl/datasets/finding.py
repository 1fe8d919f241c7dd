"""Finds the runs that a path holds, in any format that is read."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from prune_rl.datasets import dqn_replay, rlu
from prune_rl.datasets.experience import Run
from prune_rl.errors import ConfigError

_EXPECTED = (
    "GAME/RUN/replay_logs/ with $store$_*_ckpt.N.gz (DQN-replay), or a folder with "
    "dataset_info.json (RL Unplugged)"
)


def find_runs(binding: str, path: str | Path) -> Sequence[Run]:
    """Every run at or below `path`, by game and number; at least one.

    Raises:
        ConfigError: there is none, or one twice; names the `binding` that gave the path.
    """
    if not Path(path).exists():
        raise ConfigError(f"{binding}={str(path)!r}: no such directory")
    runs: list[Run] = [*dqn_replay.find_runs(Path(path)), *rlu.find_runs(Path(path))]
    if not runs:
        raise ConfigError(f"{binding}={str(path)!r}: no dataset there; expected {_EXPECTED}")
    runs.sort(key=lambda run: (run.game, run.number))
    for run, other in pairwise(runs):
        if (run.game, run.number) == (other.game, other.number):
            choices = " or ".join(f"{binding}={own.protocol['path']!r}" for own in (run, other))
            twice = f"run {run.number} of {run.game} is there twice"
            raise ConfigError(f"{binding}={str(path)!r}: {twice}; choose one: {choices}")
    return runs
