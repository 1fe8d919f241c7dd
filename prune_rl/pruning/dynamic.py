"""Dynamic sparse training: a network of constant size that drops weights and grows others.

Source: SET (Mocanu et al. 2018) and RigL (Evci et al. 2020, section 3) as in JaxPruner,
jaxpruner/algorithms/sparse_trainers.py.
"""

from typing import Any

import jax
import jax.numpy as jnp

from prune_rl.pruning.masks import grown_mask, topk_mask
from prune_rl.pruning.moments import map_moments


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
    # The exact count: a float32 density may drift (tests/parity/README.md).
    return grown_mask(grow_scores, kept, ones)


def zero_moments(inner_state: Any, params: Any, activated: Any) -> Any:
    """The optimizer's state with zero moments (see `moments`) for `activated` weights.

    Args:
        inner_state: of any optax optimizer, one seed's.
        params: tree of one seed's weights.
        activated: tree like it: bool of the weights' shape, None for tensors that are dense.
    """
    return map_moments(
        lambda moments: jax.tree.map(_reset, moments, activated), inner_state, params
    )


def _reset(moment: jax.Array, activated: jax.Array | None) -> jax.Array:
    return moment if activated is None else jnp.where(activated, jnp.zeros_like(moment), moment)
