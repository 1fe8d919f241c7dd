"""Temporal-difference learning of scalar action values (Sutton & Barto 2018, chapter 6)."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from prune_rl.learning.state import Params
from prune_rl.learning.value_learning import Augment, Rules, batch_outputs, chosen
from prune_rl.networks.q_network import QNetwork
from prune_rl.specs import Batch

LOSSES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "mse": jnp.square,
    "huber": optax.losses.huber_loss,
}


def td_targets(q_t: jax.Array, batch: Batch, *, selector: jax.Array | None = None) -> jax.Array:
    """What the values of the actions taken should be, (batch,); no gradient flows through it.

    Args:
        q_t: (batch, num_actions), target-network values of the states n steps on.
        batch: of one seed, `r_t` and `discount_t` (batch,); a zero discount ends an episode.
        selector: (batch, num_actions), values whose best action is taken there; `q_t` itself if
            None, the online network's for double Q-learning (van Hasselt et al. 2016).
    """
    chex.assert_rank(q_t, 2)
    chex.assert_shape([batch.r_t, batch.discount_t], q_t.shape[:1])
    best = (q_t if selector is None else selector).argmax(axis=1)
    return jax.lax.stop_gradient(jnp.asarray(batch.r_t) + batch.discount_t * chosen(q_t, best))


def td_losses(
    q_tm1: jax.Array, actions: ArrayLike, targets: jax.Array, loss_type: str
) -> jax.Array:
    """Temporal-difference loss of each transition, (batch,).

    Args:
        q_tm1: (batch, num_actions), online values of the states acted in.
        actions: (batch,) integers, the actions taken.
        targets: (batch,), see `td_targets`.
        loss_type: 'mse', the squared error, or 'huber' with delta 1.
    """
    chex.assert_rank(q_tm1, 2)
    chex.assert_shape([actions, targets], q_tm1.shape[:1])
    return LOSSES[loss_type](targets - chosen(q_tm1, actions))


def td_rules(
    network: QNetwork, loss_type: str, *, double_dqn: bool = False, augment: Augment | None = None
) -> Rules:
    """Temporal-difference learning of scalar action values, as rules for `build_value_learner`."""

    def targets(
        params: Params, target_params: Params, batch: Batch, key: jax.Array | None
    ) -> jax.Array:
        q_t = batch_outputs(network, target_params, batch.s_t, key)
        selector = batch_outputs(network, params, batch.s_t, key) if double_dqn else None
        return td_targets(q_t, batch, selector=selector)

    def losses(q_tm1: jax.Array, batch: Batch, targets: jax.Array) -> jax.Array:
        return td_losses(q_tm1, batch.a_tm1, targets, loss_type)

    return Rules(network, targets, losses, target_values=lambda own: own, augment=augment)
