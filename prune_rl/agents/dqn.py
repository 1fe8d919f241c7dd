"""DQN (Mnih et al. 2015) with the defaults and the schedule of Dopamine 4.1.2.

Source: dopamine/jax/agents/dqn/dqn_agent.py. The functions below are written for one seed;
`DQNAgent.learner` maps them over the seed axis and compiles them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import chex
import gin
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.typing import ArrayLike

from prune_rl.agents.learner import AgentState, Learner
from prune_rl.agents.optimizers import create_optimizer
from prune_rl.agents.quantities import Quantities
from prune_rl.agents.seed_axis import STRATEGIES, default_strategy, map_seeds
from prune_rl.errors import require, require_choice
from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.nature import NatureTorso
from prune_rl.networks.q_network import QNetwork
from prune_rl.pruning.packing import apply_masks
from prune_rl.pruning.updater import Pruner, SparseOptimizer
from prune_rl.replay.batch import Batch

_LOSSES = {"mse": jnp.square, "huber": optax.losses.huber_loss}


def td_targets(q_t: jax.Array, batch: Batch) -> jax.Array:
    """What the values of the actions taken should be, (batch,); no gradient flows through it.

    Args:
        q_t: (batch, num_actions), target-network values of the states n steps on.
        batch: of one seed, `r_t` and `discount_t` (batch,); a zero discount ends an episode.
    """
    chex.assert_rank(q_t, 2)
    chex.assert_shape([batch.r_t, batch.discount_t], q_t.shape[:1])
    return jax.lax.stop_gradient(batch.r_t + batch.discount_t * q_t.max(axis=1))


def td_losses(
    q_tm1: jax.Array, actions: ArrayLike, targets: jax.Array, loss_type: str
) -> jax.Array:
    """Temporal-difference loss of each transition, (batch,).

    Args:
        q_tm1: (batch, num_actions), online values of the states acted in.
        actions: (batch,) integers, the actions taken.
        targets: (batch,), see `td_targets`.
        loss_type: 'mse', the squared error, or 'huber' with delta 1.
    """
    chex.assert_rank(q_tm1, 2)
    chex.assert_shape([actions, targets], q_tm1.shape[:1])
    return _LOSSES[loss_type](targets - _chosen(q_tm1, actions))


def _chosen(q: jax.Array, actions: ArrayLike) -> jax.Array:
    return jnp.take_along_axis(q, jnp.expand_dims(actions, 1), axis=1)[:, 0]  # (batch,)


def epsilon_greedy(q: jax.Array, key: jax.Array, epsilon: ArrayLike) -> jax.Array:
    """A uniform action with probability `epsilon`, else the first best of `q` (num_actions,)."""
    explore_key, action_key = jax.random.split(key)
    explore = jax.random.uniform(explore_key) < epsilon
    random_action = jax.random.randint(action_key, (), 0, q.shape[0])
    return jnp.where(explore, random_action, q.argmax()).astype(jnp.int32)


def _init(
    network: QNetwork,
    optimizer: SparseOptimizer,
    observation_shape: tuple[int, ...],
    seed_key: jax.Array,
) -> AgentState:
    # Stream 0 of a seed belongs to training, 2 to masks; the run loop evaluates with stream 1.
    init_key, key = jax.random.split(jax.random.fold_in(seed_key, 0))
    dense_params = network.init(init_key, jnp.zeros(observation_shape, jnp.uint8))
    opt_state = optimizer.init(dense_params, jax.random.fold_in(seed_key, 2))
    params = apply_masks(dense_params, opt_state.masks)
    return AgentState(params, _copy(params), opt_state, key)


def _act(
    network: QNetwork, params: Any, key: jax.Array, observation: jax.Array, epsilon: jax.Array
) -> tuple[jax.Array, jax.Array]:
    key, action_key = jax.random.split(key)
    q: Any = network.apply(params, observation)  # (num_actions,)
    return epsilon_greedy(q, action_key, epsilon), key


def _update(
    network: QNetwork,
    optimizer: SparseOptimizer,
    loss_type: str,
    state: AgentState,
    batch: Batch,
) -> tuple[AgentState, dict[str, jax.Array]]:
    targets = _q_targets(network, state, batch)

    def loss_of(params: Any) -> tuple[jax.Array, jax.Array]:
        q_tm1 = _q_values(network, params, batch.s_tm1)
        losses = td_losses(q_tm1, batch.a_tm1, targets, loss_type)
        return losses.mean(), _chosen(q_tm1, batch.a_tm1).mean()

    forward_params = optimizer.forward_params(state.params, state.opt_state)
    (loss, q_mean), grads = jax.value_and_grad(loss_of, has_aux=True)(forward_params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), "q_mean": q_mean}
    return state.replace(params=params, opt_state=opt_state), metrics


def _q_values(network: QNetwork, params: Any, observations: ArrayLike) -> jax.Array:
    values: Any = jax.vmap(network.apply, in_axes=(None, 0))(params, observations)
    return values  # (batch, num_actions)


def _q_targets(network: QNetwork, state: AgentState, batch: Batch) -> jax.Array:
    return td_targets(_q_values(network, state.target_params, batch.s_t), batch)


def _quantities(
    network: QNetwork, loss_type: str, observation_shape: tuple[int, ...]
) -> Quantities:
    def losses(params: Any, state: AgentState, batch: Batch) -> jax.Array:
        targets = _q_targets(network, state, batch)
        q_tm1 = _q_values(network, params, batch.s_tm1)
        return td_losses(q_tm1, batch.a_tm1, targets, loss_type)

    features: Any = partial(network.apply, method="features")
    return Quantities(
        init_params=lambda key: network.init(key, jnp.zeros(observation_shape, jnp.uint8)),
        wiring=network.wiring,
        activations=partial(hidden_activations, network),
        features=jax.vmap(features, in_axes=(None, 0)),
        q_values=partial(_q_values, network),
        q_targets=partial(_q_targets, network),
        losses=losses,
    )


def _sync_target(state: AgentState) -> AgentState:
    return state.replace(target_params=_copy(state.params))


def _copy(tree: Any) -> Any:
    # Two names for one buffer could not be donated at the next update.
    return jax.tree.map(jnp.copy, tree)


@gin.configurable
@dataclass(frozen=True, kw_only=True)
class DQNAgent:
    """Hyper-parameters of DQN; gin names and defaults are Dopamine's.

    Agent steps are counted from zero over a whole run, warm-up included.

    Attributes:
        torso: a module from one observation to features, as `@NatureTorso()`.
        gamma: discount per agent step.
        update_horizon: n of the n-step return, in agent steps.
        min_replay_history: no update before more agent steps than this are stored.
        update_period: agent steps between updates.
        target_update_period: agent steps between copies to the target network.
        epsilon_train: probability of a random action once decayed.
        epsilon_eval: the same in evaluation.
        epsilon_decay_period: agent steps of the linear decay, which starts after the warm-up.
        loss_type: 'mse' or 'huber'.
        seed_strategy: how seeds are mapped, see `prune_rl.agents.seed_axis`; 'auto' for the one
            measured fastest.

    Raises:
        ConfigError: a value is outside its range; names the gin binding.
    """

    torso: nn.Module = field(default_factory=NatureTorso)
    gamma: float = 0.99
    update_horizon: int = 1
    min_replay_history: int = 20_000
    update_period: int = 4
    target_update_period: int = 8_000
    epsilon_train: float = 0.01
    epsilon_eval: float = 0.001
    epsilon_decay_period: int = 250_000
    loss_type: str = "mse"
    seed_strategy: str = "auto"

    def __post_init__(self) -> None:
        self._require(isinstance(self.torso, nn.Module), "torso", "a module, as @NatureTorso()")
        for name in ("gamma", "epsilon_train", "epsilon_eval"):
            value = getattr(self, name)
            number = isinstance(value, float | int)
            self._require(number and 0 <= value <= 1, name, "a number in [0, 1]")
        self._require_int("min_replay_history", 0)
        for name in ("update_horizon", "update_period", "target_update_period"):
            self._require_int(name, 1)
        self._require_int("epsilon_decay_period", 1)
        require_choice("DQNAgent.loss_type", self.loss_type, _LOSSES)
        require_choice("DQNAgent.seed_strategy", self.seed_strategy, ["auto", *STRATEGIES])

    def _require(self, condition: bool, name: str, expected: str) -> None:
        require(condition, f"DQNAgent.{name}", getattr(self, name), expected)

    def _require_int(self, name: str, least: int) -> None:
        value = getattr(self, name)
        self._require(type(value) is int and value >= least, name, f"an integer >= {least}")

    def epsilon(self, agent_step: int) -> float:
        """Probability of a random action in training: 1, then linear to `epsilon_train`."""
        end = self.min_replay_history + self.epsilon_decay_period
        left = min(max((end - agent_step) / self.epsilon_decay_period, 0.0), 1.0)
        return self.epsilon_train + (1.0 - self.epsilon_train) * left

    def is_update_step(self, agent_step: int) -> bool:
        """Whether a gradient step is due at this agent step, before acting."""
        return agent_step > self.min_replay_history and agent_step % self.update_period == 0

    def is_target_update_step(self, agent_step: int) -> bool:
        """Whether the target network is due at this agent step, after the update."""
        return agent_step > self.min_replay_history and agent_step % self.target_update_period == 0

    def num_gradient_steps(self, num_agent_steps: int) -> int:
        """How many of the agent steps 0 to `num_agent_steps` - 1 are update steps."""
        until_last = (num_agent_steps - 1) // self.update_period
        return max(0, until_last - self.min_replay_history // self.update_period)

    def learner(
        self, num_actions: int, observation_shape: Sequence[int], pruner: Pruner
    ) -> Learner:
        """Builds the compiled functions; nothing is compiled before the first call of each.

        Args:
            num_actions: size of the action set.
            observation_shape: (stack, H, W, C) of one observation.
            pruner: wraps the optimizer that gin configures through `create_optimizer`.
        """
        network, optimizer = QNetwork(self.torso, num_actions), pruner.wrap(create_optimizer())
        strategy = self.seed_strategy
        if strategy == "auto":
            strategy = default_strategy(jax.default_backend(), type(self.torso).__name__)
        axis: Any = 0
        axes = AgentState(axis, axis, pruner.seed_axes(), axis)

        # One seed per call, whatever the strategy: then first weights never depend on S.
        init_one = jax.jit(partial(_init, network, optimizer, tuple(observation_shape)))
        init = map_seeds(init_one, "unroll", 0, axes)
        act = partial(_act, network)
        update = partial(_update, network, optimizer, self.loss_type)
        return Learner(
            init=lambda seeds: init(jnp.stack([jax.random.PRNGKey(int(seed)) for seed in seeds])),
            act=jax.jit(map_seeds(act, strategy, (0, 0, 0, None), 0)),
            update=jax.jit(map_seeds(update, strategy, (axes, 0), (axes, 0)), donate_argnums=0),
            sync_target=jax.jit(_sync_target, donate_argnums=0),
            strategy=strategy,
            state_axes=axes,
            quantities=_quantities(network, self.loss_type, tuple(observation_shape)),
        )
