"""What a weight is worth to a pruning method: those with the lowest scores go first.

A method is one function of a tensor's weights, their gradients (of the update being made) and a
random key of its own, all for one seed; it returns scores of the tensor's shape. To add a method,
write it and name it in `SCORES`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Score = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def magnitude(param: jax.Array, grad: jax.Array, key: jax.Array) -> jax.Array:
    """Distance of a weight from zero (Zhu & Gupta 2017)."""
    del grad, key
    return jnp.abs(param)


SCORES: dict[str, Score] = {"magnitude": magnitude}
PRUNER_TYPES = ("no_prune", *SCORES)
