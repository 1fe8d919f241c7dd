"""Counts the returns and lengths of S seeds' episodes while they are played."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from prune_rl.environments.batch import Step


class Episode(NamedTuple):
    """A finished episode: index on the seed axis, raw return, length in agent steps."""

    seed_index: int
    episode_return: float
    length: int
    terminated: bool


class EpisodeTracker:
    """Running raw return (float64) and length (int64, agent steps) of each seed's episode."""

    def __init__(self, num_seeds: int) -> None:
        self._returns = np.zeros(num_seeds, np.float64)
        self._lengths = np.zeros(num_seeds, np.int64)

    def add(self, step: Step) -> list[Episode]:
        """Accounts for one agent step of every seed; returns the episodes that it ended."""
        self._returns += step.rewards
        self._lengths += 1
        ended = step.terminated | step.truncated
        if not ended.any():
            return []
        episodes = [
            Episode(i, float(self._returns[i]), int(self._lengths[i]), bool(step.terminated[i]))
            for i in np.flatnonzero(ended).tolist()
        ]
        self._returns[ended] = 0
        self._lengths[ended] = 0
        return episodes

    def get_state(self) -> dict[str, npt.NDArray]:
        """Arrays that `set_state` takes back."""
        return {"returns": self._returns.copy(), "lengths": self._lengths.copy()}

    def set_state(self, state: dict[str, npt.NDArray]) -> None:
        """Goes on from what `get_state` returned."""
        self._returns[:] = state["returns"]
        self._lengths[:] = state["lengths"]
