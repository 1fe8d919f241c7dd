"""Tensors that share another's mask: the scale of a weight's noise goes when the weight goes.

A tensor called 'x_sigma' beside one called 'x' is tied to it (`NoisyDense`: kernel and
kernel_sigma). It is not ranked and pays for no other's density; a pruned connection of a noisy
layer is silent altogether. JaxPruner does otherwise (tests/parity/README.md).
"""

from collections.abc import Mapping
from typing import Any

from prune_rl.pruning.tensors import is_prunable

_SUFFIX = "_sigma"


def is_tied(name: str) -> bool:
    """Whether a tensor of this name, as 'head/kernel_sigma', has another's mask."""
    return name.endswith(_SUFFIX)


def is_weight(name: str) -> bool:
    """Whether a tensor of this name can have a mask: a kernel, or one tied to it."""
    return is_prunable(name.removesuffix(_SUFFIX))


def tie(masks: Any) -> Any:
    """The tree with tied tensors given the mask of their own; others as they are."""
    if not isinstance(masks, Mapping):
        return masks
    tied = {name: tie(own) for name, own in masks.items()}
    for name in tied:
        if is_tied(name) and name.removesuffix(_SUFFIX) in tied:
            tied[name] = tied[name.removesuffix(_SUFFIX)]
    return tied


def untie(masks: Any) -> Any:
    """The tree with None for tied tensors."""
    if not isinstance(masks, Mapping):
        return masks
    return {name: None if is_tied(name) else untie(own) for name, own in masks.items()}
