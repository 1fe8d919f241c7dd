"""Masks that keep exactly the n weights of highest score, without sorting.

A sort is what XLA does slowest on CPU. The n-th largest score is found instead bit by bit, with 32
counts over an image of the scores as unsigned integers in the same order; a second bisection, over
positions, settles ties and is skipped where there are none (benchmarks/mask_update.py).
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_SIGN, _ABSOLUTE, _INFINITY = np.uint32(0x8000_0000), np.uint32(0x7FFF_FFFF), np.uint32(0x7F80_0000)
_NEGATIVE_ZERO_KEY = ~_SIGN
_PRUNED_KEY, _NAN_KEY = np.uint32(0), np.uint32(1)  # below the key of -inf
_FIRST_KEY = np.uint32(0xFFFF_FFFF)  # above the key of inf


def num_kept(size: int, sparsity: jax.Array) -> jax.Array:
    """How many of `size` weights a mask of that sparsity keeps, an int32 scalar.

    max(1, size * (1 - sparsity)) rounded half to even, in float32, and `size` at sparsity 0.
    Source: JaxPruner, jaxpruner/mask_calculator.py.
    """
    kept = jnp.round(jnp.float32(size) * (1.0 - sparsity)).astype(jnp.int32)
    # float32 may round a large size: at sparsity 0 all are kept whatever it says.
    return jnp.where(sparsity == 0.0, size, jnp.clip(kept, 1, size))


def topk_mask(scores: jax.Array, active: jax.Array, sparsity: jax.Array) -> jax.Array:
    """Keeps the `num_kept` weights of highest score; ties go to the lowest flat (C-order) index.

    Weights pruned before (`active` False) rank below all others, so that none comes back while
    `sparsity` does not fall. NaN ranks below every number, -0.0 equal to 0.0. The result is that
    of a stable argsort and of JaxPruner's top-k, bit for bit; for exceptions see
    tests/parity/README.md.

    Args:
        scores: float32, any shape.
        active: bool, the same shape, False where a weight is pruned already.
        sparsity: float32 scalar in [0, 1], may be traced.

    Returns:
        A bool mask of the same shape, True where a weight is kept.
    """
    chex.assert_type([scores, active], [jnp.float32, bool])
    chex.assert_equal_shape([scores, active])
    keys = jnp.where(active, _ordered_keys(scores), _PRUNED_KEY)
    return _keep_highest(keys, num_kept(keys.size, sparsity))


def grown_mask(scores: jax.Array, first: jax.Array, num_ones: jax.Array) -> jax.Array:
    """Keeps exactly `num_ones` weights: those that are `first`, then those of highest score.

    Ties and NaN are ranked as by `topk_mask`.

    Args:
        scores: float32, any shape.
        first: bool, the same shape, with at most `num_ones` True.
        num_ones: int32 scalar >= 1.

    Returns:
        A bool mask of the same shape.
    """
    chex.assert_type([scores, first], [jnp.float32, bool])
    chex.assert_equal_shape([scores, first])
    return _keep_highest(jnp.where(first, _FIRST_KEY, _ordered_keys(scores)), num_ones)


def _keep_highest(keys_of_weights: jax.Array, kept: jax.Array) -> jax.Array:
    keys = keys_of_weights.reshape(-1)
    threshold = _kth_largest(keys, kept)
    above, ties = keys > threshold, keys == threshold
    stop = _end_of_first(ties, kept - _count(above))
    mask = above | (ties & (lax.iota(jnp.int32, keys.size) < stop))
    return mask.reshape(keys_of_weights.shape)


def _ordered_keys(scores: jax.Array) -> jax.Array:
    # Floats compare as sign and magnitude: flip negatives, and lift the others above them. All
    # in integers, because the float unit may take tiny numbers for zero.
    bits = lax.bitcast_convert_type(scores, jnp.uint32)
    keys = jnp.where(bits >= _SIGN, ~bits, bits | _SIGN)
    keys = jnp.where(keys == _NEGATIVE_ZERO_KEY, _SIGN, keys)
    return jnp.where(bits & _ABSOLUTE > _INFINITY, _NAN_KEY, keys)


def _count(flags: jax.Array) -> jax.Array:
    return jnp.sum(flags, dtype=jnp.int32)


def _kth_largest(keys: jax.Array, k: jax.Array) -> jax.Array:
    def set_bit(i: jax.Array, threshold: jax.Array) -> jax.Array:
        candidate = threshold | _SIGN >> i.astype(jnp.uint32)
        return jnp.where(_count(keys >= candidate) >= k, candidate, threshold)

    return lax.fori_loop(0, 32, set_bit, jnp.uint32(0))


def _end_of_first(flags: jax.Array, n: jax.Array) -> jax.Array:
    """The least position before which `n` of the `flags` are set; at once if it is all of them."""
    positions, size = lax.iota(jnp.int32, flags.size), jnp.int32(flags.size)

    def halve(bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bounds
        middle = low + (high - low) // 2
        enough = _count(flags & (positions < middle)) >= n
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    low = jnp.where(_count(flags) == n, size, 0)
    return lax.while_loop(lambda bounds: bounds[0] < bounds[1], halve, (low, size))[1]
