"""Transitions of S seeds, gathered from the rows of a ring."""

import numpy as np

from prune_rl.replay.n_step import n_step_return
from prune_rl.replay.ring import FrameRing
from prune_rl.specs import Batch, Inputs


def transitions(ring: FrameRing, starts: np.ndarray, horizon: int, gamma: float) -> Batch:
    """Those of `horizon` agent steps at most that begin at positions `starts` (S, B)."""
    window = ring.locate(starts + np.arange(horizon)[:, None, None])  # (n, S, B)
    rewards, ends = ring.rewards.take(window), ring.ends.take(window)
    returns, discounts, spans = n_step_return(rewards, ends, gamma)
    ages = ring.ages.take(window[0])
    # One gather for both observations: (2, S, B, *observation)
    ahead = np.zeros((2, *spans.shape), np.int64)
    ahead[1] = spans
    states = ring.observations(starts + ahead, ages + ahead)
    actions = ring.actions.take(window[0], axis=0)
    return Batch(states[0], actions, returns, discounts, states[1])


def inputs(ring: FrameRing, starts: np.ndarray) -> Inputs:
    """What networks read of the rows at positions `starts` (S, B)."""
    rows = ring.locate(starts)
    observations = ring.observations(starts, ring.ages.take(rows))
    return Inputs(observations, ring.actions.take(rows, axis=0))
