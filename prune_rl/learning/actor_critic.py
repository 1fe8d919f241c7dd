"""What agents with an actor share: networks on a batch, their steps, their slow targets.

Everything is written for one seed. Networks of several members, as twin critics, have the members'
axis first, on parameters and on what they answer.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from prune_rl.learning.learner import Metrics
from prune_rl.learning.policies import Choice, gaussian_log_prob
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.state import AgentState, Params
from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.policy_network import PolicyNetwork
from prune_rl.pruning.sparse_optimizer import SparseOptimizer
from prune_rl.specs import Array, Batch, Inputs

ACTOR, CRITIC, VALUE, TEMPERATURE = "actor", "critic", "value", "temperature"
Loss = Callable[[Params], tuple[jax.Array, Metrics]]


def answers(
    network: nn.Module, params: Params, *inputs: Array, noise: jax.Array | None = None
) -> Any:
    """What a network answers of B inputs each, arrays (B, ...).

    Args:
        network: of one input each.
        params: its variables, without a members' axis.
        inputs: (B, ...) each.
        noise: key of what silences units while learning; None for the whole network.
    """
    if noise is None:
        return jax.vmap(partial(network.apply, params))(*inputs)

    def noisy(key: jax.Array, *own: Array) -> Any:
        return network.apply(params, *own, rngs={"dropout": key})

    return jax.vmap(noisy)(jax.random.split(noise, len(inputs[0])), *inputs)


def member_answers(
    network: nn.Module, params: Params, *inputs: Array, noise: jax.Array | None = None
) -> jax.Array:
    """The same of M members, (M, B); each silences units of its own."""
    if noise is None:
        return jax.vmap(lambda own: answers(network, own, *inputs))(params)
    keys = jax.random.split(noise, len(jax.tree.leaves(params)[0]))
    own_answers = jax.vmap(lambda own, key: answers(network, own, *inputs, noise=key))
    values: jax.Array = own_answers(params, keys)
    return values


def descend(
    state: AgentState, name: str, optimizer: SparseOptimizer, loss: Loss
) -> tuple[AgentState, Metrics]:
    """One step of a network down its loss.

    Args:
        state: of one seed.
        name: of the network.
        optimizer: its own.
        loss: of its parameters, with metrics beside it.

    Returns:
        The state after it, and the metrics with loss and gradient norm, as 'critic/loss'; of the
        dense network at a step that makes masks by SNIP.
    """
    network = state.networks[name]
    params = optimizer.forward_params(network.params, network.opt_state)
    (value, more), grads = jax.value_and_grad(loss, has_aux=True)(params)
    metrics = {"loss": value, "grad_norm": optax.tree.norm(grads)} | more
    state = state.with_network(name, network.apply_gradients(optimizer, grads))
    return state, {f"{name}/{metric}": own for metric, own in metrics.items()}


def move_target(
    state: AgentState, name: str, optimizer: SparseOptimizer, coefficient: float
) -> AgentState:
    """Moves a network's target that part of the way to it (Lillicrap et al. 2016).

    Where pruned weights keep a value, the target follows it: what is stored is dense, and what is
    read (`target_params`) has the network's masks, as in Sparse-Reg's section 4.
    """
    network = state.networks[name]
    params, dense = network.params, optimizer.dense_params
    if dense is not None:
        params = dense(params, network.opt_state)
    moved = optax.incremental_update(params, network.target_params, coefficient)
    return prune_target(
        state.with_network(name, network.replace(target_params=moved)), name, optimizer
    )


def prune_target(state: AgentState, name: str, optimizer: SparseOptimizer) -> AgentState:
    """Takes from a network's target what the network has lost for good, at this step or before."""
    if optimizer.dense_params is not None:
        return state
    network = state.networks[name]
    target = optimizer.apply_masks(network.target_params, network.opt_state)
    return state.with_network(name, network.replace(target_params=target))


def target_params(state: AgentState, name: str, optimizer: SparseOptimizer) -> Params:
    """The target of a network as losses read it: zero wherever the network is pruned."""
    network = state.networks[name]
    if optimizer.dense_params is None:
        return network.target_params
    return optimizer.apply_masks(network.target_params, network.opt_state)


def log_probs(
    network: PolicyNetwork,
    params: Params,
    observations: Array,
    actions: Array,
    noise: jax.Array | None = None,
) -> jax.Array:
    """The logs (B,) of an actor's normal densities at actions (B, A); `noise` as of `answers`."""
    mean, log_std = answers(network, params, observations, noise=noise)
    return jax.vmap(gaussian_log_prob)(mean, log_std, jnp.asarray(actions))


def drawn(
    network: PolicyNetwork, choice: Choice, params: Params, observations: Array, key: jax.Array
) -> jax.Array:
    """Actions (B, A) that an actor draws."""
    mean, log_std = answers(network, params, observations)
    return jax.vmap(choice.drawn)(mean, log_std, jax.random.normal(key, mean.shape))


def td_targets(batch: Batch, values: jax.Array) -> jax.Array:
    """r + discount·v of the states (B,) that follow; no gradient flows through them."""
    return jax.lax.stop_gradient(jnp.asarray(batch.r_t) + batch.discount_t * values)


def actor_quantities(
    network: PolicyNetwork,
    inputs: Inputs,
    losses: Callable[[Params, AgentState, Batch], jax.Array],
) -> Quantities:
    """What may be asked of an actor; `losses` as there."""

    def features(params: Params, own: Inputs) -> jax.Array:
        of_one: Any = partial(network.apply, params, method="features")
        return jax.vmap(of_one)(own.observations)

    def activations(params: Params, own: Inputs) -> dict[str, jax.Array]:
        return hidden_activations(network, params, jnp.asarray(own.observations))

    return Quantities(
        init_params=lambda key: network.init(key, jnp.asarray(inputs.observations)),
        inputs=inputs,
        wiring=network.wiring,
        activations=activations,
        features=features,
        losses=losses,
    )
