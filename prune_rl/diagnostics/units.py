"""Units, measured on the probe."""

import jax.numpy as jnp

from prune_rl.networks.wiring import kernel_of, outgoing


def dead_units(params, consumers):
    by, total, n = {}, 0.0, 0
    for layer, readers in consumers.items():
        k = kernel_of(params, layer)
        u = k.shape[-1]
        inc = (k.reshape(-1, u) == 0).all(0)
        out = jnp.stack(
            [(outgoing(kernel_of(params, r), u) == 0).all(axis=(0, 2)) for r in readers]
        ).all(0)
        dead = inc | out
        by[layer] = dead.mean()
        total += dead.sum()
        n += u
    return total / n, by
