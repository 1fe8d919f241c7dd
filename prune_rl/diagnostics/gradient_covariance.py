"""Gradient_covariance, measured on the probe."""

import jax
import jax.numpy as jnp


def gradient_covariance(gradients):
    leaves = [x.reshape(len(x), -1) for x in jax.tree.leaves(gradients)]
    g = sum(x @ x.T for x in leaves)
    n = jnp.sqrt(jnp.diag(g))
    return g / jnp.where(jnp.outer(n, n) > 0, jnp.outer(n, n), 1)


def gradient_correlation(m):
    k = len(m)
    return (jnp.abs(m).sum() - jnp.abs(jnp.diag(m)).sum()) / max(k * (k - 1), 1)
