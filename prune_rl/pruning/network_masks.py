"""Masks that one threshold over the whole network decides.

Source: JaxPruner, jaxpruner/algorithms/global_pruners.py.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from prune_rl.pruning.masks import topk_mask

_EPSILON = 1e-8


def network_masks(scores: Any, active: Any, sparsity: jax.Array, *, normalized: bool) -> Any:
    """`masks.topk_mask` over all the tensors of a tree laid end to end.

    Args:
        scores: tree of float32 scores, None for dense tensors. Ties go to the tensor that is
            earlier in the tree, which for dicts is the order of their sorted paths.
        active: tree like it, bool.
        sparsity: float32 scalar, of all tensors together.
        normalized: whether each tensor's scores are first divided by their L2 norm + 1e-8.

    Returns:
        A tree like `active` of bool masks.
    """
    if normalized:
        scores = jax.tree.map(_normalize, scores)
    leaves, structure = jax.tree.flatten(scores)
    mask = topk_mask(_concatenate(leaves), _concatenate(jax.tree.leaves(active)), sparsity)
    ends = list(itertools.accumulate(own.size for own in leaves))
    pieces = jnp.split(mask, ends[:-1])
    shaped = [piece.reshape(own.shape) for piece, own in zip(pieces, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)


def _normalize(scores: jax.Array) -> jax.Array:
    return scores / (jnp.sqrt(jnp.sum(jnp.square(scores))) + _EPSILON)


def _concatenate(arrays: Sequence[jax.Array]) -> jax.Array:
    return jnp.concatenate([array.reshape(-1) for array in arrays])
