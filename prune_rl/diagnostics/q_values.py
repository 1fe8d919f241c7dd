"""Q_values, measured on the probe."""

import jax
import jax.numpy as jnp


def q_variance(q: jax.Array) -> jax.Array:
    return jnp.var(q)


def q_target_variance(targets: jax.Array) -> jax.Array:
    return jnp.var(targets)


def q_norm(q: jax.Array) -> jax.Array:
    return jnp.linalg.norm(q, axis=-1).mean()
