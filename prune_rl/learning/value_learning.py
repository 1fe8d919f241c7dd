"""The part that value-based agents share: from an algorithm's rules to a learner.

Everything below is written for one seed. Order of an update, as in Dopamine 4.1.2: targets from the
parameters before the update, the gradient of the mean loss, one step of the pruned optimizer.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from prune_rl.learning.learner import Learner, Optimizers, Updated, build_learner
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.state import AgentState, Params
from prune_rl.learning.value_agent import Q
from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.q_network import QNetwork
from prune_rl.pruning.sparse_optimizer import SparseOptimizer
from prune_rl.specs import Batch, Inputs, ObservationSpec

_LEAST = 1e-10  # keeps priorities and probabilities off zero, as in Dopamine
Augment = Callable[[jax.Array, jax.Array], jax.Array]


class Rules(NamedTuple):
    """An algorithm on one seed's batch of B transitions.

    Noise keys draw the noise of noisy layers, once for a batch; None silences it.

    Attributes:
        network: see `QNetwork`.
        targets: (params, target_params, batch, noise key) -> what `losses` compares with, of
            leading axis B; nothing is differentiated through it.
        losses: (outputs (B, ...), batch, targets) -> (B,) losses.
        target_values: targets -> (B,), their expectation.
        augment: (observations, key) -> observations to learn from; None for those sampled.
    """

    network: QNetwork
    targets: Callable[[Params, Params, Batch, jax.Array | None], jax.Array]
    losses: Callable[[jax.Array, Batch, jax.Array], jax.Array]
    target_values: Callable[[jax.Array], jax.Array]
    augment: Augment | None = None

    @property
    def random(self) -> bool:
        """Whether an update draws random numbers."""
        return self.network.noisy or self.augment is not None


def chosen(outputs: jax.Array, actions: ArrayLike) -> jax.Array:
    """(B, num_actions, ...) outputs of the (B,) actions taken: (B, ...)."""
    return jax.vmap(lambda own, action: own[action])(outputs, jnp.asarray(actions))


def importance_weights(batch: Batch) -> jax.Array:
    """(B,) weights of the losses in one seed's mean: 1 where sampling was uniform.

    Else 1 / sqrt(p + 1e-10) over the batch's largest, with p the probability of having drawn the
    transition: the exponent stays at one half (Dopamine 4.1.2, jax/agents/rainbow/
    rainbow_agent.py; Schaul et al. 2016, section 3.4, would raise it to one).
    """
    if batch.probabilities is None:
        return jnp.ones(batch.r_t.shape, jnp.float32)
    weights = jax.lax.rsqrt(batch.probabilities + _LEAST)
    return weights / weights.max()


def priorities(losses: jax.Array) -> jax.Array:
    """(B,) new priorities of transitions, sqrt(loss + 1e-10) as in Dopamine's Rainbow."""
    return jnp.sqrt(losses + _LEAST)


def epsilon_greedy(q: jax.Array, key: jax.Array, epsilon: ArrayLike) -> jax.Array:
    """A uniform action with probability `epsilon`, else the first best of `q` (num_actions,)."""
    explore_key, action_key = jax.random.split(key)
    explore = jax.random.uniform(explore_key) < epsilon
    random_action = jax.random.randint(action_key, (), 0, q.shape[0])
    return jnp.where(explore, random_action, q.argmax()).astype(jnp.int32)


def batch_outputs(
    network: QNetwork, params: Params, observations: ArrayLike, noise_key: jax.Array | None = None
) -> jax.Array:
    """Network outputs (B, num_actions, ...) of observations (B, stack, H, W, C).

    All of them see the same noise.
    """
    rngs = None if noise_key is None else {"noise": noise_key}

    def output(observation: jax.Array) -> jax.Array:
        result: Any = network.apply(params, observation, rngs=rngs)
        return result

    return jax.vmap(output)(jnp.asarray(observations))


def _act(
    network: QNetwork,
    noisy: bool,
    params: Mapping[str, Params],
    key: jax.Array,
    observation: jax.Array,
    epsilon: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    key, action_key, *noise_key = jax.random.split(key, 3 if noisy else 2)
    rngs = {"noise": noise_key[0]} if noisy else None
    outputs: Any = network.apply(params[Q], observation, rngs=rngs)
    q = network.expectation(outputs)  # (num_actions,)
    return epsilon_greedy(q, action_key, epsilon), key


def _update(rules: Rules, optimizer: SparseOptimizer, state: AgentState, batch: Batch) -> Updated:
    network, q_network = rules.network, state.networks[Q]
    keys, noise, target_noise = state.keys, None, None
    if rules.random:
        keys, augment_key, noise_key = jax.random.split(state.keys, 3)
        if rules.augment is not None:
            batch = _augmented(rules.augment, batch, augment_key)
        if network.noisy:
            noise, target_noise = jax.random.split(noise_key)
    targets = rules.targets(q_network.params, q_network.target_params, batch, target_noise)
    weights = importance_weights(batch)

    def loss_of(params: Params) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        outputs = batch_outputs(network, params, batch.s_tm1, noise)
        losses = rules.losses(outputs, batch, targets)
        q = chosen(network.expectation(outputs), batch.a_tm1)
        return (weights * losses).mean(), (losses, q.mean())

    forward_params = optimizer.forward_params(q_network.params, q_network.opt_state)
    (loss, (losses, q_mean)), grads = jax.value_and_grad(loss_of, has_aux=True)(forward_params)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), "q_mean": q_mean}
    state = state.with_network(Q, q_network.apply_gradients(optimizer, grads))
    return state.replace(keys=keys), metrics, priorities(losses)


def _augmented(augment: Augment, batch: Batch, key: jax.Array) -> Batch:
    key_tm1, key_t = jax.random.split(key)
    s_tm1, s_t = augment(jnp.asarray(batch.s_tm1), key_tm1), augment(jnp.asarray(batch.s_t), key_t)
    return batch._replace(s_tm1=s_tm1, s_t=s_t)


def _quantities(rules: Rules, observation_spec: ObservationSpec) -> Quantities:
    network = rules.network
    observation = jnp.zeros(observation_spec.shape, observation_spec.dtype)

    def features(params: Params, inputs: Inputs) -> jax.Array:
        of_one: Any = partial(network.apply, params, method="features")
        return jax.vmap(of_one)(inputs.observations)

    def targets(state: AgentState, batch: Batch) -> jax.Array:
        own = state.networks[Q]
        return rules.targets(own.params, own.target_params, batch, None)

    def losses(params: Params, state: AgentState, batch: Batch) -> jax.Array:
        outputs = batch_outputs(network, params, batch.s_tm1)
        return rules.losses(outputs, batch, targets(state, batch))

    def q_values(params: Params, inputs: Inputs) -> jax.Array:
        return network.expectation(batch_outputs(network, params, inputs.observations))

    def activations(params: Params, inputs: Inputs) -> dict[str, jax.Array]:
        return hidden_activations(network, params, jnp.asarray(inputs.observations))

    return Quantities(
        init_params=lambda key: network.init(key, observation),
        inputs=Inputs(observation, jnp.zeros((), jnp.int32)),
        wiring=network.wiring,
        activations=activations,
        features=features,
        q_values=q_values,
        q_targets=lambda state, batch: rules.target_values(targets(state, batch)),
        losses=losses,
    )


def build_value_learner(
    rules: Rules,
    observation_spec: ObservationSpec,
    optimizers: Optimizers,
    strategy: Callable[..., str],
) -> Learner:
    """The learner of an algorithm on one network; arguments as of `build_learner`."""
    act_eval = partial(_act, rules.network, False)
    return build_learner(
        {Q: _quantities(rules, observation_spec)},
        optimizers,
        targets=[Q],
        update=partial(_update, rules, optimizers[Q]),
        act=partial(_act, rules.network, True) if rules.network.noisy else act_eval,
        act_eval=act_eval,
        strategy=strategy,
        acts_with=rules.network,
    )
