"""Counts the returns and lengths of S seeds' episodes while they are played."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from prune_rl.environments.batch import Step
from prune_rl.state import State, part


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

    def get_state(self) -> list[State]:
        """Of each seed, the return and length so far."""
        return [
            {"return": own_return, "length": length}
            for own_return, length in zip(self._returns, self._lengths, strict=True)
        ]

    def set_state(self, states: Sequence[State]) -> None:
        """Goes on from what `get_state` returned."""
        self._returns[:] = part(states, "return")
        self._lengths[:] = part(states, "length")
