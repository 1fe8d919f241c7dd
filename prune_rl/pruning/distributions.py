"""How a target sparsity is shared among the tensors of a network.

A distribution maps parameters (only their shapes are read) and a sparsity in [0, 1) to a tree of
the same structure: a float where a tensor has rank > 1, None (never pruned) elsewhere. First and
last layers get no special treatment. Source: JaxPruner, jaxpruner/sparsity_distributions.py.
"""

import math
from typing import Any

import jax


def uniform(params: Any, sparsity: float) -> Any:
    """The same sparsity for every tensor of rank > 1."""
    return jax.tree.map(lambda param: sparsity if param.ndim > 1 else None, params)


def erk(params: Any, sparsity: float) -> Any:
    """Erdős-Rényi-Kernel: large tensors are pruned more, the total kept is the uniform one.

    The density of a tensor is proportional to sum(shape) / prod(shape), kernel dimensions
    included; tensors whose density would exceed 1 stay dense and the others pay for it.
    Source: Evci et al. 2020, section 3.
    """
    if sparsity == 0.0:
        return uniform(params, 0.0)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    shapes = {path: leaf.shape for path, leaf in leaves if leaf.ndim > 1}
    sparsities = dict(zip(shapes, _erk_sparsities(list(shapes.values()), sparsity), strict=True))
    return jax.tree_util.tree_map_with_path(lambda path, _: sparsities.get(path), params)


def _erk_sparsities(shapes: list[tuple[int, ...]], sparsity: float) -> list[float]:
    sizes = [math.prod(shape) for shape in shapes]
    raw = [sum(shape) / size for shape, size in zip(shapes, sizes, strict=True)]
    # A whole number of zeros per tensor, so that the scale is JaxPruner's to the last bit.
    num_kept = sum(size - math.floor(sparsity * size) for size in sizes)
    unscaled, scale = set(range(len(shapes))), 0.0
    dense: set[int] = set()
    while unscaled:
        left = num_kept - sum(sizes[i] for i in dense)
        scale = left / sum(raw[i] * sizes[i] for i in sorted(unscaled))
        highest = max(raw[i] for i in unscaled)
        if highest * scale <= 1.0:
            break
        dense |= {i for i in unscaled if raw[i] == highest}
        unscaled -= dense
    return [0.0 if i in dense else 1.0 - scale * raw[i] for i in range(len(shapes))]
