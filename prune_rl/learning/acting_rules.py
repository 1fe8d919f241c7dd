"""How an agent with an actor acts; functions of one seed, as `learner.build_learner` takes them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from prune_rl.learning.actor_critic import ACTOR
from prune_rl.learning.policies import ActionBox, Choice
from prune_rl.learning.state import Params
from prune_rl.networks.policy_network import PolicyNetwork


class ActingRules(NamedTuple):
    """An actor, and what becomes of its answers.

    Attributes:
        network: of the actor.
        choice: how it becomes an action in [-1, 1].
        box: of the environment's actions.
    """

    network: PolicyNetwork
    choice: Choice
    box: ActionBox

    def act(
        self, params: Mapping[str, Params], key: jax.Array, observation: jax.Array, epsilon: float
    ) -> tuple[jax.Array, jax.Array]:
        """An action of the environment, drawn; uniform with probability `epsilon`."""
        key, action_key, uniform_key, choice_key = jax.random.split(key, 4)
        mean, log_std = self._answer(params, observation)
        action = self.choice.drawn(mean, log_std, jax.random.normal(action_key, mean.shape))
        uniform = jax.random.uniform(uniform_key, action.shape, minval=-1.0, maxval=1.0)
        explores = jax.random.uniform(choice_key) < epsilon
        return self.box.outside(jnp.where(explores, uniform, action)), key

    def act_eval(
        self, params: Mapping[str, Params], key: jax.Array, observation: jax.Array, epsilon: float
    ) -> tuple[jax.Array, jax.Array]:
        """The action of the environment in the middle of the distribution."""
        del epsilon
        mean, _ = self._answer(params, observation)
        return self.box.outside(self.choice.middle(mean)), key

    def _answer(
        self, params: Mapping[str, Params], observation: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        answer: Any = self.network.apply(params[ACTOR], observation)
        mean, log_std = answer
        return mean, log_std
