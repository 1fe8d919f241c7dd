"""Episodes that nothing is learned from."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prune_rl.acting.episodes import Episode, EpisodeTracker
from prune_rl.acting.policy import Policy
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.stack import FrameStack
from prune_rl.learning.state import Params
from prune_rl.state import State, part, per_seed


class Evaluation:
    """Plays episodes with `policy.exploit`, learning nothing, and can stop between two steps.

    Each seed plays until its episode is over and it has taken `num_steps` agent steps, as
    Dopamine's evaluation phase does, and finished `num_episodes` episodes, as that of Dopamine's
    labs/atari_100k does. It begins with `start`, or goes on from `set_state`.

    Args:
        policy: how the agent plays.
        environments: of S seeds; `close` closes them.
        params: of each network, with a leading seed axis or `Separate`.
        keys: (S, 2), with which each seed explores.
        num_steps: of each seed, at least.
        num_episodes: of each seed, at least.
    """

    def __init__(
        self,
        policy: Policy,
        environments: EnvironmentBatch,
        *,
        params: Mapping[str, Params],
        keys: jax.Array,
        num_steps: int = 0,
        num_episodes: int = 0,
    ) -> None:
        self._policy, self._environments = policy, environments
        self._params, self._keys = params, keys
        self._num_steps, self._num_episodes = num_steps, num_episodes
        num_seeds = len(keys)
        self._stack = FrameStack(num_seeds, environments.observation_spec)
        self._tracker = EpisodeTracker(num_seeds)
        self._steps_taken, self._active = 0, np.ones(num_seeds, bool)
        self._episodes_played = np.zeros(num_seeds, np.int64)
        self._actions: np.ndarray | None = None  # chosen for a step that failed

    @property
    def done(self) -> bool:
        """Whether every seed has played all that it has to."""
        return not self._active.any()

    def start(self) -> None:
        """Starts the first episode of every seed."""
        self._stack.reset(self._environments.reset())

    def step(self) -> list[Episode]:
        """One agent step of every seed; returns the episodes that it ended and that count.

        Seeds that are done play on beside the others, and it does not count.

        Raises:
            EnvironmentFailed: a game raised; the next call finishes the step.
        """
        if self._actions is None:
            self._actions, self._keys = self._policy.exploit(
                self._params, self._keys, self._stack.array
            )
        step = self._environments.step(self._actions)
        self._actions = None
        self._stack.follow(step)
        self._steps_taken += 1
        episodes = [x for x in self._tracker.add(step) if self._active[x.seed_index]]
        ended = step.terminated | step.truncated
        self._episodes_played += ended
        enough = self._episodes_played >= self._num_episodes
        self._active &= ~(ended & (self._steps_taken >= self._num_steps) & enough)
        return episodes

    def get_state(self) -> list[State]:
        """Of each seed, everything but the parameters that decides the future."""
        parts: dict[str, list[Any]] = {
            "environment": self._environments.get_state(),
            "stack": self._stack.get_state(),
            "episode": self._tracker.get_state(),
            "key": list(np.array(self._keys)),
            "steps_taken": [np.int64(self._steps_taken)] * len(self._active),
            "episodes_played": list(self._episodes_played),
            "active": list(self._active),
        }
        if self._actions is not None:
            parts["actions"] = list(self._actions)
        return per_seed(**parts)

    def set_state(self, states: Sequence[State]) -> None:
        """Goes on, to the bit, from what `get_state` returned."""
        self._environments.set_state(part(states, "environment"))
        self._stack.set_state(part(states, "stack"))
        self._tracker.set_state(part(states, "episode"))
        self._keys = jnp.asarray(np.stack(part(states, "key")))
        self._steps_taken = int(states[0]["steps_taken"])
        self._episodes_played[:] = part(states, "episodes_played")
        self._active[:] = part(states, "active")
        chosen = "actions" in states[0]
        self._actions = np.stack(part(states, "actions")) if chosen else None

    def close(self) -> None:
        """Releases threads and emulators."""
        self._environments.close()
