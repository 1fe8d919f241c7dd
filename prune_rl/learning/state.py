"""What an agent holds: named networks, a clock and keys."""

from typing import Any

import jax
import optax
from flax import struct

from prune_rl.learning.seed_axis import Separate
from prune_rl.pruning.sparse_optimizer import SparseOptimizer, SparseState

Params = Any  # flax variables {'params': ...} of one network, or a tree of their axes


class Network(struct.PyTreeNode):
    """One network of an agent.

    A network with members, as an ensemble of critics, has their axis first on every array of one
    seed; only the optimizer's `count` is shared.

    Attributes:
        params: pruned weights exactly zero.
        target_params: the same as they were at the last sync; None without a target network.
        opt_state: the pruner's state, with the optimizer's inside.
    """

    params: Params
    target_params: Params | None
    opt_state: SparseState

    def apply_gradients(self, optimizer: SparseOptimizer, grads: Params) -> "Network":
        """The network after one step of its pruned optimizer, from gradients like `params`."""
        updates, opt_state = optimizer.update(grads, self.opt_state, self.params)
        return self.replace(params=optax.apply_updates(self.params, updates), opt_state=opt_state)


class AgentState(struct.PyTreeNode):
    """Everything an agent learns or draws from.

    Stacked seeds add a leading axis S to every array but `step` and the pruners' `count`.

    Attributes:
        networks: by name; JAX sorts them, their places are those in `Learner.quantities`.
        step: int32 scalar, gradient steps made; all seeds share it.
        keys: (2,) uint32 of one seed, the stream of exploration, noise and augmentation.
        diverged_at: int32 scalar of one seed, 0 while all is finite; else the first gradient step,
            counted from 1, whose loss or gradient norm was not finite, or that found such online
            weights (one in a hundred looks). The seed's networks stay what they were before it.
    """

    networks: dict[str, Network]
    step: jax.Array
    keys: jax.Array
    diverged_at: jax.Array

    @property
    def params(self) -> dict[str, Params]:
        """The online parameters of every network, by name."""
        return {name: network.params for name, network in self.networks.items()}

    def with_network(self, name: str, network: Network) -> "AgentState":
        """The state with another network of that name."""
        return self.replace(networks=self.networks | {name: network})


AgentStates = AgentState | Separate  # of S seeds, stacked or each on its own
