"""The parts of an optimizer's state that belong to single weights."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def map_moments(function: Callable[[Any], Any], inner_state: Any, params: Any) -> Any:
    """Maps `function` over the moments of the weights in an optimizer's state.

    A moment is any subtree of the state that has the parameters' structure and shapes, at any
    depth of a chain: Adam's mu and nu, momentum's trace. Step counts and the like stay as they
    are. (Under `optax.masked` trees have holes, and are not found.)

    Args:
        function: from one such tree to another.
        inner_state: of any optax optimizer, one seed's.
        params: tree of one seed's weights.
    """
    structure, shapes = _form(params)

    def is_moment(node: Any) -> bool:
        return jax.tree.structure(node) == structure and _form(node)[1] == shapes

    return jax.tree.map(
        lambda node: function(node) if is_moment(node) else node, inner_state, is_leaf=is_moment
    )


def _form(tree: Any) -> tuple[Any, list[tuple[int, ...]]]:
    return jax.tree.structure(tree), [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]
