"""What one gradient step changes on states that are not in its batch, for one seed.

Source: "Improving deep reinforcement learning by reducing the chain effect of value and policy
churn" (Tang & Berseth 2024, arXiv 2409.04792), section 3: churn is f(theta')(s) - f(theta)(s) for s
outside the batch that took theta to theta'. Of values we take the mean |change|, of the policy the
share of states whose greedy action is another.
"""

import chex
import jax
import jax.numpy as jnp


def value_churn(before: jax.Array, after: jax.Array) -> jax.Array:
    """Mean over states and actions of |Q after the update - Q before it|.

    Args:
        before: (batch, actions) float32, Q(s, a) of the online network.
        after: the same shape, of the network one gradient step later.

    Returns:
        float32 scalar >= 0, in units of return of stored rewards; NaN if a value is.
    """
    _check(before, after)
    return jnp.abs(after - before).mean()


def policy_churn(before: jax.Array, after: jax.Array) -> jax.Array:
    """Share of states whose greedy action the update changed, the first best of equal ones.

    Arguments as in `value_churn`; float32 scalar in [0, 1], or NaN if a value is.
    """
    _check(before, after)
    changed = (before.argmax(axis=-1) != after.argmax(axis=-1)).mean()
    return jnp.where(jnp.isnan(before + after).any(), jnp.nan, changed)


def _check(before: jax.Array, after: jax.Array) -> None:
    chex.assert_rank(before, 2)
    chex.assert_equal_shape([before, after])
