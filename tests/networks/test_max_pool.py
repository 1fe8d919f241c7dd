"""The max-pool of slices against flax's, bit by bit, and against windows cut out by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from prune_rl.networks.max_pool import max_pool

SIZES = [(84, 42), (42, 84), (21, 11), (11, 10), (10, 5), (5, 21), (4, 3), (2, 1), (1, 2)]


def flax_max_pool(x):
    return nn.max_pool(x, (3, 3), (2, 2), padding="SAME")


def value_and_gradient(function, x, cotangents):
    values, pullback = jax.vjp(jax.jit(function), x)
    return values, jax.jit(pullback)(cotangents)[0]


def inputs(size, kind):
    """Three images of five channels, with many ties, and any cotangents."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(3, *size, 5))
    x = {
        "few values": rng.integers(-2, 3, normal.shape).astype(np.float64),
        "after a ReLU": np.maximum(normal, 0),
        "negative": -np.maximum(normal, 0.5),
        "equal": np.full_like(normal, -1.5),
        "zeros of both signs": np.where(normal > 0, 0.0, -0.0),
    }[kind]
    return x, rng.normal(size=(3, -(-size[0] // 2), -(-size[1] // 2), 5))


def assert_same_bits(ours, theirs):
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "kind", ["few values", "after a ReLU", "negative", "equal", "zeros of both signs"]
)
def test_the_same_bits_as_flax_forwards_and_backwards(size, kind):
    x, cotangents = (jnp.float32(own) for own in inputs(size, kind))
    ours, theirs = (
        value_and_gradient(function, x, cotangents) for function in (max_pool, flax_max_pool)
    )
    for own, other in zip(ours, theirs, strict=True):
        assert_same_bits(own, other)
    np.testing.assert_array_equal(jax.jit(max_pool)(x), ours[0])  # without a gradient


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.bfloat16])
def test_the_same_bits_in_other_precisions(dtype):
    with jax.enable_x64(True):
        x, cotangents = (jnp.asarray(own, dtype) for own in inputs((21, 10), "after a ReLU"))
        ours, theirs = (
            value_and_gradient(function, x, cotangents) for function in (max_pool, flax_max_pool)
        )
        assert ours[0].dtype == dtype
        for own, other in zip(ours, theirs, strict=True):
            assert_same_bits(own, other)


def by_numpy(x, cotangents):
    """Values and gradient of one image (H, W): the first largest of each window gets all."""
    sides = [max((-(-n // 2) - 1) * 2 + 3 - n, 0) for n in x.shape]
    padded = np.pad(x, [(t // 2, t - t // 2) for t in sides], constant_values=-np.inf)
    values, gradient = np.zeros_like(cotangents), np.zeros_like(padded)
    for i, j in np.ndindex(cotangents.shape):
        window = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        values[i, j] = window.max()
        row, column = np.unravel_index(window.argmax(), (3, 3))
        gradient[2 * i + row, 2 * j + column] += cotangents[i, j]
    top, left = (t // 2 for t in sides)
    return values, gradient[top : top + x.shape[0], left : left + x.shape[1]]


@pytest.mark.parametrize("size", SIZES)
def test_the_first_largest_row_by_row_gets_the_gradient_in_float64(size):
    x, cotangents = inputs(size, "few values")
    with jax.enable_x64(True):
        values, gradient = value_and_gradient(max_pool, jnp.asarray(x), jnp.asarray(cotangents))
    for image, channel in np.ndindex(3, 5):
        own = (image, slice(None), slice(None), channel)
        expected_values, expected = by_numpy(x[own], cotangents[own])
        np.testing.assert_array_equal(values[own], expected_values)
        np.testing.assert_allclose(gradient[own], expected, rtol=0, atol=1e-14)


def test_a_nan_reaches_the_same_windows_as_in_flax():
    x = np.random.default_rng(0).normal(size=(3, 21, 10, 5)).astype(np.float32)
    x[np.random.default_rng(1).random(x.shape) < 0.05] = np.nan
    values = max_pool(jnp.asarray(x))
    assert 0.1 < np.isnan(values).mean() < 0.9
    np.testing.assert_array_equal(values, flax_max_pool(jnp.asarray(x)))


def test_seeds_and_batches_mapped_over_it_change_nothing():
    x = jnp.float32(inputs((10, 11), "few values")[0])
    mapped = jax.vmap(jax.vmap(max_pool))(jnp.stack([x, 2 * x]))
    np.testing.assert_array_equal(mapped, jnp.stack([flax_max_pool(x), 2 * flax_max_pool(x)]))
    gradient = jax.vmap(jax.grad(lambda image: max_pool(image).sum()))(x)
    np.testing.assert_array_equal(gradient, jax.grad(lambda x: flax_max_pool(x).sum())(x))
