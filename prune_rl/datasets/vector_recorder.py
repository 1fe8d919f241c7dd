"""Runs of vectors that are written as they are played, in D4RL's or Minari's layout."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from prune_rl.datasets.d4rl_writer import D4RLWriter
from prune_rl.datasets.minari_writer import MinariWriter
from prune_rl.datasets.recorder import Played, RunsRecorder, RunWriter
from prune_rl.errors import ConfigError
from prune_rl.specs import Box

WRITERS: Mapping[str, Callable[[Path, Played, int], RunWriter]] = {
    "d4rl": D4RLWriter,
    "minari": MinariWriter,
}


def vector_recorder(root: Path, played: Played, num_runs: int, format: str) -> RunsRecorder:
    """Of runs 1 to S of what is played, below `root`, in a format that `WRITERS` has.

    Raises:
        ConfigError: these are no vectors, or h5py is not installed.
        OSError: it cannot be written; so do all methods of it.
    """
    spec, actions = played.observation_spec, played.action_spec
    if spec.is_image or spec.dtype is not np.float32 or not isinstance(actions, Box):
        advice = f"{played.game} has images or numbered actions: --format=dqn_replay"
        raise ConfigError(f"--format={format}: holds vectors alone; {advice}")
    about = {"suite": played.suite, "game": played.game, "low": actions.low, "high": actions.high}
    numbers = range(1, num_runs + 1)
    return RunsRecorder([WRITERS[format](root, played, number) for number in numbers], about)
