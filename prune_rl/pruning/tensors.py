"""Tensors of a network by name: which can be pruned, and which layer they are of.

Names decide, not ranks: the biases of ten stacked networks have rank 2 and are biases.
"""

from typing import Any

import jax


def tensor_name(path: Any) -> str:
    """The name of a tensor from its path in a tree, below 'params': 'torso/Conv_0/kernel'."""
    return jax.tree_util.keystr(path, simple=True, separator="/").removeprefix("params/")


def layer_of(name: str) -> str:
    """The layer that a tensor is of, 'torso/Conv_0' of 'torso/Conv_0/kernel'."""
    return name.rpartition("/")[0]


def is_prunable(name: str) -> bool:
    """Whether a tensor of this name can be ranked and pruned: it is a layer's kernel."""
    return name.rpartition("/")[2] == "kernel"
