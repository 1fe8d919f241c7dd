"""n-step returns that stop at an episode's end (Sutton & Barto 2018, section 7.1)."""

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
    powers = (gamma ** np.arange(len(rewards) + 1)).astype(np.float32)
    inside = np.ones(rewards.shape, bool)  # (n, ...)
    np.logical_and.accumulate(ends[:-1] == 0, axis=0, out=inside[1:])
    spans = np.count_nonzero(inside, axis=0)
    terminated = np.logical_or.reduce((ends == TERMINATED) & inside, axis=0)

    returns = np.zeros(rewards.shape[1:], np.float32)
    for k, reward in enumerate(rewards):
        returns += powers[k] * np.where(inside[k], reward, np.float32(0))
    discounts = np.where(terminated, np.float32(0), powers[spans])
    return returns, discounts, spans
