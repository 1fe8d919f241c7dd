"""Counts the returns and lengths of S seeds' episodes while they are played."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from prune_rl.environments.batch import Step
from prune_rl.specs import TERMINATED
from prune_rl.state import State, part


class Episode(NamedTuple):
    """A finished episode: index on the seed axis, raw return, length in agent steps."""

    seed_index: int
    episode_return: float
    length: int
    terminated: bool


# Fields of an `Episode` of a known seed, and their dtypes in a checkpoint.
_FIELDS = (("episode_return", np.float64), ("length", np.int64), ("terminated", np.bool_))


def episodes_to_states(episodes: Sequence[Episode], num_seeds: int) -> list[State]:
    """Those of each seed, in order: (n,) arrays by the names of `Episode`."""
    by_seed: list[list[Episode]] = [[] for _ in range(num_seeds)]
    for episode in episodes:
        by_seed[episode.seed_index].append(episode)
    return [
        {name: np.array([getattr(x, name) for x in own], kind) for name, kind in _FIELDS}
        for own in by_seed
    ]


def states_to_episodes(states: Sequence[State]) -> list[Episode]:
    """The inverse of `episodes_to_states`, seed by seed."""
    return [
        Episode(i, *values)
        for i, own in enumerate(states)
        for values in zip(*(own[name].tolist() for name, _ in _FIELDS), strict=True)
    ]


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
        if not np.count_nonzero(ended):
            return []
        episodes = [
            Episode(i, float(self._returns[i]), int(self._lengths[i]), bool(step.terminated[i]))
            for i in np.flatnonzero(ended).tolist()
        ]
        self._returns[ended] = 0
        self._lengths[ended] = 0
        return episodes

    def add_many(self, rewards: np.ndarray, ends: np.ndarray) -> list[tuple[int, Episode]]:
        """The same for n agent steps at once: each episode with the index of its last step.

        Args:
            rewards: (S, n) float32, unclipped.
            ends: (S, n) uint8, see `prune_rl.specs`.
        """
        found = []
        for i, (own, own_ends) in enumerate(zip(rewards.astype(np.float64), ends, strict=True)):
            begin = 0
            for last in np.flatnonzero(own_ends).tolist():
                total = self._returns[i] + own[begin : last + 1].sum()
                length, terminated = self._lengths[i] + last + 1 - begin, own_ends[last]
                ended = Episode(i, float(total), int(length), bool(terminated == TERMINATED))
                found.append((last, ended))
                self._returns[i], self._lengths[i], begin = 0, 0, last + 1
            self._returns[i] += own[begin:].sum()
            self._lengths[i] += len(own) - begin
        return sorted(found, key=lambda one: (one[0], one[1].seed_index))

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
