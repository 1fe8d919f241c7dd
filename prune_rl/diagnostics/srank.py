"""Srank, measured on the probe."""

import jax.numpy as jnp


def srank(features, delta=0.01):
    s = jnp.linalg.svd(jnp.where(jnp.isfinite(features), features, 0), compute_uv=False)
    c = jnp.cumsum(s)
    k = jnp.sum(c < (1 - delta) * c[-1]) + 1.0
    k = jnp.where(c[-1] > 0, k, 0.0)
    return jnp.where(jnp.isfinite(features).all(), k, jnp.nan)
