"""L2 norms of one network's parameters (figure 11, "average parameters norm").

Source: Obando-Ceron et al. 2024, section 5, "the average norm of the network parameters": read as
one norm over all parameters, biases included, averaged over seeds. The norm of each tensor is here
too, since layers of different size cannot be told apart in the total.
"""

from typing import Any

import jax
import jax.numpy as jnp

from prune_rl.pruning.tensors import tensor_name


def parameter_norm(params: Any) -> jax.Array:
    """L2 norm over all parameters together, pruned ones counting as the zeros they are.

    Args:
        params: tree of float32 weights; masked, if the network is pruned.

    Returns:
        float32 scalar >= 0 (0 for an empty tree); NaN if any parameter is.
    """
    norms = parameter_norms_by_tensor(params).values()
    return _l2(jnp.stack(list(norms))) if norms else jnp.float32(0)


def parameter_norms_by_tensor(params: Any) -> dict[str, jax.Array]:
    """L2 norm of each tensor.

    Args:
        params: tree of float32 weights; masked, if the network is pruned.

    Returns:
        float32 scalars by name, as 'torso/Conv_0/kernel'.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {tensor_name(path): _l2(x) for path, x in leaves}


def _l2(tensor: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum(jnp.square(tensor)))
