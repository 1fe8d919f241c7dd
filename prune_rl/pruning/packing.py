"""Masks of one bit per weight: a sparse network's state costs 1/32 of its weights, not 1/4.

Bits are laid out as by `numpy.packbits`: C order, the most significant bit first, zeros behind the
last weight.
"""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_SHIFTS = np.arange(7, -1, -1, dtype=np.uint8)  # most significant bit first


def pack(mask: jax.Array) -> jax.Array:
    """Packs a bool mask of any shape into uint8 of shape (ceil(size / 8),)."""
    chex.assert_type(mask, bool)
    bits = jnp.pad(mask.reshape(-1), (0, -mask.size % 8)).reshape(-1, 8)
    return jnp.sum(bits.astype(jnp.uint8) << _SHIFTS, axis=1, dtype=jnp.uint8)


def unpack(packed: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The bool mask of that shape that `pack` made `packed`, uint8 (ceil(size / 8),), from."""
    size = math.prod(shape)
    chex.assert_type(packed, jnp.uint8)
    chex.assert_shape(packed, (-(-size // 8),))
    # A bit of each weight's own byte, read by flat places: `jnp.unpackbits` made what reads a mask
    # slower in compiled loops on CPU (benchmarks/README.md).
    own = lax.optimization_barrier(jnp.broadcast_to(packed[:, None], (len(packed), 8)).reshape(-1))
    places = lax.iota(jnp.uint32, size) & 7  # from the most significant bit
    bits = (own[:size].astype(jnp.uint32) << places) & 128
    return (bits != 0).reshape(shape)


def unpack_like(masks: Any, params: Any) -> Any:
    """Unpacks each mask of a tree to the shape of its parameter; None stays None."""
    return jax.tree.map(_unpack_leaf, params, masks)


def apply_masks(params: Any, masks: Any) -> Any:
    """The parameters with pruned weights exactly 0, whatever they held.

    Args:
        params: tree of one network's weights; `vmap` adds axes of members and seeds.
        masks: tree like it of packed masks, None for tensors that are dense.
    """
    return jax.tree.map(_apply_leaf, params, masks)


def activated(masks: Any, new_masks: Any, params: Any) -> Any:
    """Bool trees, unpacked: which weights `new_masks` keep and `masks` did not; None stays None."""
    before, after = unpack_like(masks, params), unpack_like(new_masks, params)
    return jax.tree.map(lambda old, new: new & ~old, before, after)


def changed_fraction(masks: Any, new_masks: Any, params: Any) -> jax.Array:
    """Fraction of all mask bits that differ, float32; at least one tensor must have a mask."""
    sizes = jax.tree.map(
        lambda param, mask: None if mask is None else param.size, params, new_masks
    )
    differences = jax.tree.map(
        lambda old, new: jnp.sum(lax.population_count(old ^ new), dtype=jnp.int32), masks, new_masks
    )
    return sum(jax.tree.leaves(differences)) / jnp.float32(sum(jax.tree.leaves(sizes)))


def _unpack_leaf(param: jax.Array, packed: jax.Array | None) -> jax.Array | None:
    return None if packed is None else unpack(packed, param.shape)


def _apply_leaf(param: jax.Array, packed: jax.Array | None) -> jax.Array:
    if packed is None:
        return param
    return jnp.where(unpack(packed, param.shape), param, jnp.zeros_like(param))
