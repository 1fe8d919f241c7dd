"""What a replay buffer hands to a learner."""

from typing import NamedTuple

import numpy as np


class Draw(NamedTuple):
    """What a measurement asks of a replay: `size` transitions of each seed, or only their s_tm1."""

    size: int
    observations_only: bool = False


class Batch(NamedTuple):
    """B transitions for each of S seeds; a learner's target is r_t + discount_t * max_a Q(s_t, a).

    The window of a transition spans m = min(n, steps to the episode's end) agent steps, n being
    the update horizon. Observations are stacks, oldest frame first; frames from before the
    episode's first are zeros.
    """

    s_tm1: np.ndarray  # (S, B, stack, H, W, C) uint8
    a_tm1: np.ndarray  # (S, B) int32
    r_t: np.ndarray  # (S, B) float32, sum of gamma^k r over the window's m rewards
    discount_t: np.ndarray  # (S, B) float32, gamma^m, or 0 where the window holds a terminal
    s_t: np.ndarray  # (S, B, stack, H, W, C) uint8, the observation m steps after s_tm1
    # (S, B) float32, chance of each to be drawn, priority / sum of priorities; None if uniform
    probabilities: np.ndarray | None = None


Probe = Batch | np.ndarray  # what a `Draw` gets: the array if it wants observations only
