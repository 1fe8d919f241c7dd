"""Action-value statistics against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.diagnostics.q_values import q_norm, q_target_variance, q_variance


@settings(max_examples=15, deadline=None)
@given(
    shape=st.sampled_from([(1, 1), (1, 4), (7, 1), (32, 6)]),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([1e-3, 1.0, 1e3]),
    offset=st.sampled_from([0.0, -5.0, 1e3]),
)
def test_agree_with_float64(shape, seed, spread, offset):
    q = (offset + spread * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)
    exact = q.astype(np.float64)
    np.testing.assert_allclose(q_variance(q), np.var(exact), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(q_norm(q), np.mean(np.sqrt(np.sum(exact**2, axis=1))), rtol=1e-5)
    targets = q[:, 0]
    np.testing.assert_allclose(
        q_target_variance(targets), np.var(targets.astype(np.float64)), rtol=1e-5, atol=1e-12
    )


def test_values_computed_by_hand():
    q = jnp.array([[3.0, 4.0], [0.0, 0.0], [5.0, 12.0]])
    assert float(q_norm(q)) == (5 + 0 + 13) / 3
    assert float(q_variance(q)) == pytest.approx((9 + 16 + 25 + 144) / 6 - (24 / 6) ** 2)
    assert float(q_target_variance(jnp.array([1.0, 3.0]))) == 1.0  # over n, not n - 1


def test_variance_is_over_states_and_actions_together():
    assert float(q_variance(jnp.array([[0.0, 0.0], [2.0, 2.0]]))) == 1.0
    assert float(q_variance(jnp.array([[0.0, 2.0], [0.0, 2.0]]))) == 1.0


@pytest.mark.parametrize("offset", [1e5, -3e6])
def test_variance_survives_a_large_offset(offset):
    q = (offset + np.random.default_rng(0).normal(size=(512, 18))).astype(np.float32)
    np.testing.assert_allclose(q_variance(q), np.var(q.astype(np.float64)), rtol=1e-4)


def test_of_zeros_and_of_one_value_are_zero():
    assert float(q_variance(jnp.zeros((4, 3)))) == float(q_norm(jnp.zeros((4, 3)))) == 0.0
    assert float(q_variance(jnp.full((1, 1), 0.1))) == 0.0
    assert float(q_target_variance(jnp.full(1, 0.1))) == 0.0


def test_one_nan_is_never_averaged_away():
    q = np.ones((5, 3), np.float32)
    q[2, 1] = np.nan
    assert np.isnan(q_variance(q))
    assert np.isnan(q_norm(q))
    assert np.isnan(q_target_variance(q[:, 1]))


@pytest.mark.parametrize(
    ("measure", "shape"), [(q_variance, (5, 3)), (q_norm, (5, 3)), (q_target_variance, (5,))]
)
def test_each_seed_has_its_own_under_jit_and_vmap(measure, shape):
    values = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    values[1] += 1
    both = jax.jit(jax.vmap(measure))(values)
    assert both.shape == (2,)
    assert both.dtype == jnp.float32
    np.testing.assert_allclose(both, [measure(v) for v in values], rtol=1e-6)
    assert both[0] != both[1]
