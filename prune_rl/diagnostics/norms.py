"""Norms, measured on the probe."""

import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict


def parameter_norm(params):
    return optax.tree.norm(params)


def parameter_norms_by_layer(params):
    return {k: jnp.linalg.norm(v.reshape(-1)) for k, v in flatten_dict(params, sep="/").items()}
