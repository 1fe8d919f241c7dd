"""Trees of S seeds seen as one, however they lie, see `prune_rl.learning.seed_axis`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prune_rl.learning.seed_axis import Separate, join_seeds, split_seeds


def stacked(tree: Any, axes: Any = 0) -> Any:
    """The tree with a leading seed axis where `axes` says so.

    Fails where what seeds share is not one and the same for all.
    """
    if not isinstance(tree, Separate):
        return tree
    joined = join_seeds(tree.trees, axes)
    for own, again in zip(tree.trees, split_seeds(joined, axes), strict=True):
        jax.tree.map(np.testing.assert_array_equal, own, again)
    return joined


def laid_as(like: Any, tree: Any, axes: Any = 0) -> Any:
    """The inverse of `stacked`: a stacked `tree` as the seeds of `like` lie."""
    if not isinstance(like, Separate):
        return tree
    # What seeds share is donated with each of them: none may be left with the buffer of another.
    return Separate(jax.tree.map(jnp.copy, own) for own in split_seeds(tree, axes))
