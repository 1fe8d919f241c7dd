"""Categorical value distributions (C51, Bellemare et al. 2017)."""

import chex
import jax
import jax.numpy as jnp
import optax
from jax import lax

from prune_rl.learning.state import Params
from prune_rl.learning.value_learning import Augment, Rules, batch_outputs, chosen
from prune_rl.networks.q_network import QNetwork
from prune_rl.specs import Batch


def project(atoms: jax.Array, probabilities: jax.Array, support: jax.Array) -> jax.Array:
    """The distribution on `support` nearest to one on other atoms (algorithm 1 of the paper).

    An atom's mass goes to its two neighbours on the support in proportion to their nearness; what
    lies beyond an end goes to that end.

    Args:
        atoms: (B, M).
        probabilities: (B, M), of the atoms.
        support: (N,), evenly spaced and increasing, N > 1.

    Returns:
        (B, N) probabilities.
    """
    chex.assert_equal_shape([atoms, probabilities])
    spacing = (support[-1] - support[0]) / (len(support) - 1)
    inside = jnp.clip(atoms, support[0], support[-1])
    distance = jnp.abs(inside[:, None, :] - support[:, None]) / spacing  # (B, N, M)
    nearness = jnp.clip(1.0 - distance, 0.0, 1.0)
    return jnp.einsum("bnm,bm->bn", nearness, probabilities, precision=lax.Precision.HIGHEST)


def categorical_rules(
    network: QNetwork, *, double_dqn: bool = False, augment: Augment | None = None
) -> Rules:
    """Distributional learning with cross-entropy, as rules for `build_value_learner`."""
    support = network.support

    def targets(
        params: Params, target_params: Params, batch: Batch, key: jax.Array | None
    ) -> jax.Array:
        logits = batch_outputs(network, target_params, batch.s_t, key)
        selector = batch_outputs(network, params, batch.s_t, key) if double_dqn else logits
        best = network.expectation(selector).argmax(axis=1)
        probabilities = jax.nn.softmax(chosen(logits, best))
        atoms = jnp.expand_dims(batch.r_t, 1) + jnp.expand_dims(batch.discount_t, 1) * support
        return jax.lax.stop_gradient(project(atoms, probabilities, support))

    def losses(logits: jax.Array, batch: Batch, targets: jax.Array) -> jax.Array:
        return optax.losses.softmax_cross_entropy(chosen(logits, batch.a_tm1), targets)

    def target_values(targets: jax.Array) -> jax.Array:
        return jnp.matmul(targets, support, precision=lax.Precision.HIGHEST)

    return Rules(network, targets, losses, target_values, augment)
