"""The part that value-based agents share: from an algorithm's rules to compiled functions.

Everything below is written for one seed; `build_learner` maps it over the seed axis. Order of an
update, as in Dopamine 4.1.2: targets from the parameters before the update, the gradient of the
mean loss, one step of the pruned optimizer.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from prune_rl.learning.learner import AgentState, Learner
from prune_rl.learning.optimizers import create_optimizer
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import map_seeds
from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.q_network import QNetwork
from prune_rl.pruning.packing import apply_masks
from prune_rl.pruning.pruner import Pruner
from prune_rl.pruning.sparse_optimizer import SparseOptimizer
from prune_rl.specs import Batch

_LEAST = 1e-10  # keeps priorities and probabilities off zero, as in Dopamine


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
    targets: Callable[[Any, Any, Batch, jax.Array | None], jax.Array]
    losses: Callable[[jax.Array, Batch, jax.Array], jax.Array]
    target_values: Callable[[jax.Array], jax.Array]
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None

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
    network: QNetwork, params: Any, observations: ArrayLike, noise_key: jax.Array | None = None
) -> jax.Array:
    """Network outputs (B, num_actions, ...) of observations (B, stack, H, W, C).

    All of them see the same noise.
    """
    rngs = None if noise_key is None else {"noise": noise_key}

    def output(observation: jax.Array) -> jax.Array:
        result: Any = network.apply(params, observation, rngs=rngs)
        return result

    return jax.vmap(output)(jnp.asarray(observations))


def _init(
    optimizer: SparseOptimizer, seed_key: jax.Array, dense_params: Any, key: jax.Array
) -> AgentState:
    opt_state = optimizer.init(dense_params, jax.random.fold_in(seed_key, 2))
    params = apply_masks(dense_params, opt_state.masks)
    return AgentState(params, _copy(params), opt_state, key)


def _act(
    network: QNetwork,
    noisy: bool,
    params: Any,
    key: jax.Array,
    observation: jax.Array,
    epsilon: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    key, action_key, *noise_key = jax.random.split(key, 3 if noisy else 2)
    rngs = {"noise": noise_key[0]} if noisy else None
    outputs: Any = network.apply(params, observation, rngs=rngs)
    q = network.expectation(outputs)  # (num_actions,)
    return epsilon_greedy(q, action_key, epsilon), key


def _update(
    rules: Rules, optimizer: SparseOptimizer, state: AgentState, batch: Batch
) -> tuple[AgentState, dict[str, jax.Array], jax.Array]:
    network, keys, noise, target_noise = rules.network, state.keys, None, None
    if rules.random:
        keys, augment_key, noise_key = jax.random.split(state.keys, 3)
        if rules.augment is not None:
            batch = _augmented(rules.augment, batch, augment_key)
        if network.noisy:
            noise, target_noise = jax.random.split(noise_key)
    targets = rules.targets(state.params, state.target_params, batch, target_noise)
    weights = importance_weights(batch)

    def loss_of(params: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        outputs = batch_outputs(network, params, batch.s_tm1, noise)
        losses = rules.losses(outputs, batch, targets)
        q = chosen(network.expectation(outputs), batch.a_tm1)
        return (weights * losses).mean(), (losses, q.mean())

    forward_params = optimizer.forward_params(state.params, state.opt_state)
    (loss, (losses, q_mean)), grads = jax.value_and_grad(loss_of, has_aux=True)(forward_params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), "q_mean": q_mean}
    state = state.replace(params=params, opt_state=opt_state, keys=keys)
    return state, metrics, priorities(losses)


def _augmented(augment: Any, batch: Batch, key: jax.Array) -> Batch:
    key_tm1, key_t = jax.random.split(key)
    s_tm1, s_t = augment(batch.s_tm1, key_tm1), augment(batch.s_t, key_t)
    return batch._replace(s_tm1=s_tm1, s_t=s_t)


def _quantities(rules: Rules, observation_shape: tuple[int, ...]) -> Quantities:
    network = rules.network
    observation = jnp.zeros(observation_shape, jnp.uint8)

    def targets(state: AgentState, batch: Batch) -> jax.Array:
        return rules.targets(state.params, state.target_params, batch, None)

    def losses(params: Any, state: AgentState, batch: Batch) -> jax.Array:
        return rules.losses(
            batch_outputs(network, params, batch.s_tm1), batch, targets(state, batch)
        )

    def q_values(params: Any, observations: jax.Array) -> jax.Array:
        return network.expectation(batch_outputs(network, params, observations))

    features: Any = partial(network.apply, method="features")
    return Quantities(
        observation_shape=observation_shape,
        init_params=lambda key: network.init(key, observation),
        wiring=network.wiring,
        activations=partial(hidden_activations, network),
        features=jax.vmap(features, in_axes=(None, 0)),
        q_values=q_values,
        q_targets=lambda state, batch: rules.target_values(targets(state, batch)),
        losses=losses,
    )


def _sync_target(state: AgentState) -> AgentState:
    return state.replace(target_params=_copy(state.params))


def _copy(tree: Any) -> Any:
    # Two names for one buffer could not be donated at the next update.
    return jax.tree.map(jnp.copy, tree)


def build_learner(
    rules: Rules, observation_shape: Sequence[int], pruner: Pruner, strategy: str
) -> Learner:
    """Maps an algorithm over seeds and compiles it; arguments as in `ValueAgent.learner`."""
    network, optimizer = rules.network, pruner.wrap(create_optimizer())
    axis: Any = 0
    axes = AgentState(axis, axis, optimizer.seed_axes, axis)

    quantities = _quantities(rules, tuple(observation_shape))
    # A program of its own, the longest to compile: the same whatever prunes the network.
    first_params, first_state = jax.jit(quantities.init_params), jax.jit(partial(_init, optimizer))

    def init_one(seed_key: jax.Array) -> AgentState:
        # Stream 0 of a seed belongs to training, 2 to masks; the run loop evaluates with stream 1.
        init_key, key = jax.random.split(jax.random.fold_in(seed_key, 0))
        return first_state(seed_key, first_params(init_key), key)

    # One seed per call, whatever the strategy: then first weights never depend on S.
    init = map_seeds(init_one, "unroll", 0, axes)

    def compiled_act(noisy: bool) -> Callable[..., Any]:
        act = partial(_act, network, noisy)
        return jax.jit(map_seeds(act, strategy, (0, 0, 0, None), 0))

    act = compiled_act(network.noisy)
    update = map_seeds(partial(_update, rules, optimizer), strategy, (axes, 0), (axes, 0, 0))
    return Learner(
        init=lambda seeds: init(jnp.stack([jax.random.PRNGKey(int(seed)) for seed in seeds])),
        act=act,
        act_eval=compiled_act(False) if network.noisy else act,
        update=jax.jit(update, donate_argnums=0),
        sync_target=jax.jit(_sync_target, donate_argnums=0),
        strategy=strategy,
        state_axes=axes,
        quantities=quantities,
    )
