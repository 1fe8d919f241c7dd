"""TD3+BC: twin delayed deterministic policy gradients that stay near the data.

Fujimoto & Gu 2021, "A minimalist approach to offline reinforcement learning" (arXiv 2106.06860),
on TD3 (Fujimoto et al. 2018). Critics learn at every gradient step; the actor and all targets at
one in `policy_delay`, by the critics just updated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import gin
import jax
import jax.numpy as jnp

from prune_rl.learning.acting_rules import ActingRules
from prune_rl.learning.actor_critic import (
    ACTOR,
    CRITIC,
    Loss,
    actor_quantities,
    answers,
    descend,
    move_target,
    prune_target,
    target_params,
    td_targets,
)
from prune_rl.learning.actor_critic_agent import ActorCriticAgent, empty_inputs
from prune_rl.learning.critics import Critics
from prune_rl.learning.learner import (
    METRICS_PERIOD,
    Learner,
    Metrics,
    Optimizers,
    Updated,
    build_learner,
)
from prune_rl.learning.policies import DETERMINISTIC, action_box
from prune_rl.learning.state import AgentState, Params
from prune_rl.networks.critic_network import CriticNetwork
from prune_rl.networks.policy_network import PolicyNetwork
from prune_rl.settings import Holds, NotNegative, checked
from prune_rl.specs import ActionSpec, Array, Batch, ObservationSpec

Delay = Annotated[
    int, Holds(lambda own: own >= 1 and METRICS_PERIOD % own == 0, "1, 2, 5 or 10 gradient steps")
]


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class TD3BCAgent(ActorCriticAgent):
    """Hyper-parameters of TD3+BC; see `ActorCriticAgent`.

    Attributes:
        alpha: of the values in the actor's loss, which are divided by the mean of their absolute
            values in the batch, beside the squared error of its actions (equations 3 to 5).
        policy_noise: standard deviation of what is added to the target actor's actions, where
            actions are in [-1, 1].
        noise_clip: that noise at most.
        policy_delay: gradient steps for one of the actor, whose first is the run's first, where
            TD3's is the last of so many. So its metrics are there at the steps that are looked at.
        score_leak: whether the actor's gradient of the first critic, which is to be kept from the
            critics, counts in their scores where masks are made of these (SNIP), as in Sparse-Reg's
            released code, which does not clear it between the two. With `pool_members` it leaves
            the second critic nothing.
    """

    alpha: NotNegative = 2.5
    policy_noise: NotNegative = 0.2
    noise_clip: NotNegative = 0.5
    policy_delay: Delay = 2
    score_leak: bool = False

    @property
    def networks(self) -> Mapping[str, int | None]:
        """See `Agent`."""
        return {ACTOR: None, CRITIC: self.num_critics}

    @property
    def periods(self) -> Mapping[str, int]:
        """See `Agent`."""
        return {ACTOR: self.policy_delay}

    def learner(
        self, observation_spec: ObservationSpec, action_spec: ActionSpec, optimizers: Optimizers
    ) -> Learner:
        """See `Agent.learner`."""
        box = action_box(type(self).__name__, action_spec)
        inputs = empty_inputs(observation_spec, action_spec)
        actor = PolicyNetwork(
            self.actor_torso, action_size=len(box.half), spread="none", bounded=True
        )
        critics = Critics(CriticNetwork(self.critic_torso), box)
        own, acting = (
            _Rules(self, optimizers, actor, critics),
            ActingRules(actor, DETERMINISTIC, box),
        )
        return build_learner(
            {
                ACTOR: actor_quantities(actor, inputs, own.actor_losses),
                CRITIC: critics.quantities(inputs, own.targets),
            },
            optimizers,
            targets=[ACTOR, CRITIC],
            update=own.update,
            act=acting.act,
            act_eval=acting.act_eval,
            strategy=self._strategy,
            acts_with=acting,
        )


class _Rules(NamedTuple):
    """The algorithm on one seed; actions are those in [-1, 1]."""

    settings: TD3BCAgent
    optimizers: Optimizers
    actor: PolicyNetwork
    critics: Critics

    def update(self, state: AgentState, batch: Batch) -> Updated:
        """One gradient step of the critics, and of the actor if it is due."""
        keys, critic_key, actor_key, target_key = jax.random.split(state.keys, 4)
        targets = self._targets(state, batch, target_key)
        loss = self.critics.loss(batch, targets, critic_key)
        if self.settings.score_leak:
            loss = self._leaking(loss, state, batch)
        state, metrics = descend(state, CRITIC, self.optimizers[CRITIC], loss)
        state, more = self._delayed(state, batch, actor_key)
        return state.replace(keys=keys), metrics | more, jnp.zeros_like(targets)

    def _leaking(self, loss: Loss, state: AgentState, batch: Batch) -> Loss:
        """The critics' loss, and where their masks are made the actor's, of their parameters."""
        actor, critic = state.networks[ACTOR], state.networks[CRITIC]
        scored = self.optimizers[CRITIC].scores_next(critic.opt_state)

        def leaking(params: Params) -> tuple[jax.Array, Metrics]:
            value, metrics = loss(params)
            judged = state.with_network(CRITIC, critic.replace(params=params))

            def leak() -> jax.Array:
                return self._actor_losses(actor.params, judged, batch).mean()

            return value + jax.lax.cond(scored, leak, lambda: jnp.zeros_like(value)), metrics

        return leaking

    def _delayed(
        self, state: AgentState, batch: Batch, key: jax.Array
    ) -> tuple[AgentState, Metrics]:
        """The actor's step and the targets' move, or none of them and metrics of zero."""

        def loss(params: Params) -> tuple[jax.Array, Metrics]:
            return self._actor_losses(params, state, batch, key).mean(), {}

        def step() -> tuple[Any, Any, Metrics]:
            after, metrics = descend(state, ACTOR, self.optimizers[ACTOR], loss)
            for name in (ACTOR, CRITIC):
                coefficient = self.settings.target_smoothing_coefficient
                after = move_target(after, name, self.optimizers[name], coefficient)
            return after.networks[ACTOR], after.networks[CRITIC].target_params, metrics

        def wait() -> tuple[Any, Any, Metrics]:
            metrics = jax.tree.map(jnp.zeros_like, jax.eval_shape(step)[-1])
            after = prune_target(state, CRITIC, self.optimizers[CRITIC])
            return after.networks[ACTOR], after.networks[CRITIC].target_params, metrics

        delay = self.settings.policy_delay
        done = step() if delay == 1 else jax.lax.cond(state.step % delay == 0, step, wait)
        actor, slow, metrics = done
        critic = state.networks[CRITIC].replace(target_params=slow)
        return state.with_network(ACTOR, actor).with_network(CRITIC, critic), metrics

    def targets(self, state: AgentState, batch: Batch) -> jax.Array:
        """What the critics' values are pulled to, (B,), with noise that no update draws."""
        return self._targets(state, batch, state.keys)

    def _targets(self, state: AgentState, batch: Batch, key: jax.Array) -> jax.Array:
        actor, critics = (
            target_params(state, name, self.optimizers[name]) for name in (ACTOR, CRITIC)
        )
        actions = self._actions(actor, batch.s_t)
        noise = self.settings.policy_noise * jax.random.normal(key, actions.shape)
        clip = self.settings.noise_clip
        noisy = jnp.clip(actions + jnp.clip(noise, -clip, clip), -1.0, 1.0)
        return td_targets(batch, self.critics.least(critics, batch.s_t, noisy))

    def _actions(
        self, params: Params, observations: Array, noise: jax.Array | None = None
    ) -> jax.Array:
        actions: jax.Array = answers(self.actor, params, observations, noise=noise)[0]
        return actions

    def actor_losses(self, params: Params, state: AgentState, batch: Batch) -> jax.Array:
        """(B,), as `Quantities.losses` says; values are divided by their mean in the batch."""
        return self._actor_losses(params, state, batch)

    def _actor_losses(
        self, params: Params, state: AgentState, batch: Batch, noise: jax.Array | None = None
    ) -> jax.Array:
        actions = self._actions(params, batch.s_tm1, noise)
        q = self.critics.first(state.networks[CRITIC].params, batch.s_tm1, actions)
        scale = self.settings.alpha / jax.lax.stop_gradient(jnp.abs(q).mean())
        return jnp.square(actions - self.critics.taken(batch)).mean(axis=1) - scale * q
