"""Units that pruning has cut off.

Obando-Ceron et al. 2024 count dormant neurons by activation only (figure 11). Whether a unit is
dead is read off the weights instead: JaxPruner masks weights, not units, and this says how many
units went with them. No paper defines it for us; the definition is in `dead_units`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from prune_rl.errors import require
from prune_rl.networks.units import incoming, kernel_of, outgoing_of


def dead_units(
    params: Any, wiring: Mapping[str, tuple[str, ...]]
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Fraction of units all of whose incoming, or all of whose outgoing, weights are exactly 0.

    The bias does not count: a unit without incoming weights is a constant, whatever its bias.

    Args:
        params: flax variables {'params': ...} of one network, masked if it is pruned. `vmap` maps
            the members of an ensemble; the mean of their fractions is the ensemble's, as all have
            as many units.
        wiring: for each layer to count its readers, at least one; paths below 'params', as
            {'torso/Conv_0': ('torso/Conv_1',), 'torso/Conv_1': ('head',)}.

    Returns:
        float32 scalars in [0, 1]: dead units of all layers over units of all layers (0 without
        layers), and a dict with the keys of `wiring`. NaN if a kernel concerned has a NaN.

    Raises:
        ConfigError: a layer that does not exist, has no reader, or has one that does not fit.
    """
    fractions, count, units = {}, jnp.float32(0), 0
    for layer, readers in wiring.items():
        require(len(readers) > 0, f"wiring[{layer!r}]", readers, "at least one layer")
        dead = _dead(params, layer, readers)
        fractions[layer] = jnp.mean(dead)
        count += jnp.sum(dead)
        units += dead.size
    return count / max(units, 1), fractions


def _dead(params: Any, layer: str, readers: tuple[str, ...]) -> jax.Array:
    """(units,) float32: 1 for a dead unit, 0 for another, NaN if its weights have a NaN."""
    into = _largest(incoming(kernel_of(params, layer)), axis=(0,))
    each = [_largest(outgoing_of(params, layer, reader), axis=(0, 2)) for reader in readers]
    out = _largest(jnp.stack(each), axis=(0,))
    dead = ((into == 0) | (out == 0)).astype(jnp.float32)
    return jnp.where(jnp.isnan(into) | jnp.isnan(out), jnp.nan, dead)


def _largest(weights: jax.Array, axis: tuple[int, ...]) -> jax.Array:
    # Unlike all(weights == 0), a maximum passes NaN on.
    return jnp.max(jnp.abs(weights), axis=axis)
