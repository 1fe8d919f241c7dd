"""An agent's state as the states of its seeds, by name: what a checkpoint keeps of it."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from prune_rl.errors import ConfigError, require
from prune_rl.learning.seed_axis import Separate, join_seeds, split_seeds
from prune_rl.state import State, flatten, unflatten


def to_states(tree: Any, axes: Any) -> list[State]:
    """Copies on the host, of each seed, as 'networks/q/params/params/head/kernel' of an AgentState.

    axes: of that tree if it is stacked, see `Learner.state_axes`.
    """
    return [
        unflatten({name: np.array(leaf) for name, leaf in _named_leaves(own)})
        for own in split_seeds(jax.device_get(tree), axes)
    ]


def from_states(states: Sequence[State], like: Any, axes: Any) -> Any:
    """The inverse of `to_states`, on the device, with the structure of `like`, Separate or stacked.

    Raises:
        ConfigError: an array is missing, unknown, or has another shape or dtype.
    """
    shapes = jax.eval_shape(lambda tree: split_seeds(tree, axes)[0], like)
    structure = jax.tree.structure(shapes)
    trees = []
    for state in states:
        flat = flatten(state)
        leaves = [_fitting(flat, name, leaf) for name, leaf in _named_leaves(shapes)]
        unknown = sorted(flat.keys() - {name for name, _ in _named_leaves(shapes)})
        require(not unknown, "checkpoint of another agent: arrays", unknown, "none of these")
        trees.append(jax.tree.unflatten(structure, leaves))
    return Separate(trees) if isinstance(like, Separate) else join_seeds(trees, axes)


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def _fitting(flat: State, name: str, form: jax.ShapeDtypeStruct) -> jax.Array:
    array = flat.get(name)
    if array is None or (array.shape, array.dtype) != (form.shape, form.dtype):
        found = "nothing" if array is None else f"{array.shape} {array.dtype}"
        expected = f"expected {form.shape} {form.dtype}"
        raise ConfigError(f"checkpoint of another agent: {name} is {found}; {expected}")
    return jax.numpy.array(array)  # a copy: updates donate it
