"""Effective rank of the penultimate features (figure 11, "srank").

Source: Kumar et al. 2021, "Implicit Under-Parameterization Inhibits Data-Efficient Deep
Reinforcement Learning", which Obando-Ceron et al. 2024 measure in section 5. The latter also write
"effective rank of the parameters"; the definition is of the feature matrix, and so is this.
google-research's coherence_compute.py says srank in its docstring but returns singular values and
their ratio, so the formula is the only source.
"""

import chex
import jax
import jax.numpy as jnp


def srank(features: jax.Array, delta: float = 0.01) -> jax.Array:
    """Least k whose largest k singular values sum to at least (1 - delta) of all of them.

    Args:
        features: (batch, d) float32, penultimate (post-ReLU) features of a batch of states; not
            centred. At most min(batch, d) can be measured, so take batch >= d.
        delta: share of the sum that may be left out, in [0, 1); 0.01 in Kumar et al.

    Returns:
        float32 scalar, a whole number: 0 for all-zero features, NaN if any feature is not finite.
    """
    chex.assert_rank(features, 2)
    finite = jnp.all(jnp.isfinite(features))
    features = jnp.where(finite, features, 0)  # what an SVD makes of NaN depends on the backend
    largest = jnp.max(jnp.abs(features))
    features = features / jnp.where(largest > 0, largest, 1)  # srank does not depend on scale
    values = jnp.linalg.svd(features, compute_uv=False)  # (min(batch, d),), descending
    # Sums of what k values leave out, smallest first: rounding is relative to the small tail.
    left_out = jnp.cumsum(values[::-1])[::-1]  # k = 0, 1, ...
    rank = jnp.sum(left_out > delta * left_out[0], dtype=jnp.float32)
    return jnp.where(finite, rank, jnp.nan)
