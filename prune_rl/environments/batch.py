"""S environments that step together, one per seed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from prune_rl.environments.base import Environment, Frame
from prune_rl.specs import Discrete
from prune_rl.state import State, part, per_seed


class Step(NamedTuple):
    """One agent step of S seeds.

    Attributes:
      next_frames: (S, *frame_shape) of the spec's dtype, what followed the action, also at an
        episode's end.
      frames: like `next_frames`, what to act on now: the first frame of the new episode where one
        ended, else `next_frames`.
      rewards: (S,) float32, unclipped.
      terminated: (S,) bool, the game is over.
      truncated: (S,) bool, the episode was cut at its longest length; never with `terminated`.
      life_lost: (S,) bool, for learning the step is terminal and `frames` start anew, but the
        episode goes on; never with `terminated`.
    """

    next_frames: Frame
    frames: Frame
    rewards: npt.NDArray[np.float32]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    life_lost: npt.NDArray[np.bool_]


class EnvironmentBatch:
    """Steps S environments in lock-step and starts a new episode where one has ended.

    A seed's stream depends on its own environment alone, neither on S nor on threads.

    Args:
      environments: one per seed, all of one game.
      max_steps_per_episode: agent steps after which an episode is truncated.

    Attributes: `observation_spec`, `action_spec` and `frame_skip` of one environment; `protocol`.
    """

    def __init__(self, environments: Sequence[Environment], max_steps_per_episode: int) -> None:
        self._environments = list(environments)
        self._max_steps = max_steps_per_episode
        self._lengths = np.zeros(len(environments), np.int64)
        first = environments[0]
        self.observation_spec, self.action_spec = first.observation_spec, first.action_spec
        self.frame_skip = first.frame_skip
        self.protocol = first.protocol | {"max_steps_per_episode": max_steps_per_episode}
        threaded = first.steps_off_gil and len(environments) > 1
        self._pool = ThreadPoolExecutor(len(environments)) if threaded else None
        self._map = self._pool.map if self._pool else map

    def reset(self) -> Frame:
        """Starts an episode of every seed; returns the first frames (S, *frame_shape)."""
        self._lengths[:] = 0
        return self._stacked([environment.reset() for environment in self._environments])

    def step(self, actions: npt.NDArray[Any]) -> Step:
        """Plays `actions` (S, *shape) of the action spec, one agent step of every seed."""
        own = actions.tolist() if isinstance(self.action_spec, Discrete) else actions
        played = self._map(lambda one, action: one.step(action), self._environments, own)
        next_frames, rewards, over = zip(*played, strict=True)
        terminated = np.array(over)
        self._lengths += 1
        truncated = (self._lengths >= self._max_steps) & ~terminated
        life_lost = np.array([environment.life_lost for environment in self._environments])
        stacked = self._stacked(next_frames)
        frames = stacked
        ended = terminated | truncated
        if ended.any():
            frames = stacked.copy()
            for i in np.flatnonzero(ended):
                frames[i] = self._environments[i].reset()
            self._lengths[ended] = 0
        raw = np.array(rewards, np.float32)
        return Step(stacked, frames, raw, terminated, truncated, life_lost)

    def _stacked(self, frames: Sequence[Frame]) -> Frame:
        """(S, *frame_shape); float64 of a simulator becomes the spec's float32."""
        return np.stack(frames, dtype=self.observation_spec.dtype)

    def get_state(self) -> list[State]:
        """Of each seed: its environment, and the length of its episode in agent steps."""
        games = [environment.get_state() for environment in self._environments]
        return per_seed(environment=games, length=list(self._lengths))

    def set_state(self, states: Sequence[State]) -> None:
        """Goes on, to the bit, from what `get_state` returned."""
        for environment, state in zip(self._environments, states, strict=True):
            environment.set_state(state["environment"])
        self._lengths[:] = part(states, "length")

    def close(self) -> None:
        """Releases threads and emulators."""
        if self._pool:
            self._pool.shutdown()
        for environment in self._environments:
            environment.close()
