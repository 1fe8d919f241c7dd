"""Tensors of a network by name: which can be pruned, and which layer they are of.

Names decide before ranks: the biases of ten stacked networks have rank 2 and are biases.
"""

import fnmatch
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

KERNELS = ("kernel",)  # flax's name for what multiplies a layer's inputs


def tensor_name(path: Any) -> str:
    """The name of a tensor from its path in a tree, below 'params': 'torso/Conv_0/kernel'.

    Of nnx variables it is the variable's; of a list's elements their numbers, as '0/1'.
    """
    if len(path) > 1 and path[-1] == jax.tree_util.GetAttrKey("value"):
        path = path[:-1]  # nnx.State holds variables, which hold arrays
    return jax.tree_util.keystr(path, simple=True, separator="/").removeprefix("params/")


def layer_of(name: str) -> str:
    """The layer that a tensor is of, 'torso/Conv_0' of 'torso/Conv_0/kernel'; 'w' of 'w'."""
    return name.rpartition("/")[0] or name


def is_prunable(name: str, prunable: Sequence[str] = KERNELS) -> bool:
    """Whether a tensor of this name can be ranked and pruned: it is a layer's kernel.

    Args:
        name: see `tensor_name`.
        prunable: glob patterns of such names; without a '/' of their last part, as 'kernel', else
            of all of it, as 'encoder/*/w'.
    """
    last = name.rpartition("/")[2]
    return any(
        fnmatch.fnmatchcase(name if "/" in pattern else last, pattern) for pattern in prunable
    )


def prunable_tensors(params: Any, prunable: Sequence[str] = KERNELS) -> dict[str, Any]:
    """Tensors of one network that can be pruned, by name: `is_prunable`, of two axes or more."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    named = [(tensor_name(path), leaf) for path, leaf in leaves]
    return {name: x for name, x in named if is_prunable(name, prunable) and np.ndim(x) > 1}
