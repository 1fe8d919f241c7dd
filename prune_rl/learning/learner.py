"""What an agent hands to the run: compiled functions over S seeds, made of functions of one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from prune_rl import randomness
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import laid_out, map_seeds, where_mapped
from prune_rl.learning.state import AgentState, AgentStates, Network, Params
from prune_rl.pruning.sparse_optimizer import SparseOptimizer
from prune_rl.specs import Batch

Optimizers = Mapping[str, SparseOptimizer]  # of each network, by name
Metrics = dict[str, jax.Array]
Updated = tuple[AgentState, Metrics, jax.Array]  # and new priorities
# One in so many updates has its metrics kept, so that fetching them never stalls the learner; the
# first is one of them.
METRICS_PERIOD = 10
_WATCHED = ("loss", "grad_norm")  # metrics, of any network, by which a seed is seen to diverge
# One in so many updates looks at all weights too: at each of them it would cost 6 % of an update of
# the Nature CNN on CPU, and weights that are not finite show in the loss but where nothing reads
# them.
_WEIGHTS_PERIOD = 100


class OneSeed(NamedTuple):
    """Functions of one seed, not compiled: what a `Learner` maps over seeds, see there.

    Attributes:
        act: (parameters by network, key (2,), observation, numbers) -> (action, key).
        update: (AgentState, Batch without seed axis) -> (AgentState, metrics, priorities (B,)).
        sync_target: AgentState -> AgentState.
        act_eval: like `act`, as evaluations play.
    """

    act: Callable[..., tuple[jax.Array, jax.Array]]
    update: Callable[[AgentState, Batch], Updated]
    sync_target: Callable[[AgentState], AgentState]
    act_eval: Callable[..., tuple[jax.Array, jax.Array]]


class Learner(NamedTuple):
    """Compiled functions over S seeds at once; a seed's randomness does not depend on S.

    What seeds hold lies as `strategy` says, see `learning.seed_axis`: parameters, keys, actions,
    metrics and priorities like the states. Shapes are those of a stacked one.

    Attributes:
        init: (seeds, S integers in [0, 2**32); `strategy` of so many if not given) -> states.
        act: (parameters by network, keys (S, 2), observations (S, *observation), what
            `Agent.exploration` names) -> (actions (S, *action), keys). Donates nothing.
        act_eval: the same as evaluations play, see `Agent.exploration_eval`.
        update: (states, Batch) -> (states, metrics, priorities); one gradient step of
            every seed that has not diverged, see `AgentState.diverged_at`. The state given is
            donated: use the one returned. Metrics are (S,) float32 arrays with names of
            `recording.metrics`; priorities (S, B) float32 are what the batch should be sampled by
            from now on.
        sync_target: states -> states with target networks copies of the online ones, those
            of a seed that has diverged included; donates like `update`.
        one: of which these are made.
        strategy: (number of seeds, `compiled_loop` if not False) -> how they lie and are mapped,
            see `seed_axis.default_strategy`.
        state_axes: seed axes of a stacked AgentState, a prefix as `seed_axis.map_seeds` takes it.
        quantities: what may be asked of each network, in the order that the agent declares them.
        members: how many members a network has; None for one without a member axis.
        target_sparsities: of each network, see `SparseOptimizer`.
        acts_with: what `act_eval` computes, for who computes it elsewhere: a `QNetwork`, or the
            `ActingRules` of an actor; None if nothing says.
    """

    init: Callable[..., AgentStates]
    act: Callable[..., tuple[Any, Any]]
    act_eval: Callable[..., tuple[Any, Any]]
    update: Callable[[AgentStates, Batch], tuple[AgentStates, Any, Any]]
    sync_target: Callable[[AgentStates], AgentStates]
    one: OneSeed
    strategy: Callable[..., str]
    state_axes: AgentState
    quantities: Mapping[str, Quantities]
    members: Mapping[str, int | None]
    target_sparsities: Mapping[str, Callable[[Params], Any]]
    acts_with: Any = None


def build_learner(
    quantities: Mapping[str, Quantities],
    optimizers: Optimizers,
    *,
    targets: Collection[str],
    update: Callable[[AgentState, Batch], Updated],
    act: Callable[..., tuple[jax.Array, jax.Array]],
    act_eval: Callable[..., tuple[jax.Array, jax.Array]],
    strategy: Callable[..., str],
    acts_with: Any = None,
) -> Learner:
    """Maps an algorithm, written for one seed, over seeds; compiles at the first call of each.

    Args:
        quantities: of each network.
        optimizers: of each network, pruned; they say how many members it has.
        targets: names of networks that have a target network.
        update: (state, batch) -> (state, metrics, priorities (B,)); `step` is counted and
            `diverged_at` noted here.
        act: (parameters by network, key (2,), observation, numbers) -> (action, key).
        act_eval: likewise; the same object as `act` is compiled once.
        strategy: see `Learner`.
        acts_with: likewise.
    """
    axis: Any = 0
    networks = {name: Network(axis, axis, own.seed_axes) for name, own in optimizers.items()}
    axes = AgentState(networks, None, axis, axis)  # type: ignore[arg-type]  # None: all seeds share it

    def counted_update(state: AgentState, batch: Batch) -> Updated:
        after, metrics, priorities = update(state, batch)
        after = after.replace(step=state.step + 1)
        return _unless_diverged(state, after, metrics, axes), metrics, priorities

    # One seed per call, whatever the strategy: then first weights never depend on S.
    first_state = _first_state(quantities, optimizers, targets)

    def init(seeds: Sequence[int], given: str | None = None) -> AgentStates:
        states = [first_state(jax.random.PRNGKey(int(seed))) for seed in seeds]
        return laid_out(states, axes, given or strategy(len(seeds)))

    acts = {function: _compiled_act(function) for function in (act, act_eval)}
    return Learner(
        init=init,
        act=acts[act],
        act_eval=acts[act_eval],
        update=map_seeds(counted_update, (axes, 0), (axes, 0, 0), donate_argnums=0),
        sync_target=map_seeds(_sync_targets, (axes,), axes, donate_argnums=0),
        one=OneSeed(act, counted_update, _sync_targets, act_eval),
        strategy=strategy,
        state_axes=axes,
        quantities=quantities,
        members={name: own.members for name, own in optimizers.items()},
        target_sparsities={name: own.target_sparsities for name, own in optimizers.items()},
        acts_with=acts_with,
    )


def _unless_diverged(
    before: AgentState, after: AgentState, metrics: Metrics, axes: AgentState
) -> AgentState:
    """The state `after` an update of one seed; with the networks `before` it if that diverged."""
    watched = {name: x for name, x in metrics.items() if name.rpartition("/")[2] in _WATCHED}
    # Those that it began with: the choice below is then part of the optimizer's own pass.
    weights_are_finite = jax.lax.cond(
        after.step % _WEIGHTS_PERIOD == 0, _all_finite, lambda _: jnp.bool(True), before.params
    )
    first = jnp.where(_all_finite(watched) & weights_are_finite, 0, after.step)
    diverged_at = jnp.where(before.diverged_at > 0, before.diverged_at, first)
    networks = where_mapped(diverged_at > 0, before.networks, after.networks, axes.networks)
    return after.replace(networks=networks, diverged_at=diverged_at)


def _all_finite(tree: Any) -> jax.Array:
    finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jnp.stack([jnp.bool(True), *finite]).all()


def _compiled_act(act: Callable[..., Any]) -> Callable[..., Any]:
    def of_one(params: Any, key: jax.Array, observation: Any, numbers: Sequence[Any]) -> Any:
        return act(params, key, observation, *numbers)

    over_seeds = map_seeds(of_one, (0, 0, 0, None), (0, 0))

    @wraps(over_seeds)
    def act_of_seeds(params: Any, keys: Any, observations: Any, *numbers: Any) -> Any:
        return over_seeds(params, keys, observations, numbers)

    return act_of_seeds


def _first_state(
    quantities: Mapping[str, Quantities], optimizers: Optimizers, targets: Collection[str]
) -> Callable[[jax.Array], AgentState]:
    """What makes the first state of the seed that has a key (2,) uint32."""
    # Weights are a program of their own, the longest to compile: the same whatever prunes them.
    weights = {x: jax.jit(partial(_weights, quantities[x], optimizers[x])) for x in quantities}
    network = {x: jax.jit(partial(_network, optimizers[x], x in targets)) for x in quantities}

    def init_one(seed_key: jax.Array) -> AgentState:
        init_key, key = randomness.training_keys(seed_key)
        networks = {}
        for place, name in enumerate(quantities):
            dense = weights[name](randomness.network_key(init_key, place))
            mask_key = randomness.network_key(randomness.mask_key(seed_key), place)
            networks[name] = network[name](dense, mask_key)
        return AgentState(networks, jnp.int32(0), key, jnp.int32(0))

    return init_one


def _weights(quantities: Quantities, optimizer: SparseOptimizer, key: jax.Array) -> Params:
    if optimizer.members is None:
        return quantities.init_params(key)
    return jax.vmap(quantities.init_params)(jax.random.split(key, optimizer.members))


def _network(
    optimizer: SparseOptimizer, has_target: bool, dense: Params, mask_key: jax.Array
) -> Network:
    opt_state = optimizer.init(dense, mask_key)
    params = optimizer.apply_masks(dense, opt_state)
    return Network(params, _copy(params) if has_target else None, opt_state)


def _sync_targets(state: AgentState) -> AgentState:
    def sync(network: Network) -> Network:
        if network.target_params is None:
            return network
        return network.replace(target_params=_copy(network.params))

    return state.replace(networks={name: sync(own) for name, own in state.networks.items()})


def _copy(tree: Params) -> Params:
    # Two names for one buffer could not be donated at the next update.
    return jax.tree.map(jnp.copy, tree)
