"""How alike the gradients of different samples are (figure 13).

Source: Lyle et al. 2023, "Understanding Plasticity in Neural Networks", whose heat maps figure 13
of Obando-Ceron et al. 2024 repeats. It is called a covariance, but what is computed is the cosine
of uncentred gradients, C_ij = <g_i, g_j> / (|g_i| |g_j|); an independent reproduction does the
same, though it leaves the last diagonal entry 0. Rows keep the order of the samples: sorting them
by similarity is left to whoever draws the map.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp


def gradient_covariance(gradients: Any) -> jax.Array:
    """Cosine between the gradients of every two samples, at any scale of gradient.

    Summed over the tensors one by one: the gradients are never laid end to end.

    Args:
        gradients: tree of (k, ...) float32, the loss gradient of each of k samples.

    Returns:
        (k, k) float32, symmetric, in [-1, 1], with 1 (up to rounding) on the diagonal. The row and
        the column of an all-zero gradient are 0, its diagonal entry too; those of a gradient that
        is not finite are NaN.
    """
    leaves = jax.tree.leaves(gradients)
    chex.assert_equal_shape_prefix(leaves, 1)
    rows = [leaf.reshape(leaf.shape[0], -1) for leaf in leaves]  # (k, size of the tensor)
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(x), axis=1, initial=0) for x in rows]), axis=0)
    # Squares of gradients below 1e-19 or above 1e19 would leave float32's range.
    scale = jnp.where(largest == 0, 1, largest)  # (k,)
    start = jnp.float32(0)
    dot_products = sum((_dot_products(x / scale[:, None]) for x in rows), start=start)
    norms = jnp.sqrt(jnp.diagonal(dot_products))
    norms = jnp.where(norms == 0, 1, norms)
    return jnp.clip(dot_products / (norms[:, None] * norms), -1, 1)


def gradient_correlation(matrix: jax.Array) -> jax.Array:
    """Mean of |C_ij| off the diagonal: one number for how colinear the gradients are.

    Our summary of figure 13, which the paper judges by eye.

    Args:
        matrix: (k, k) float32 from `gradient_covariance`.

    Returns:
        float32 scalar in [0, 1]; 0 for k = 1, NaN if any entry is NaN.
    """
    num_samples = matrix.shape[0]
    chex.assert_shape(matrix, (num_samples, num_samples))
    off_diagonal = jnp.where(jnp.eye(num_samples, dtype=bool), 0, jnp.abs(matrix))
    mean = jnp.sum(off_diagonal) / max(num_samples * (num_samples - 1), 1)
    return jnp.where(jnp.any(jnp.isnan(matrix)), jnp.nan, mean)


def _dot_products(rows: jax.Array) -> jax.Array:
    # The default precision of a GPU, TensorFloat-32, has an error of 1e-3.
    return jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST)
