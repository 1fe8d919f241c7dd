"""Churn of values and of greedy actions, by hand and in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.diagnostics.churn import policy_churn, value_churn


def test_values_computed_by_hand():
    before = jnp.array([[1.0, 2.0], [5.0, 4.0], [0.0, 3.0]])
    after = jnp.array([[2.5, 2.0], [5.0, 4.0], [-1.0, 3.5]])
    assert float(value_churn(before, after)) == (1.5 + 1.0 + 0.5) / 6
    assert float(policy_churn(before, after)) == pytest.approx(1 / 3)


def test_they_agree_with_float64_and_with_signs_turned():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 64, 5)).astype(np.float32)
    changed = np.abs(np.float64(after) - np.float64(before)).mean()
    np.testing.assert_allclose(value_churn(before, after), changed, rtol=1e-6)
    np.testing.assert_allclose(value_churn(after, before), changed, rtol=1e-6)
    greedy = np.mean([a.argmax() != b.argmax() for a, b in zip(before, after, strict=True)])
    assert float(policy_churn(before, after)) == pytest.approx(greedy)


def test_an_update_that_changes_nothing_has_none_whatever_ties_there_are():
    q = jnp.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])
    assert float(value_churn(q, q)) == float(policy_churn(q, q)) == 0
    other = jnp.array([[0.0, 1.0, 1.0], [2.0, 2.0, 2.0]])  # the first best is another one now
    assert float(policy_churn(q, other)) == 0.5


def test_a_value_that_is_not_finite_is_never_averaged_away():
    q = jnp.ones((4, 3))
    assert np.isnan(value_churn(q, q.at[2, 1].set(jnp.nan)))
    assert np.isnan(policy_churn(q.at[2, 1].set(jnp.nan), q))


def test_values_of_other_shapes_are_refused():
    with pytest.raises(AssertionError):
        value_churn(jnp.ones((4, 3)), jnp.ones((4, 2)))
    with pytest.raises(AssertionError):
        policy_churn(jnp.ones(4), jnp.ones(4))
