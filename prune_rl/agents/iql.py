"""IQL: values of the data's better actions, without asking for any other action.

Kostrikov et al. 2022, "Offline reinforcement learning with implicit Q-learning" (arXiv
2110.06169), in the order of its released code: values, then the actor and the critics by the values
just updated, then the critics' targets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import gin
import jax
import jax.numpy as jnp

from prune_rl.learning.acting_rules import ActingRules
from prune_rl.learning.actor_critic import (
    ACTOR,
    CRITIC,
    VALUE,
    actor_quantities,
    answers,
    descend,
    log_probs,
    move_target,
    target_params,
    td_targets,
)
from prune_rl.learning.actor_critic_agent import ActorCriticAgent, Torso, empty_inputs
from prune_rl.learning.critics import Critics, values_quantities
from prune_rl.learning.learner import Learner, Metrics, Optimizers, Updated, build_learner
from prune_rl.learning.policies import CLIPPED, action_box, exponential_weights
from prune_rl.learning.state import AgentState, Params
from prune_rl.networks.critic_network import CriticNetwork
from prune_rl.networks.policy_network import PolicyNetwork
from prune_rl.networks.torsos.mlp import MLPTorso
from prune_rl.settings import NotNegative, Positive, Range, checked
from prune_rl.specs import ActionSpec, Array, Batch, ObservationSpec

Expectile = Annotated[float, Range(above=0, below=1), "a number in (0, 1), as 0.7"]


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class IQLAgent(ActorCriticAgent):
    """Hyper-parameters of IQL; see `ActorCriticAgent`.

    The actor is a normal density that nothing squashes, with one deviation for each dimension,
    clipped as in the released code; what it draws is clipped to the box.

    Attributes:
        value_torso: as `actor_torso`, of the values of states.
        expectile: tau of equation 5, of the actions' values that those of states are.
        advantage_scale: beta of equation 7, what advantages are multiplied by.
        largest_weight: of a transition in the actor's loss.
        bounded_mean: whether the density's mean is the tanh of the last layer, as in the released
            code; Sparse-Reg's, and the one that it is made of, have none.
    """

    value_torso: Torso = field(default_factory=MLPTorso)
    expectile: Expectile = 0.7
    advantage_scale: NotNegative = 3.0
    largest_weight: Positive = 100.0
    bounded_mean: bool = True

    @property
    def networks(self) -> Mapping[str, int | None]:
        """See `Agent`."""
        return {ACTOR: None, CRITIC: self.num_critics, VALUE: None}

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
            log_std_range=(-5.0, 2.0),
            bounded=self.bounded_mean,
        )
        critics = Critics(CriticNetwork(self.critic_torso), box)
        value = CriticNetwork(self.value_torso)
        own, acting = (
            _Rules(self, optimizers, actor, critics, value),
            ActingRules(actor, CLIPPED, box),
        )
        return build_learner(
            {
                ACTOR: actor_quantities(actor, inputs, own.actor_losses),
                CRITIC: critics.quantities(inputs, own.targets),
                VALUE: values_quantities(
                    value, lambda own: (jnp.asarray(own.observations),), inputs, own.value_losses
                ),
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

    settings: IQLAgent
    optimizers: Optimizers
    actor: PolicyNetwork
    critics: Critics
    value: CriticNetwork

    def update(self, state: AgentState, batch: Batch) -> Updated:
        """One gradient step of every network."""
        keys, value_noise, actor_noise, critic_noise = jax.random.split(state.keys, 4)
        q = self._q(state, batch)

        def value_loss(params: Params) -> tuple[jax.Array, Metrics]:
            return self._value_losses(params, batch, q, value_noise).mean(), {}

        state, metrics = descend(state, VALUE, self.optimizers[VALUE], value_loss)
        weights, targets = self._weights(state, batch, q), self.targets(state, batch)

        def actor_loss(params: Params) -> tuple[jax.Array, Metrics]:
            return self._actor_losses(params, batch, weights, actor_noise).mean(), {}

        state, of_actor = descend(state, ACTOR, self.optimizers[ACTOR], actor_loss)
        loss = self.critics.loss(batch, targets, critic_noise)
        state, of_critics = descend(state, CRITIC, self.optimizers[CRITIC], loss)
        coefficient = self.settings.target_smoothing_coefficient
        state = move_target(state, CRITIC, self.optimizers[CRITIC], coefficient)
        metrics |= of_actor | of_critics
        return state.replace(keys=keys), metrics, jnp.zeros_like(targets)

    def _q(self, state: AgentState, batch: Batch) -> jax.Array:
        """The least value (B,) of the actions taken that the critics' targets give."""
        slow = target_params(state, CRITIC, self.optimizers[CRITIC])
        return self.critics.least(slow, batch.s_tm1, self.critics.taken(batch))

    def _v(self, params: Params, observations: Array, noise: jax.Array | None = None) -> jax.Array:
        values: jax.Array = answers(self.value, params, observations, noise=noise)
        return values

    def targets(self, state: AgentState, batch: Batch) -> jax.Array:
        """What the critics' values are pulled to, (B,): equation 6."""
        return td_targets(batch, self._v(state.networks[VALUE].params, batch.s_t))

    def value_losses(self, params: Params, state: AgentState, batch: Batch) -> jax.Array:
        """(B,), as `Quantities.losses` says."""
        return self._value_losses(params, batch, self._q(state, batch))

    def _value_losses(
        self, params: Params, batch: Batch, q: jax.Array, noise: jax.Array | None = None
    ) -> jax.Array:
        """Squares, of unequal weight on either side: equation 5."""
        gaps = q - self._v(params, batch.s_tm1, noise)
        tau = self.settings.expectile
        return jnp.where(gaps < 0, 1.0 - tau, tau) * jnp.square(gaps)

    def _weights(self, state: AgentState, batch: Batch, q: jax.Array) -> jax.Array:
        advantages = q - self._v(state.networks[VALUE].params, batch.s_tm1)
        scale, largest = self.settings.advantage_scale, self.settings.largest_weight
        return exponential_weights(scale * advantages, largest)

    def actor_losses(self, params: Params, state: AgentState, batch: Batch) -> jax.Array:
        """(B,), as `Quantities.losses` says."""
        weights = self._weights(state, batch, self._q(state, batch))
        return self._actor_losses(params, batch, weights)

    def _actor_losses(
        self, params: Params, batch: Batch, weights: jax.Array, noise: jax.Array | None = None
    ) -> jax.Array:
        """Equation 7."""
        actions = self.critics.taken(batch)
        return -weights * log_probs(self.actor, params, batch.s_tm1, actions, noise)
