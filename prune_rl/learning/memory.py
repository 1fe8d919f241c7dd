"""Says that a network does not fit the machine, before any of it is allocated."""

import math
from typing import Any

import jax
import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.learning.learner import Learner, Optimizers
from prune_rl.learning.quantities import Quantities
from prune_rl.pruning.sparse_optimizer import SparseOptimizer
from prune_rl.replay.ram import GIB, available_on_device

_SMALLER = "make the torso's width (or stacks, or num_atoms) or Runner.num_seeds smaller"


def require_memory(learner: Learner, optimizers: Optimizers, num_seeds: int) -> None:
    """Raises `ConfigError` unless the networks of all seeds fit the memory they will lie in.

    Counted are parameters, optimizer and masks, by shape alone; target networks and an update take
    some more.
    """
    try:
        networks = {x: _shapes(own, optimizers[x]) for x, own in learner.quantities.items()}
    except OverflowError as error:
        raise ConfigError(
            f"Runner.agent: no machine holds so large a network; {_SMALLER}"
        ) from error
    leaves = jax.tree.leaves([params for params, _ in networks.values()])
    size, each = sum(math.prod(leaf.shape) for leaf in leaves), _bytes(networks)
    needed, available = num_seeds * each, available_on_device()
    if needed > available:
        raise ConfigError(
            f"Runner.agent: {num_seeds} seeds of a network of {size:,} parameters need "
            f"{needed / GIB:,.2f} GiB with their optimizer, {available / GIB:.2f} GiB are "
            f"available; {_SMALLER}"
        )


def _shapes(quantities: Quantities, optimizer: SparseOptimizer) -> tuple[Any, Any]:
    """Of the parameters and the optimizer's state of one seed."""
    key = jax.random.PRNGKey(0)
    init = quantities.init_params
    if optimizer.members is None:
        params = jax.eval_shape(init, key)
    else:
        params = jax.eval_shape(jax.vmap(init), jax.random.split(key, optimizer.members))
    return params, jax.eval_shape(optimizer.init, params, key)


def _bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.shape) * np.dtype(x.dtype).itemsize for x in leaves)
