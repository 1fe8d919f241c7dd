"""Sparsity as it is in the weights, whatever any mask or schedule says."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from prune_rl.errors import ConfigError, nearest
from prune_rl.pruning.tensors import KERNELS, layer_of, tensor_name
from prune_rl.pruning.ties import is_weight


def weight_sparsity(params: Any, prunable: str | Sequence[str] = KERNELS) -> dict[str, jax.Array]:
    """Fraction of exact zeros in the weights of each layer, and in all of them together.

    Weights are a layer's kernel and what is tied to it (`ties`).

    Args:
        params: tree of one seed's weights, members and all; `vmap` adds the seed axis.
        prunable: a pattern or patterns of names, see `tensors.is_prunable`; tensors of fewer than
            two axes are none.

    Returns:
        float32 scalars in [0, 1] by layer, as 'torso/Conv_0', and 'total' (0 where no tensor has
        two axes).

    Raises:
        ConfigError: some have, and no pattern fits any of them.
    """
    patterns = [prunable] if isinstance(prunable, str) else prunable
    tensors, others = defaultdict(list), []
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = tensor_name(path)
        if jnp.ndim(leaf) < 2:
            continue
        if is_weight(name, patterns):
            tensors[layer_of(name)].append(leaf)
        else:
            others.append(name)
    if others and not tensors:
        problem = f"fits no tensor of two axes or more; {nearest(patterns[0], others)}"
        raise ConfigError(f"weight_sparsity.prunable={prunable!r}: {problem}")
    zeros = {layer: sum(map(_count_zeros, own)) for layer, own in tensors.items()}
    sizes = {layer: sum(leaf.size for leaf in own) for layer, own in tensors.items()}
    total = sum(zeros.values(), start=jnp.int32(0)) / max(sum(sizes.values()), 1)
    return {layer: zeros[layer] / sizes[layer] for layer in tensors} | {"total": total}


def _count_zeros(tensor: jax.Array) -> jax.Array:
    return jnp.sum(tensor == 0, dtype=jnp.int32)
