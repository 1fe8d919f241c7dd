"""Random transitions of HalfCheetah's sizes, the same for us and for whom we are compared with.

Episodes of 1,000 agent steps that nothing ends but their length. NumPy alone, but for the file.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

NAME = "halfcheetah_random-v2.hdf5"  # by which a reader knows the game
OBSERVATION, ACTION, _EPISODE = 17, 6, 1_000


class Transitions(NamedTuple):
    """n of them, one after another.

    Attributes:
        observations: (n, 17) float32.
        actions: (n, 6) float32 in (-1, 1).
        rewards: (n,) float32.
        next_observations: (n, 17) float32.
        terminals: (n,) float32, all 0.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    terminals: np.ndarray


def draw(number: int) -> Transitions:
    """So many, always the same."""
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((number + 1, OBSERVATION), np.float32)
    actions = np.tanh(rng.standard_normal((number, ACTION), np.float32))
    rewards, terminals = rng.standard_normal(number, np.float32), np.zeros(number, np.float32)
    return Transitions(observations[:-1], actions, rewards, observations[1:], terminals)


def write(folder: Path, number: int) -> Path:
    """Writes them as D4RL does; returns the file."""
    import h5py

    own, path = draw(number), folder / NAME
    with h5py.File(path, "w") as file:
        for name, array in own._asdict().items():
            file[name] = array.astype(bool) if name == "terminals" else array
        file["timeouts"] = np.arange(1, number + 1) % _EPISODE == 0
    return path
