"""n-step returns that stop at an episode's end (Sutton & Barto 2018, section 7.1)."""

from functools import cache

import numpy as np

from prune_rl.specs import TERMINATED


def n_step_return(
    rewards: np.ndarray, ends: np.ndarray, gamma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Folds windows of n consecutive rows into one transition each.

    `rewards` float32 and `ends` (see `ring.py`) are (n, ...), one window per trailing index;
    whatever they hold after the episode's end is ignored. Returns, each of shape (...): the
    discounted sum float32, the bootstrap discount float32 (gamma^m, 0 after a terminal; a
    truncated episode bootstraps) and m, the number of agent steps the window spans.
    """
    powers = _powers(gamma, len(rewards))
    inside = np.ones(rewards.shape, bool)  # (n, ...)
    np.logical_and.accumulate(ends[:-1] == 0, axis=0, out=inside[1:])
    spans = np.add.reduce(inside, axis=0, dtype=np.int64)
    terminated = np.logical_or.reduce((ends == TERMINATED) & inside, axis=0)

    returns = rewards[0] + np.float32(0)  # no -0
    for k in range(1, len(rewards)):
        returns += powers[k] * np.where(inside[k], rewards[k], np.float32(0))
    discounts = powers.take(spans)
    discounts[terminated] = 0
    return returns, discounts, spans


@cache
def _powers(gamma: float, n: int) -> np.ndarray:
    """gamma^0 to gamma^n, float32."""
    return (gamma ** np.arange(n + 1)).astype(np.float32)
