"""What a weight is worth to a pruning method: those with the lowest scores go first.

A score is one function of a tensor's weights, the gradients of the update being made and a random
key of the tensor's own, all for one seed; it returns float32 scores of the tensor's shape.
`methods.register_score` makes a method of one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Score = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def magnitude(param: jax.Array, grad: jax.Array, key: jax.Array) -> jax.Array:
    """Distance of a weight from zero (Zhu & Gupta 2017)."""
    del grad, key
    return jnp.abs(param)


def saliency(param: jax.Array, grad: jax.Array, key: jax.Array) -> jax.Array:
    """First-order change of the loss if the weight were zero (Molchanov et al. 2016)."""
    del key
    return jnp.abs(param * grad)


def random(param: jax.Array, grad: jax.Array, key: jax.Array) -> jax.Array:
    """Uniform in [0, 1)."""
    del grad
    return jax.random.uniform(key, param.shape)


def gradient(param: jax.Array, grad: jax.Array, key: jax.Array) -> jax.Array:
    """Size of the gradient, which a pruned weight has too (Evci et al. 2020)."""
    del param, key
    return jnp.abs(grad)
