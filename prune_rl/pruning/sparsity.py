"""Sparsity as it is in the weights, whatever any mask or schedule says."""

from typing import Any

import jax
import jax.numpy as jnp


def weight_sparsity(params: Any) -> dict[str, jax.Array]:
    """Fraction of exact zeros in each tensor of rank > 1, and in all of them together.

    Args:
        params: tree of one seed's weights; `vmap` adds the seed axis.

    Returns:
        float32 scalars in [0, 1] by path, as 'params/torso/Conv_0/kernel', and 'total' (0 if there
        is no such tensor).
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    tensors = {tensor_name(path): leaf for path, leaf in leaves if leaf.ndim > 1}
    zeros = {name: jnp.sum(tensor == 0, dtype=jnp.int32) for name, tensor in tensors.items()}
    size = sum(tensor.size for tensor in tensors.values())
    total = sum(zeros.values(), start=jnp.int32(0)) / max(size, 1)
    return {name: zeros[name] / tensor.size for name, tensor in tensors.items()} | {"total": total}


def tensor_name(path: Any) -> str:
    """The name of a tensor from its path in a tree, as 'params/torso/Conv_0/kernel'."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
