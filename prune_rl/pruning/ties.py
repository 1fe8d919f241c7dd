"""Tensors that share another's mask: the scale of a weight's noise goes when the weight goes.

A tensor called 'x_sigma' beside one called 'x' is tied to it (`NoisyDense`: kernel and
kernel_sigma). It is not ranked and pays for no other's density; a pruned connection of a noisy
layer is silent altogether. JaxPruner does otherwise (tests/parity/README.md).
"""

from collections.abc import Collection, Sequence
from typing import Any

import jax

from prune_rl.pruning.tensors import KERNELS, is_prunable, tensor_name

_SUFFIX = "_sigma"


def is_weight(name: str, prunable: Sequence[str] = KERNELS) -> bool:
    """Whether a tensor of this name can have a mask: a kernel, or one tied to it.

    `prunable` as in `tensors.is_prunable`.
    """
    return is_prunable(name.removesuffix(_SUFFIX), prunable)


def tied_names(names: Collection[str]) -> set[str]:
    """Those of a network's tensors that have another's mask, as 'head/kernel_sigma'."""
    return {x for x in names if x.endswith(_SUFFIX) and x.removesuffix(_SUFFIX) in names}


def tie(masks: Any) -> Any:
    """The tree with tied tensors given the mask of their own; others as they are."""
    of = _by_name(masks)
    own = {name: of[name.removesuffix(_SUFFIX)] for name in tied_names(of)}
    return _replaced(masks, own)


def untie(masks: Any) -> Any:
    """The tree with None for tied tensors."""
    return _replaced(masks, dict.fromkeys(tied_names(_by_name(masks))))


def _by_name(masks: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(masks, is_leaf=_is_none)
    return {tensor_name(path): leaf for path, leaf in leaves}


def _replaced(masks: Any, by_name: dict[str, Any]) -> Any:
    def replace(path: Any, mask: Any) -> Any:
        return by_name.get(tensor_name(path), mask)

    return jax.tree_util.tree_map_with_path(replace, masks, is_leaf=_is_none)


def _is_none(node: Any) -> bool:
    return node is None
