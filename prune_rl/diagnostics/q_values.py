"""Spread and size of the action values on a batch of states, for one seed (figure 11).

Source: "In value-based deep reinforcement learning, a pruned network is a good network"
(Obando-Ceron et al. 2024), section 5. Its text asks for "the variance of the Q estimates", the
caption of its figure 11 for the "average Q-target variance": both are here, under their own names,
and the average is the one over seeds. Neither says which axes; we take all values of the batch.
Values that are not finite make the result NaN (or infinite, for the norm).
"""

import chex
import jax
import jax.numpy as jnp


def q_variance(q: jax.Array) -> jax.Array:
    """Population variance over all states and actions together.

    Args:
        q: (batch, actions) float32, Q(s, a) of the online network.

    Returns:
        float32 scalar >= 0, in squared units of return of stored rewards.
    """
    chex.assert_rank(q, 2)
    return _variance(q)


def q_target_variance(targets: jax.Array) -> jax.Array:
    """Population variance over the batch of the values that the update regresses to.

    Args:
        targets: (batch,) float32, bootstrapped n-step targets.

    Returns:
        float32 scalar >= 0, in squared units of return of stored rewards.
    """
    chex.assert_rank(targets, 1)
    return _variance(targets)


def q_norm(q: jax.Array) -> jax.Array:
    """Mean over states of the L2 norm of Q(s, .), the paper's "average norm of the Q-values".

    The norm grows with the square root of the number of actions: compare within a game only.

    Args:
        q: (batch, actions) float32.

    Returns:
        float32 scalar >= 0, in units of return of stored rewards.
    """
    chex.assert_rank(q, 2)
    return jnp.mean(jnp.linalg.norm(q, axis=-1))


def _variance(x: jax.Array) -> jax.Array:
    centred = x - jnp.mean(x)
    centred -= jnp.mean(centred)  # the first mean is rounded to the precision of x's offset
    return jnp.mean(jnp.square(centred))
