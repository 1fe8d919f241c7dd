"""Behavioural cloning: an actor that does what the data do.

With the mean squared error of Sparse-Reg's section 5.1, or as its released code does by default.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import gin
import jax
import jax.numpy as jnp

from prune_rl.learning.acting_rules import ActingRules
from prune_rl.learning.actor_critic import ACTOR, actor_quantities, answers, descend, log_probs
from prune_rl.learning.actor_critic_agent import ActorAgent, empty_inputs
from prune_rl.learning.learner import Learner, Metrics, Optimizers, Updated, build_learner
from prune_rl.learning.policies import CLIPPED, DETERMINISTIC, ActionBox, action_box
from prune_rl.learning.state import AgentState, Params
from prune_rl.networks.policy_network import PolicyNetwork
from prune_rl.settings import checked
from prune_rl.specs import ActionSpec, Batch, ObservationSpec


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class BCAgent(ActorAgent):
    """Hyper-parameters of behavioural cloning; see `ActorAgent`.

    Attributes:
        policy: 'deterministic' for the tanh of the last layer, whose squared error is a mean over
            batch and dimensions; 'gaussian' for the negative log-likelihood of a normal density
            that nothing squashes, as Sparse-Reg's released code has it, where its paper has the
            squared error.
    """

    policy: Literal["deterministic", "gaussian"] = "deterministic"

    @property
    def networks(self) -> Mapping[str, int | None]:
        """See `Agent`."""
        return {ACTOR: None}

    def learner(
        self, observation_spec: ObservationSpec, action_spec: ActionSpec, optimizers: Optimizers
    ) -> Learner:
        """See `Agent.learner`."""
        box = action_box(type(self).__name__, action_spec)
        is_gaussian = self.policy == "gaussian"
        actor = PolicyNetwork(
            self.actor_torso,
            action_size=len(box.half),
            spread="free" if is_gaussian else "none",
            log_std_range=(-5.0, 2.0),
            bounded=not is_gaussian,
        )
        own = _Rules(actor, box)
        acting = ActingRules(actor, CLIPPED if is_gaussian else DETERMINISTIC, box)
        inputs = empty_inputs(observation_spec, action_spec)
        return build_learner(
            {ACTOR: actor_quantities(actor, inputs, own.actor_losses)},
            optimizers,
            targets=[],
            update=partial(own.update, optimizers),
            act=acting.act,
            act_eval=acting.act_eval,
            strategy=self._strategy,
            acts_with=acting,
        )


class _Rules(NamedTuple):
    """The algorithm on one seed."""

    actor: PolicyNetwork
    box: ActionBox

    def update(self, optimizers: Optimizers, state: AgentState, batch: Batch) -> Updated:
        """One gradient step."""
        keys, noise = jax.random.split(state.keys)

        def loss(params: Params) -> tuple[jax.Array, Metrics]:
            return self._losses(params, batch, noise).mean(), {}

        state, metrics = descend(state, ACTOR, optimizers[ACTOR], loss)
        return state.replace(keys=keys), metrics, jnp.zeros(len(batch.r_t))

    def actor_losses(self, params: Params, state: AgentState, batch: Batch) -> jax.Array:
        """(B,), as `Quantities.losses` says."""
        del state
        return self._losses(params, batch)

    def _losses(self, params: Params, batch: Batch, noise: jax.Array | None = None) -> jax.Array:
        actions = self.box.inside(jnp.asarray(batch.a_tm1))
        if self.actor.spread != "none":
            return -log_probs(self.actor, params, batch.s_tm1, actions, noise)
        mean, _ = answers(self.actor, params, batch.s_tm1, noise=noise)
        losses: jax.Array = jnp.square(mean - actions).mean(axis=1)
        return losses
