"""An ensemble of critics Q(s, a) on batches of one seed; actions are those in [-1, 1]."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from prune_rl.learning.actor_critic import Loss, answers, member_answers
from prune_rl.learning.policies import ActionBox
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.state import AgentState, Params
from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.critic_network import CriticNetwork
from prune_rl.specs import Array, Batch, Inputs


class Critics(NamedTuple):
    """Members of one form, whose axis is first on parameters and answers.

    Attributes:
        network: of one member.
        box: of the environment's actions, in which batches hold them.
        weight: of the squared distance from a target, in the loss.
    """

    network: CriticNetwork
    box: ActionBox
    weight: float = 1.0

    def taken(self, batch: Batch) -> jax.Array:
        """The batch's own actions (B, A)."""
        return self.box.inside(jnp.asarray(batch.a_tm1))

    def least(self, params: Params, observations: Array, actions: Array) -> jax.Array:
        """The least value (B,) that any member gives."""
        return member_answers(self.network, params, observations, actions).min(axis=0)

    def first(self, params: Params, observations: Array, actions: Array) -> jax.Array:
        """What the first member gives, (B,)."""
        own = jax.tree.map(lambda leaf: leaf[0], params)
        values: jax.Array = answers(self.network, own, observations, actions)
        return values

    def loss(self, batch: Batch, targets: jax.Array, noise: jax.Array) -> Loss:
        """The squared distance of the actions' values from `targets` (B,), see `descend`.

        It is a mean over the batch and a sum over members: one critic's gradient is its own.
        """

        def loss(params: Params) -> Any:
            q = member_answers(self.network, params, batch.s_tm1, self.taken(batch), noise=noise)
            distances = self.weight * jnp.square(q - targets)  # (members, B)
            return distances.mean(axis=1).sum(), {"q_mean": q.mean()}

        return loss

    def quantities(
        self, inputs: Inputs, targets: Callable[[AgentState, Batch], jax.Array]
    ) -> Quantities:
        """What may be asked of one member, whose values are those of the actions taken, (B, 1).

        Args:
            inputs: see `Quantities`.
            targets: its `q_targets`.
        """

        def losses(params: Params, state: AgentState, batch: Batch) -> jax.Array:
            q = answers(self.network, params, batch.s_tm1, self.taken(batch))
            distances: jax.Array = self.weight * jnp.square(q - targets(state, batch))
            return distances

        return values_quantities(self.network, self._read, inputs, losses, targets)

    def _read(self, own: Inputs) -> tuple[jax.Array, ...]:
        return jnp.asarray(own.observations), self.box.inside(jnp.asarray(own.actions))


def values_quantities(
    network: CriticNetwork,
    read: Callable[[Inputs], tuple[jax.Array, ...]],
    inputs: Inputs,
    losses: Callable[[Params, AgentState, Batch], jax.Array],
    targets: Callable[[AgentState, Batch], jax.Array] | None = None,
) -> Quantities:
    """What may be asked of a network of values, which reads so much of its inputs."""

    def features(params: Params, own: Inputs) -> jax.Array:
        of_one: Any = partial(network.apply, params, method="features")
        return jax.vmap(of_one)(*read(own))

    return Quantities(
        init_params=lambda key: network.init(key, *read(inputs)),
        inputs=inputs,
        wiring=network.wiring,
        activations=lambda params, own: hidden_activations(network, params, *read(own)),
        features=features,
        q_values=lambda params, own: answers(network, params, *read(own))[:, None],
        q_targets=targets,
        losses=losses,
    )
