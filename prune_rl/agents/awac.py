"""AWAC: an actor that copies the data's actions the more, the better they are than its own.

Nair et al. 2020, "AWAC: accelerating online reinforcement learning with offline datasets" (arXiv
2006.09359): critics, then the actor by the critics just updated, then their targets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import gin
import jax
import jax.numpy as jnp

from prune_rl.learning.acting_rules import ActingRules
from prune_rl.learning.actor_critic import (
    ACTOR,
    CRITIC,
    actor_quantities,
    descend,
    drawn,
    log_probs,
    move_target,
    target_params,
    td_targets,
)
from prune_rl.learning.actor_critic_agent import ActorCriticAgent, empty_inputs
from prune_rl.learning.critics import Critics
from prune_rl.learning.learner import Learner, Metrics, Optimizers, Updated, build_learner
from prune_rl.learning.policies import CLIPPED, action_box, exponential_weights
from prune_rl.learning.state import AgentState, Params
from prune_rl.networks.critic_network import CriticNetwork
from prune_rl.networks.policy_network import PolicyNetwork
from prune_rl.settings import Positive, Range, checked
from prune_rl.specs import ActionSpec, Batch, ObservationSpec


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class AWACAgent(ActorCriticAgent):
    """Hyper-parameters of AWAC; see `ActorCriticAgent`.

    The actor is a normal density that nothing squashes, with one deviation for each dimension;
    what it draws is clipped to the box.

    Attributes:
        advantage_temperature: lambda of equation 13, what advantages are divided by.
        largest_weight: of a transition in the actor's loss (CORL; the paper has no bound).
        min_log_std: what the logarithms of its deviations are clipped to from below, from above
            always to 2 (CORL); -5 in Sparse-Reg's released code.
    """

    advantage_temperature: Positive = 1.0 / 3.0
    largest_weight: Positive = 100.0
    min_log_std: Annotated[float, Range(least=-100, below=2)] = -20.0

    @property
    def networks(self) -> Mapping[str, int | None]:
        """See `Agent`."""
        return {ACTOR: None, CRITIC: self.num_critics}

    def learner(
        self, observation_spec: ObservationSpec, action_spec: ActionSpec, optimizers: Optimizers
    ) -> Learner:
        """See `Agent.learner`."""
        box = action_box(type(self).__name__, action_spec)
        inputs = empty_inputs(observation_spec, action_spec)
        actor = PolicyNetwork(
            self.actor_torso,
            action_size=len(box.half),
            spread="free",
            log_std_range=(self.min_log_std, 2.0),
        )
        critics = Critics(CriticNetwork(self.critic_torso), box)
        own, acting = _Rules(self, optimizers, actor, critics), ActingRules(actor, CLIPPED, box)
        return build_learner(
            {
                ACTOR: actor_quantities(actor, inputs, own.actor_losses),
                CRITIC: critics.quantities(inputs, own.targets),
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

    settings: AWACAgent
    optimizers: Optimizers
    actor: PolicyNetwork
    critics: Critics

    def update(self, state: AgentState, batch: Batch) -> Updated:
        """One gradient step of every network."""
        keys, critic_key, actor_key, target_key = jax.random.split(state.keys, 4)
        targets = self._targets(state, batch, target_key)
        loss = self.critics.loss(batch, targets, critic_key)
        state, metrics = descend(state, CRITIC, self.optimizers[CRITIC], loss)
        draw_key, noise = jax.random.split(actor_key)
        weights = self._weights(state, batch, draw_key)

        def actor_loss(params: Params) -> tuple[jax.Array, Metrics]:
            return self._actor_losses(params, batch, weights, noise).mean(), {}

        state, more = descend(state, ACTOR, self.optimizers[ACTOR], actor_loss)
        coefficient = self.settings.target_smoothing_coefficient
        state = move_target(state, CRITIC, self.optimizers[CRITIC], coefficient)
        return state.replace(keys=keys), metrics | more, jnp.zeros_like(targets)

    def targets(self, state: AgentState, batch: Batch) -> jax.Array:
        """What the critics' values are pulled to, (B,), with actions that no update draws."""
        return self._targets(state, batch, state.keys)

    def _targets(self, state: AgentState, batch: Batch, key: jax.Array) -> jax.Array:
        actions = drawn(self.actor, CLIPPED, state.networks[ACTOR].params, batch.s_t, key)
        slow = target_params(state, CRITIC, self.optimizers[CRITIC])
        return td_targets(batch, self.critics.least(slow, batch.s_t, actions))

    def _weights(self, state: AgentState, batch: Batch, key: jax.Array) -> jax.Array:
        """Of each transition (B,): its action's value above that of one that the actor draws."""
        params = state.networks[CRITIC].params
        own = drawn(self.actor, CLIPPED, state.networks[ACTOR].params, batch.s_tm1, key)
        q = self.critics.least(params, batch.s_tm1, self.critics.taken(batch))
        advantages = q - self.critics.least(params, batch.s_tm1, own)
        scale, largest = 1.0 / self.settings.advantage_temperature, self.settings.largest_weight
        return exponential_weights(scale * advantages, largest)

    def actor_losses(self, params: Params, state: AgentState, batch: Batch) -> jax.Array:
        """(B,), as `Quantities.losses` says."""
        return self._actor_losses(params, batch, self._weights(state, batch, state.keys))

    def _actor_losses(
        self, params: Params, batch: Batch, weights: jax.Array, noise: jax.Array | None = None
    ) -> jax.Array:
        actions = self.critics.taken(batch)
        return -weights * log_probs(self.actor, params, batch.s_tm1, actions, noise)
