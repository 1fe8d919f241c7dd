"""Dormant, measured on the probe."""

import jax.numpy as jnp


def dormancy_scores(a):
    m = jnp.abs(a).mean(axis=tuple(range(a.ndim - 1)))
    return m / (m.mean() + 1e-9)


def dormant(a, tau):
    return dormancy_scores(a) <= tau


def dormant_fraction(activations, tau):
    d = {k: dormant(a, tau) for k, a in activations.items()}
    bad = {k: ~jnp.isfinite(a).all() for k, a in activations.items()}
    by = {k: jnp.where(bad[k], jnp.nan, x.mean()) for k, x in d.items()}
    n = sum(x.size for x in d.values())
    return sum(by[k] * d[k].size for k in d) / n, by
