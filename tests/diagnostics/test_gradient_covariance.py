"""Cosines between per-sample gradients against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.diagnostics import gradient_covariance as module

gradient_covariance = jax.jit(module.gradient_covariance)
gradient_correlation = jax.jit(module.gradient_correlation)


def gradients(seed, k):
    """Of `k` samples, with tensors of rank 0 to 4, some pairs of samples nearly alike."""
    rng = np.random.default_rng(seed)
    shapes = {"kernel": (3, 3, 2, 4), "dense": (6, 5), "bias": (5,), "scalar": ()}
    common = rng.normal(0, 3, size=k)
    return {
        "params": {
            name: np.asarray(
                rng.normal(size=(k, *shape)) + common.reshape(k, *[1] * len(shape)), np.float32
            )
            for name, shape in shapes.items()
        }
    }


def reference(tree):
    rows = [x.reshape(len(x), -1).astype(np.float64) for x in jax.tree.leaves(tree)]
    flat = np.concatenate(rows, axis=1)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return flat @ flat.T


@settings(max_examples=20, deadline=None)
@given(k=st.sampled_from([1, 2, 9]), seed=st.integers(0, 2**32 - 1))
def test_agrees_with_float64(k, seed):
    tree = gradients(seed, k)
    matrix, expected = gradient_covariance(tree), reference(tree)
    assert matrix.shape == (k, k)
    assert matrix.dtype == jnp.float32
    np.testing.assert_allclose(matrix, expected, atol=2e-6)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-7)
    assert np.abs(matrix).max() <= 1
    off_diagonal = np.abs(expected[~np.eye(k, dtype=bool)])
    mean = off_diagonal.mean() if k > 1 else 0.0
    np.testing.assert_allclose(gradient_correlation(matrix), mean, atol=2e-6)


def test_values_computed_by_hand():
    tree = {"a": jnp.array([[3.0], [0.0], [-6.0]]), "b": jnp.array([4.0, 5.0, -8.0])}
    matrix = gradient_covariance(tree)
    np.testing.assert_allclose(matrix, [[1, 0.8, -1], [0.8, 1, -0.8], [-1, -0.8, 1]], atol=1e-6)
    np.testing.assert_allclose(gradient_correlation(matrix), (0.8 + 1 + 0.8) / 3, rtol=1e-6)


def test_is_not_centred():
    tree = {"a": jnp.array([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0]])}
    assert np.min(gradient_covariance(tree)) > 0.9


@pytest.mark.parametrize("scale", [1e-32, 1e-20, 1e20, 1e37])
def test_does_not_depend_on_scale(scale):
    tree = gradients(0, 5)
    expected = reference(tree)
    scaled = jax.tree.map(lambda x: x * np.float32(scale), tree)
    np.testing.assert_allclose(gradient_covariance(scaled), expected, atol=2e-6)
    for leaf in jax.tree.leaves(tree):
        leaf[2] *= np.float32(scale)  # one sample far from the others
    np.testing.assert_allclose(gradient_covariance(tree), expected, atol=2e-6)


def test_tensors_of_very_different_size_keep_their_weight():
    tree = {"large": np.array([[1e20], [1e20]], np.float32), "small": np.ones((2, 3), np.float32)}
    tree["small"][1] = -1
    np.testing.assert_allclose(gradient_covariance(tree), np.ones((2, 2)), atol=1e-6)


def test_a_gradient_of_zeros_correlates_with_nothing_not_even_itself():
    tree = gradients(1, 4)
    for leaf in jax.tree.leaves(tree):
        leaf[1] = 0
    matrix = np.asarray(gradient_covariance(tree))
    assert not matrix[1].any()
    assert not matrix[:, 1].any()
    kept = [0, 2, 3]
    expected = reference(jax.tree.map(lambda x: x[kept], tree))
    np.testing.assert_allclose(matrix[np.ix_(kept, kept)], expected, atol=2e-6)
    zeros = gradient_covariance(jax.tree.map(np.zeros_like, tree))
    assert not zeros.any()
    assert float(gradient_correlation(zeros)) == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_stays_in_its_row_and_column(value):
    tree = gradients(2, 4)
    expected = reference(tree)
    tree["params"]["dense"][1, 2, 3] = value
    for leaf in jax.tree.leaves(tree):
        leaf[3] = 0  # not even against zeros is it 0
    matrix = np.asarray(gradient_covariance(tree))
    assert np.isnan(matrix[1]).all()
    assert np.isnan(matrix[:, 1]).all()
    np.testing.assert_allclose(
        matrix[np.ix_([0, 2], [0, 2])], expected[np.ix_([0, 2], [0, 2])], 1e-5
    )
    assert np.isnan(gradient_correlation(matrix))


def test_correlation_of_one_sample_is_zero_unless_it_is_nan():
    assert float(gradient_correlation(jnp.ones((1, 1)))) == 0.0
    assert np.isnan(gradient_correlation(jnp.full((1, 1), jnp.nan)))


def test_per_sample_gradients_of_a_loss():
    features = jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    gradient = jax.grad(lambda weights, x: jnp.sum(weights * x))  # x itself
    grads = jax.vmap(gradient, in_axes=(None, 0))(jnp.ones(2), features)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        gradient_covariance(grads), [[1, 0, half], [0, 1, half], [half, half, 1]], atol=1e-6
    )


def test_each_seed_has_its_own_under_jit_and_vmap():
    seeds = [gradients(3, 4), gradients(4, 4)]
    both = jax.tree.map(lambda *leaves: np.stack(leaves), *seeds)
    matrices = jax.jit(jax.vmap(gradient_covariance))(both)
    np.testing.assert_allclose(matrices, [reference(tree) for tree in seeds], atol=2e-6)
    means = jax.jit(jax.vmap(gradient_correlation))(matrices)
    np.testing.assert_allclose(means, [gradient_correlation(m) for m in matrices], rtol=1e-5)
