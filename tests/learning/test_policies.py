"""Densities of actions against SciPy and numerical integration, and the box that they fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prune_rl.errors import ConfigError
from prune_rl.learning.policies import (
    CLIPPED,
    DETERMINISTIC,
    SQUASHED,
    action_box,
    exponential_weights,
    gaussian_log_prob,
    sample_gaussian,
    sample_squashed,
)
from prune_rl.specs import Box, Discrete

NOISE = jax.random.normal(jax.random.PRNGKey(0), (2000, 2))
numbers = st.floats(-3, 3, width=32)


def _draw(sample, mean, log_std):
    drawn, log_probs = jax.vmap(lambda own: sample(mean, log_std, own))(NOISE[:, : len(mean)])
    return np.asarray(drawn, np.float64), np.asarray(log_probs)


@settings(max_examples=25, deadline=None)
@given(st.lists(numbers, min_size=3, max_size=3), st.lists(numbers, min_size=6, max_size=6))
def test_a_normal_density_is_scipys(actions, parameters):
    mean, log_std = np.float32(parameters[:3]), np.float32(parameters[3:])
    expected = stats.norm.logpdf(actions, mean, np.exp(log_std)).sum()
    ours = gaussian_log_prob(mean, log_std, jnp.float32(actions))
    np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=1e-4)


def test_what_is_drawn_is_normal_and_has_its_own_density():
    mean, log_std = jnp.array([0.5, -2.0]), jnp.array([-1.0, 0.3])
    drawn, log_probs = _draw(sample_gaussian, mean, log_std)
    for place in range(2):
        expected = stats.norm(mean[place], np.exp(log_std[place]))
        assert stats.kstest(drawn[:, place], expected.cdf).pvalue > 1e-3
    expected = stats.norm.logpdf(drawn, mean, np.exp(log_std)).sum(1)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-3, atol=1e-3)


def test_a_squashed_density_is_that_of_the_tanh_and_integrates_to_one():
    mean, log_std = 0.4, -0.6
    drawn, log_probs = _draw(sample_squashed, jnp.array([mean]), jnp.array([log_std]))
    drawn, log_probs = drawn[:, 0], np.asarray(log_probs)
    order = np.argsort(drawn)

    def density(actions):  # by the slope of the inverse
        raw = np.arctanh(actions)
        return stats.norm.pdf(raw, mean, np.exp(log_std)) / (1 - actions**2)

    np.testing.assert_allclose(np.exp(log_probs), density(drawn), rtol=2e-3)
    grid = np.linspace(-1, 1, 20_001)[1:-1]
    assert np.trapezoid(density(grid), grid) == pytest.approx(1, abs=1e-3)
    ours = np.interp(grid, drawn[order], np.exp(log_probs)[order], left=0, right=0)
    assert np.trapezoid(ours, grid) == pytest.approx(1, abs=0.02)


def test_a_squashed_density_is_finite_where_tanh_is_one_in_float32():
    drawn, log_probs = _draw(sample_squashed, jnp.array([40.0, -60.0]), jnp.array([0.0, 1.0]))
    assert (abs(drawn) == 1).all()
    assert np.isfinite(log_probs).all()
    slope = jax.grad(lambda mean: sample_squashed(mean, jnp.zeros(2), NOISE[0])[1].sum())
    assert np.isfinite(slope(jnp.array([40.0, -60.0]))).all()


@pytest.mark.parametrize(
    ("choice", "spread"), [(SQUASHED, True), (CLIPPED, True), (DETERMINISTIC, False)]
)
def test_choices_stay_in_the_box_and_their_middle_is_where_no_noise_goes(choice, spread):
    mean = jnp.array([0.3, -5.0])
    drawn = np.stack([choice.drawn(mean, jnp.zeros(2), own) for own in NOISE[:40]])
    assert abs(drawn).max() <= 1
    assert (drawn[:, 0].std() > 0.1) == spread
    still = choice.drawn(mean, jnp.full(2, -30.0), NOISE[0])
    np.testing.assert_allclose(still, choice.middle(mean), atol=1e-6)


def test_humanoids_box_is_stretched_from_one_and_back():
    box = action_box("SACAgent", Box((-0.4, -1.0), (0.4, 3.0)))
    actions = np.array([[-1.0, -1.0], [1.0, 1.0], [0.5, 0.0]], np.float32)
    outside = [[-0.4, -1.0], [0.4, 3.0], [0.2, 1.0]]
    np.testing.assert_allclose(box.outside(actions), outside, rtol=1e-6)
    np.testing.assert_allclose(box.inside(np.float32(outside)), actions, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Discrete(3), "expected vectors.*numbered actions"),
        (Box((-1.0,), (np.inf,)), "between two finite borders"),
        (Box((1.0,), (1.0,)), "between two finite borders"),
    ],
)
def test_actions_that_no_box_holds_are_refused(spec, words):
    with pytest.raises(ConfigError, match=f"^Runner.agent=IQLAgent: .*{words}"):
        action_box("IQLAgent", spec)


def test_weights_grow_as_exponentials_up_to_the_largest():
    advantages = jnp.array([-1000.0, 0.0, 1.0, 4.0, 1000.0])
    expected = [0.0, 1.0, np.e, np.exp(4.0), 100.0]
    np.testing.assert_allclose(exponential_weights(advantages, 100.0), expected, rtol=1e-5)
