"""Observations that a policy meets in its own game."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.stack import FrameStack
from prune_rl.loading import LoadedRun
from prune_rl.specs import bounds

_CHUNK = 500  # observations at once
_RANDOM = 0.05  # of actions, so that episodes differ and no loop catches the player
_SEED = 2**31 - 1  # of games that no training has seen


def observations_of(
    run: LoadedRun, act: Callable[[np.ndarray], Any], count: int
) -> Iterator[np.ndarray]:
    """Raw observations (n, *observation), `count` in all, of the run's game.

    Args:
        run: whose game is played.
        act: observation -> action; one in twenty is random instead.
        count: of observations.

    Raises:
        ConfigError: the run says no game, or it cannot be made here.
    """
    # Games without the run's scale: the policy has it inside.
    games = EnvironmentBatch(replace(run, scale=None).create_games([_SEED]), run.max_steps_per_episode)
    try:
        yield from _played(games, act, count)
    finally:
        games.close()


def _played(
    games: EnvironmentBatch, act: Callable[[np.ndarray], Any], count: int
) -> Iterator[np.ndarray]:
    stack, rng = FrameStack(1, games.observation_spec), np.random.default_rng(_SEED)
    stack.reset(games.reset())
    for begin in range(0, count, _CHUNK):
        seen = []
        for _ in range(min(_CHUNK, count - begin)):
            seen.append(stack.array[0].copy())
            action = _random(games, rng) if rng.random() < _RANDOM else act(seen[-1])
            stack.follow(games.step(np.asarray(action)[None]))
        yield np.stack(seen)


def _random(games: EnvironmentBatch, rng: np.random.Generator) -> Any:
    spec = games.action_spec
    low, high = bounds(spec)
    if spec.shape:
        return rng.uniform(low, high).astype(spec.dtype)
    return rng.integers(low, high + 1, dtype=spec.dtype)
