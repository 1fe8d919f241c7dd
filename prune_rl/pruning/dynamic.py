"""Dynamic sparse training: a network of constant size that drops weights and grows others.

Source: SET (Mocanu et al. 2018) and RigL (Evci et al. 2020, section 3) as in JaxPruner,
jaxpruner/algorithms/sparse_trainers.py.
"""

from typing import Any

import jax
import jax.numpy as jnp

from prune_rl.pruning.masks import grown_mask, topk_mask


def drop_and_grow(
    drop_fraction: jax.Array, drop_scores: jax.Array, grow_scores: jax.Array, mask: jax.Array
) -> jax.Array:
    """One tensor's next mask, with as many ones as `mask`.

    Of the weights in use the fraction with the lowest `drop_scores` is dropped; of all that are
    then out of use, those just dropped included, the highest `grow_scores` come in.

    Args:
        drop_fraction: float32 scalar in [0, 1].
        drop_scores: float32, any shape.
        grow_scores: float32, the same shape.
        mask: bool, the same shape, at least one True.
    """
    ones = jnp.sum(mask, dtype=jnp.int32)
    density = ones / jnp.float32(mask.size)
    sparsity = 1.0 - density * (1.0 - drop_fraction)
    kept = topk_mask(drop_scores, mask, sparsity) & mask
    # The exact count, where JaxPruner's comes from a float32 density and may drift.
    return grown_mask(grow_scores, kept, ones)


def zero_moments(inner_state: Any, params: Any, activated: Any) -> Any:
    """The optimizer's state with zero moments for the weights that are `activated`.

    A moment is any subtree of the state that has the parameters' structure and shapes; it may lie
    at any depth, as in a chain.

    Args:
        inner_state: of any optax optimizer, one seed's.
        params: tree of one seed's weights.
        activated: tree like it: bool of the weights' shape, None for tensors that are dense.
    """

    def reset(node: Any) -> Any:
        return jax.tree.map(_reset, node, activated) if _is_like(node, params) else node

    return jax.tree.map(reset, inner_state, is_leaf=lambda node: _is_like(node, params))


def _reset(moment: jax.Array, activated: jax.Array | None) -> jax.Array:
    return moment if activated is None else jnp.where(activated, jnp.zeros_like(moment), moment)


def _is_like(node: Any, params: Any) -> bool:
    structures: list[Any] = [jax.tree.structure(tree) for tree in (node, params)]
    shapes = [[jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (node, params)]
    return structures[0] == structures[1] and shapes[0] == shapes[1]
