"""The parts of an optimizer's state that belong to single weights."""

from collections.abc import Callable
from typing import Any

import jax


def map_moments(function: Callable[[Any], Any], inner_state: Any, params: Any) -> Any:
    """Maps `function` over every subtree of an optax state that is built like `params`.

    Such are Adam's mu and nu and momentum's trace; step counts and the like stay as they are.
    Where `params` is a single array, every array is such a subtree.
    """
    structure = jax.tree.structure(params)

    def is_moment(node: Any) -> bool:
        return jax.tree.structure(node) == structure

    return jax.tree.map(
        lambda node: function(node) if is_moment(node) else node, inner_state, is_leaf=is_moment
    )
