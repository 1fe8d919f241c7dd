"""Units that hardly fire (figure 11, "dormant neurons").

Source: Sokar et al. 2023, "The Dormant Neuron Phenomenon in Deep Reinforcement Learning",
equation 1 and definition 1. The paper divides by the layer's mean; its code (labs/redo) adds 1e-9
to it, which makes every unit of a silent layer dormant instead of undefined: so do we. That code
leaves the output layer out of the count: hand over the hidden layers, after their ReLU.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

_EPSILON = 1e-9


def dormancy_scores(activations: jax.Array) -> jax.Array:
    """Mean |activation| of each unit, as a multiple of the mean over the layer's units.

    Args:
        activations: (batch, ..., units) float32 after the nonlinearity; the axes between are
            positions, and a convolution's units are its channels.

    Returns:
        (units,) float32 >= 0, with mean 1 (0 in a silent layer); all NaN if an activation is not
        finite.
    """
    means = jnp.mean(jnp.abs(activations), axis=tuple(range(activations.ndim - 1)))  # (units,)
    layer_mean = jnp.mean(means)
    # An infinite mean would make its finite neighbours look dormant.
    return jnp.where(jnp.isfinite(layer_mean), means / (layer_mean + _EPSILON), jnp.nan)


def dormant(activations: jax.Array, tau: float) -> jax.Array:
    """Units whose score is at most `tau`, as a (units,) bool mask; tau 0 means: never fired.

    No unit is dormant in a layer whose activations are not all finite: nothing is to be recycled on
    such evidence. Arguments as in `dormancy_scores`.
    """
    return dormancy_scores(activations) <= tau


def dormant_fraction(
    activations: Mapping[str, jax.Array], tau: float
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Dormant units of all layers over units of all layers, and the fraction of each layer.

    Args:
        activations: by layer, each (batch, ..., units) float32 after the nonlinearity, of one
            network; `vmap` maps members and seeds.
        tau: threshold on the score.

    Returns:
        float32 scalars in [0, 1]: the total (0 without layers) and a dict with the keys of
        `activations`. A layer with an activation that is not finite is NaN, and so is the total.
    """
    fractions, count = {}, jnp.float32(0)
    for layer, values in activations.items():
        scores = dormancy_scores(values)
        below = jnp.sum(scores <= tau, dtype=jnp.float32)
        below = jnp.where(jnp.any(jnp.isnan(scores)), jnp.nan, below)
        fractions[layer] = below / scores.size
        count += below
    units = sum(values.shape[-1] for values in activations.values())
    return count / max(units, 1), fractions
