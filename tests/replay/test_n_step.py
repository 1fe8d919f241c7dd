"""n-step returns against a float64 loop."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prune_rl.replay.n_step import n_step_return
from prune_rl.specs import GOES_ON, TERMINATED


def loop(rewards, ends, gamma):
    total = 0.0
    for k, (reward, end) in enumerate(zip(rewards.tolist(), ends.tolist(), strict=True)):
        total += gamma**k * reward
        if end != GOES_ON:
            return total, 0.0 if end == TERMINATED else gamma ** (k + 1), k + 1
    return total, gamma ** len(rewards), len(rewards)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), n=st.integers(1, 10), gamma=st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_agrees_with_a_loop_over_one_window_at_a_time(data, n, gamma):
    shape = (n, 2, 3)
    rewards = data.draw(arrays(np.float32, shape, elements=st.floats(-10, 10, width=32)))
    ends = data.draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, 0, 1, 2, 3])))
    returns, discounts, spans = n_step_return(rewards, ends, gamma)
    assert returns.dtype == discounts.dtype == np.float32
    for s, b in np.ndindex(2, 3):
        expected = loop(rewards[:, s, b], ends[:, s, b], gamma)
        actual = returns[s, b], discounts[s, b], spans[s, b]
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_rewards_after_the_end_are_never_touched():
    rewards = np.array([[1.0], [np.nan]], np.float32)
    returns, discounts, spans = n_step_return(rewards, np.array([[TERMINATED], [0]]), 0.9)
    assert (returns[0], discounts[0], spans[0]) == (1.0, 0.0, 1)
