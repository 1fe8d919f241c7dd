"""Says that a network does not fit the machine, before any of it is allocated."""

import math
from typing import Any

import jax
import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.learning.learner import Learner
from prune_rl.replay.ram import GIB, available_bytes

_SMALLER = "make the torso's width (or stacks, or num_atoms) or Runner.num_seeds smaller"


def require_memory(learner: Learner, num_seeds: int) -> None:
    """Raises `ConfigError` unless the first state of all seeds fits the memory it will lie in.

    Counted are parameters, target networks, optimizer and masks, by shape alone; an update takes
    some more.
    """
    try:
        state = jax.eval_shape(lambda: learner.init([0]))
    except OverflowError as error:
        raise ConfigError(
            f"Runner.agent: no machine holds so large a network; {_SMALLER}"
        ) from error
    size = sum(math.prod(x.shape) for x in jax.tree.leaves(state.params))
    needed, available = num_seeds * _bytes(state), _available()
    if needed > available:
        raise ConfigError(
            f"Runner.agent: {num_seeds} seeds of a network of {size:,} parameters need "
            f"{needed / GIB:,.2f} GiB with their optimizer, {available / GIB:.2f} GiB are "
            f"available; {_SMALLER}"
        )


def _bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.shape) * np.dtype(x.dtype).itemsize for x in leaves)


def _available() -> int:
    """Bytes that the device may still take; of a CPU, the machine's RAM."""
    stats = jax.local_devices()[0].memory_stats()
    if not stats or "bytes_limit" not in stats:
        return available_bytes()
    return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
