"""The effective rank against spectra made to measure and against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.diagnostics import srank as module

srank = jax.jit(module.srank)


def shares(features):
    """Share of the singular values' sum that the largest 0, 1, ... of them have, in float64."""
    values = np.linalg.svd(np.asarray(features, np.float64), compute_uv=False)
    return np.concatenate([[0.0], np.cumsum(values) / np.sum(values)])


def reference(features, delta=0.01):
    return int(np.argmax(shares(features) >= 1 - delta))


def with_spectrum(values, batch=40, seed=0):
    """(batch, len(values)) float32 with these singular values."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.normal(size=(batch, len(values))))[0]
    right = np.linalg.qr(rng.normal(size=(len(values), len(values))))[0]
    return (left * np.asarray(values) @ right).astype(np.float32)


@pytest.mark.parametrize(
    ("values", "delta", "rank"),
    [
        ([1.0] * 8, 0.01, 8),
        ([1.0] * 8, 0.3, 6),  # 6/8 >= 0.7 > 5/8
        ([1.0] * 8, 0.9, 1),
        ([97.0, 1.5, 1.0, 0.5], 0.01, 3),
        ([97.0, 2.5, 0.3, 0.2], 0.01, 2),
        ([99.5, 0.3, 0.1, 0.1], 0.01, 1),
        ([50.0, 30.0, 20.0, 0.0, 0.0], 0.01, 3),
    ],
)
def test_spectra_made_to_measure(values, delta, rank):
    features = with_spectrum(values)
    assert float(srank(features, delta)) == rank == reference(features, delta)
    assert float(srank(features.T, delta)) == rank


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(1, 5), (16, 16), (64, 24), (24, 64)]),
    seed=st.integers(0, 2**32 - 1),
    decay=st.floats(0.0, 0.5),
    delta=st.sampled_from([0.01, 0.1]),
)
def test_agrees_with_float64_on_rectified_features(shape, seed, decay, delta):
    rng = np.random.default_rng(seed)
    scales = np.exp(-decay * np.arange(shape[1]))
    features = np.maximum(rng.normal(size=shape) * scales, 0).astype(np.float32)
    if not features.any():
        assert float(srank(features, delta)) == 0.0
    elif np.min(np.abs(shares(features) - (1 - delta))) > 1e-6:  # not on the threshold itself
        assert float(srank(features, delta)) == reference(features, delta)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e30])
def test_does_not_depend_on_scale(scale):
    features = with_spectrum([40.0, 30.0, 20.0, 10.0, 0.01])
    assert float(srank(features * np.float32(scale))) == float(srank(features)) == 4.0


def test_features_of_fewer_factors_than_units():
    rng = np.random.default_rng(3)
    features = np.maximum(rng.normal(size=(96, 20)) @ rng.normal(size=(20, 64)), 0)
    features = features.astype(np.float32)
    assert float(srank(features)) == reference(features)


def test_degenerate_matrices():
    assert float(srank(jnp.zeros((6, 4)))) == 0.0
    assert float(srank(jnp.zeros((1, 1)))) == 0.0
    assert float(srank(jnp.ones((1, 1)))) == 1.0
    assert float(srank(jnp.ones((1, 7)))) == 1.0  # a batch of one
    assert float(srank(jnp.ones((9, 1)))) == 1.0  # one unit
    assert float(srank(jnp.ones((9, 7)))) == 1.0  # all alike


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_makes_it_nan(value):
    features = np.ones((6, 4), np.float32)
    features[3, 2] = value
    assert np.isnan(srank(features))


def test_each_seed_has_its_own_under_jit_and_vmap():
    broken = np.full((40, 3), np.nan, np.float32)
    silent = np.zeros_like(broken)
    seeds = np.stack([with_spectrum([3, 2, 1]), broken, with_spectrum([3, 2, 0]), silent])
    ranks = jax.jit(jax.vmap(srank))(seeds)
    assert ranks.dtype == jnp.float32
    np.testing.assert_array_equal(ranks, [3, np.nan, 2, 0])
