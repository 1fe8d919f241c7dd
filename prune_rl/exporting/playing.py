"""Observations that a policy meets in its own game."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from prune_rl.acting.lanes import Lane
from prune_rl.environments.base import Environment
from prune_rl.loaded_run import LoadedRun
from prune_rl.specs import ActionSpec, bounds

_CHUNK = 250  # observations at once
_RANDOM = 0.1  # of actions: so episodes differ, and no loop catches the player
_SEED = 2**31 - 1  # of a game that no training has seen

Act = Callable[[np.ndarray], Any]


def game_of(run: LoadedRun) -> Environment:
    """The run's game, whose observations are raw.

    Raises:
        ConfigError: the run says of no game, or it cannot be made here.
    """
    return run.create_games([_SEED])[0]


def observations_of(game: Environment, longest: int, act: Act, count: int) -> Iterator[np.ndarray]:
    """Observations (n, *observation), `count` in all, of episodes one after the other.

    Args:
        game: that is played, and closed at the end.
        longest: agent steps of an episode, at most.
        act: observation -> action; one in ten is random instead.
        count: of observations.
    """
    lane, rng = Lane(game, longest), np.random.default_rng(_SEED)
    try:
        for begin in range(0, count, _CHUNK):
            seen = []
            for _ in range(min(_CHUNK, count - begin)):
                seen.append(lane.observation.copy())
                random = rng.random() < _RANDOM
                action = _drawn(game.action_spec, rng) if random else act(seen[-1])
                lane.step(np.asarray(action))
            yield np.stack(seen)
    finally:
        lane.close()


def _drawn(spec: ActionSpec, rng: np.random.Generator) -> Any:
    low, high = bounds(spec)
    if spec.shape:
        return rng.uniform(low, high).astype(spec.dtype)
    return rng.integers(low, high + 1, dtype=spec.dtype)
