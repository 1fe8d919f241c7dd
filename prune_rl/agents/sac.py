"""Soft actor-critic with twin critics and an automatic temperature.

Haarnoja et al. 2018, "Soft actor-critic algorithms and applications" (arXiv 1812.05905), algorithm
1: critics, then the actor, then the temperature, then the critics' targets. The actor is judged by
the critics just updated; both see the temperature of before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import gin
import jax
import jax.numpy as jnp

from prune_rl.learning.acting_rules import ActingRules
from prune_rl.learning.actor_critic import (
    ACTOR,
    CRITIC,
    TEMPERATURE,
    actor_quantities,
    answers,
    descend,
    move_target,
    target_params,
    td_targets,
)
from prune_rl.learning.actor_critic_agent import ActorCriticAgent, empty_inputs
from prune_rl.learning.critics import Critics
from prune_rl.learning.learner import Learner, Metrics, Optimizers, Updated, build_learner
from prune_rl.learning.policies import SQUASHED, action_box, sample_squashed
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.state import AgentState, Params
from prune_rl.networks.critic_network import CriticNetwork
from prune_rl.networks.policy_network import PolicyNetwork
from prune_rl.settings import Positive, checked
from prune_rl.specs import ActionSpec, Array, Batch, ObservationSpec


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class SACAgent(ActorCriticAgent):
    """Hyper-parameters of SAC; see `ActorCriticAgent`.

    Attributes:
        initial_temperature: alpha at the start.
        target_entropy: what the temperature holds the actor's entropy to, in nats of actions in
            [-1, 1]; None for minus one for each dimension.
        learn_temperature: whether it is adapted; else it stays what it is.
        backup_entropy: whether targets count the entropy of what follows (equation 3).
    """

    initial_temperature: Positive = 1.0
    target_entropy: float | None = None
    learn_temperature: bool = True
    backup_entropy: bool = True

    @property
    def networks(self) -> Mapping[str, int | None]:
        """See `Agent`."""
        return {ACTOR: None, CRITIC: self.num_critics, TEMPERATURE: None}

    def learner(
        self, observation_spec: ObservationSpec, action_spec: ActionSpec, optimizers: Optimizers
    ) -> Learner:
        """See `Agent.learner`."""
        box = action_box(type(self).__name__, action_spec)
        inputs = empty_inputs(observation_spec, action_spec)
        actor = PolicyNetwork(self.actor_torso, action_size=len(box.half))
        # Half the squared distance: equation 5.
        critics = Critics(CriticNetwork(self.critic_torso), box, weight=0.5)
        own, acting = _Rules(self, optimizers, actor, critics), ActingRules(actor, SQUASHED, box)
        return build_learner(
            {
                ACTOR: actor_quantities(actor, inputs, own.actor_losses),
                CRITIC: critics.quantities(inputs, own.targets),
                TEMPERATURE: Quantities(own.first_temperature, inputs),
            },
            optimizers,
            targets=[CRITIC],
            update=own.update,
            act=acting.act,
            act_eval=acting.act_eval,
            strategy=self._strategy,
            acts_with=acting,
        )


class _Rules(NamedTuple):
    """The algorithm on one seed; actions are those in [-1, 1]."""

    settings: SACAgent
    optimizers: Optimizers
    actor: PolicyNetwork
    critics: Critics

    def first_temperature(self, key: jax.Array) -> Params:
        """Its logarithm, in the form of flax variables."""
        del key
        return {"params": {"log_alpha": jnp.log(jnp.float32(self.settings.initial_temperature))}}

    def update(self, state: AgentState, batch: Batch) -> Updated:
        """One gradient step of every network."""
        keys, critic_key, actor_key, target_key = jax.random.split(state.keys, 4)
        alpha = _alpha(state)
        targets = self._targets(state, batch, target_key)
        loss = self.critics.loss(batch, targets, critic_key)
        state, metrics = descend(state, CRITIC, self.optimizers[CRITIC], loss)

        draw_key, noise = jax.random.split(actor_key)

        def actor_loss(params: Params) -> tuple[jax.Array, Metrics]:
            losses, log_probs = self._actor_losses(params, state, batch, alpha, draw_key, noise)
            return losses.mean(), {"entropy": -log_probs.mean()}

        state, more = descend(state, ACTOR, self.optimizers[ACTOR], actor_loss)
        metrics |= more
        if self.settings.learn_temperature:
            state, more = self._learn_temperature(state, more[f"{ACTOR}/entropy"])
            metrics |= more
        coefficient = self.settings.target_smoothing_coefficient
        state = move_target(state, CRITIC, self.optimizers[CRITIC], coefficient)
        return state.replace(keys=keys), metrics, jnp.zeros_like(targets)

    def _learn_temperature(
        self, state: AgentState, entropy: jax.Array
    ) -> tuple[AgentState, Metrics]:
        asked = self.settings.target_entropy
        target = -float(self.actor.action_size) if asked is None else asked
        gap = jax.lax.stop_gradient(entropy) - target

        def loss(params: Params) -> tuple[jax.Array, Metrics]:
            alpha = jnp.exp(params["params"]["log_alpha"])
            return alpha * gap, {"alpha": alpha}  # equation 18

        return descend(state, TEMPERATURE, self.optimizers[TEMPERATURE], loss)

    def targets(self, state: AgentState, batch: Batch) -> jax.Array:
        """What the critics' values are pulled to, (B,), with actions that no update draws."""
        return self._targets(state, batch, state.keys)

    def _targets(self, state: AgentState, batch: Batch, key: jax.Array) -> jax.Array:
        actions, log_probs = self._drawn(state.networks[ACTOR].params, batch.s_t, key)
        slow = target_params(state, CRITIC, self.optimizers[CRITIC])
        q = self.critics.least(slow, batch.s_t, actions)
        entropy = -_alpha(state) * log_probs if self.settings.backup_entropy else 0.0
        return td_targets(batch, q + entropy)

    def _drawn(
        self,
        params: Params,
        observations: Array,
        key: jax.Array,
        noise: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Actions (B, A) of the actor, and the logs (B,) of their densities."""
        mean, log_std = answers(self.actor, params, observations, noise=noise)
        return jax.vmap(sample_squashed)(mean, log_std, jax.random.normal(key, mean.shape))

    def _actor_losses(
        self,
        params: Params,
        state: AgentState,
        batch: Batch,
        alpha: jax.Array,
        key: jax.Array,
        noise: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Losses (B,), equation 7, and the logs (B,) of the densities of the actions drawn."""
        actions, log_probs = self._drawn(params, batch.s_tm1, key, noise)
        q = self.critics.least(state.networks[CRITIC].params, batch.s_tm1, actions)
        return alpha * log_probs - q, log_probs

    def actor_losses(self, params: Params, state: AgentState, batch: Batch) -> jax.Array:
        """(B,), as `Quantities.losses` says."""
        return self._actor_losses(params, state, batch, _alpha(state), state.keys)[0]


def _alpha(state: AgentState) -> jax.Array:
    log_alpha: jax.Array = state.networks[TEMPERATURE].params["params"]["log_alpha"]
    return jnp.exp(log_alpha)
