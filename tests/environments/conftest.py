"""Helpers of the environment tests: games, seeds and recorded play."""

import numpy as np
import pytest

from prune_rl.environments.atari import create_atari_environment
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.minatar import create_minatar_environment

_FACTORIES = {"Breakout": create_atari_environment, "breakout": create_minatar_environment}


@pytest.fixture
def make_batch():
    """Makes a batch of Breakout (Atari) or breakout (MinAtar), one environment per seed."""

    def make(game: str, seeds, max_steps: int = 27_000) -> EnvironmentBatch:
        return EnvironmentBatch([_FACTORIES[game](seed, game) for seed in seeds], max_steps)

    return make


@pytest.fixture
def random_actions():
    """(num_steps, num_seeds) actions; a column depends on its seed alone."""

    def draw(batch: EnvironmentBatch, seeds, num_steps: int) -> np.ndarray:
        high = batch.action_spec.num_actions
        columns = [np.random.default_rng(seed).integers(0, high, num_steps) for seed in seeds]
        return np.stack(columns, axis=1)

    return draw
