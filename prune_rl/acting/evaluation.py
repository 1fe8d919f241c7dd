"""Episodes that nothing is learned from."""

from collections.abc import Iterator

import jax
import numpy as np

from prune_rl.acting.episodes import Episode, EpisodeTracker
from prune_rl.acting.policy import Policy
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.stack import FrameStack
from prune_rl.learning.state import Params


def evaluate(
    policy: Policy,
    environments: EnvironmentBatch,
    *,
    params: dict[str, Params],
    keys: jax.Array,
    num_steps: int = 0,
    num_episodes: int = 0,
) -> Iterator[Episode]:
    """Plays episodes with `policy.exploit`, learning nothing; yields them as they end.

    Each seed plays until its episode is over and it has taken `num_steps` agent steps, as
    Dopamine's evaluation phase does, and finished `num_episodes` episodes, as that of Dopamine's
    labs/atari_100k does. `params`, of each network, and `keys` (S, 2) have the leading seed axis.
    """
    num_seeds = len(keys)
    stack = FrameStack(num_seeds, environments.observation_spec)
    stack.reset(environments.reset())
    tracker = EpisodeTracker(num_seeds)
    steps_taken, active = 0, np.ones(num_seeds, bool)
    episodes_played = np.zeros(num_seeds, np.int64)
    while active.any():
        actions, keys = policy.exploit(params, keys, stack.array)
        step = environments.step(actions)
        stack.follow(step)
        steps_taken += 1
        for episode in tracker.add(step):
            if active[episode.seed_index]:
                yield episode
        ended = step.terminated | step.truncated
        episodes_played += ended
        active &= ~(ended & (steps_taken >= num_steps) & (episodes_played >= num_episodes))
