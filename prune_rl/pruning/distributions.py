"""How a target sparsity is shared among the tensors of a network.

A distribution maps parameters (only their shapes are read) and a sparsity in [0, 1) to a tree of
the same structure: a float for a kernel (`tensors.prunable_tensors`, which says what `prunable`
is), None (never pruned) elsewhere.
Tensors tied to a kernel (`ties`) get None too: they are neither ranked nor counted. First and last
layers get no special treatment, unless `dense_layers` names them: glob patterns of layer paths, as
'head' or 'torso/Conv_*', whose tensors are never pruned and pay for nothing; the others reach the
sparsity among themselves. The parameters are one network's: `Pruner.wrap` maps the members of an
ensemble. Source: JaxPruner, jaxpruner/sparsity_distributions.py, where `filter_fn` does this.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax

from prune_rl.errors import ConfigError
from prune_rl.networks.layers import match_layers
from prune_rl.pruning.tensors import KERNELS, layer_of, prunable_tensors, tensor_name
from prune_rl.pruning.ties import tied_names


def uniform(
    params: Any,
    sparsity: float,
    dense_layers: Sequence[str] = (),
    prunable: Sequence[str] = KERNELS,
) -> Any:
    """The same sparsity for every kernel outside `dense_layers`.

    Raises:
        ConfigError: a pattern fits no layer, or nothing is left to prune.
    """
    return _share(params, dict.fromkeys(_shapes(params, dense_layers, prunable), sparsity))


def erk(
    params: Any,
    sparsity: float,
    dense_layers: Sequence[str] = (),
    prunable: Sequence[str] = KERNELS,
) -> Any:
    """Erdős-Rényi-Kernel: large tensors are pruned more, the total kept is the uniform one.

    The density of a tensor is proportional to sum(shape) / prod(shape), kernel dimensions
    included; tensors whose density would exceed 1 stay dense and the others pay for it.
    Raises like `uniform`. Source: Evci et al. 2020, section 3.
    """
    if sparsity == 0.0:
        return uniform(params, 0.0, dense_layers, prunable)
    shapes = _shapes(params, dense_layers, prunable)
    sparsities = _erk_sparsities(list(shapes.values()), sparsity)
    return _share(params, dict(zip(shapes, sparsities, strict=True)))


def _share(params: Any, sparsities: dict[str, float]) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, _: sparsities.get(tensor_name(path)), params
    )


def _shapes(
    params: Any, dense_layers: Sequence[str], prunable: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Shapes of the kernels to prune, by name."""
    tensors = prunable_tensors(params, prunable)
    tied = tied_names(tensors)
    shapes = {name: own.shape for name, own in tensors.items() if name not in tied}
    binding = "create_updater_from_config.dense_layers"
    # A network without layers, as a temperature, has none to leave dense.
    patterns = dense_layers if shapes else ()
    dense = match_layers(binding, patterns, sorted({layer_of(name) for name in shapes}))
    left = {name: shape for name, shape in shapes.items() if layer_of(name) not in dense}
    if dense and not left:
        raise ConfigError(f"{binding}={list(dense_layers)!r}: expected to leave a layer to prune")
    return left


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
