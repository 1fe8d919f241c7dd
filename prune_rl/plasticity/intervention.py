"""What an intervention is, and how it makes weights new."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from prune_rl import randomness
from prune_rl.errors import ConfigError
from prune_rl.learning.learner import Learner
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import map_seeds, where_mapped
from prune_rl.learning.state import AgentState, AgentStates, Network, Params
from prune_rl.plasticity.occasions import Occasions
from prune_rl.pruning.moments import map_moments
from prune_rl.pruning.packing import apply_masks
from prune_rl.replay.ram import require_room
from prune_rl.specs import Inputs, bytes_of


@runtime_checkable
class Intervention(Protocol):
    """Changes the weights of an agent's networks now and then, between two gradient steps.

    Attributes:
        statistics_batch_size: transitions whose inputs `apply` looks at; 0 for none.
    """

    @property
    def statistics_batch_size(self) -> int: ...

    def occasions(self, num_gradient_steps: int, nominal_gradient_steps: int) -> Occasions:
        """When it acts in a run that makes so many gradient steps, fractions being of the nominal.

        Raises:
            ConfigError: a setting does not fit.
        """

    def check(self, quantities: Quantities, params: Params) -> None:
        """Raises `ConfigError`, before training, if the network lacks what is to be changed."""

    def apply(
        self, quantities: Quantities, network: Network, inputs: Inputs | None, key: jax.Array
    ) -> Network:
        """One network of one seed (one member of it) after the change.

        Args:
            quantities: of the network.
            network: without seed and member axes.
            inputs: of `statistics_batch_size` transitions; None for 0.
            key: (2,) uint32, of this seed, network, member and occasion.
        """


@dataclass(frozen=True)
class BoundIntervention:
    """An intervention made ready for one run.

    Attributes:
        occasions: gradient steps after which it acts.
        num_inputs: transitions of each seed whose inputs `apply` looks at; 0 for none.
        apply: (states, inputs of (S, num_inputs) transitions or None) -> states, of all seeds
            but those that have diverged; donates the states.
        one: the same for one seed, not compiled.
    """

    occasions: Occasions
    num_inputs: int
    apply: Callable[[AgentStates, Inputs | None], AgentStates]
    one: Callable[[AgentState, Inputs | None], AgentState]


def bind(
    interventions: Sequence[Intervention],
    learner: Learner,
    num_gradient_steps: int,
    nominal_gradient_steps: int,
) -> list[BoundIntervention]:
    """Checks interventions against the agent and the run's length, and compiles them.

    Args:
        interventions: in the order in which they act.
        learner: of the agent that they change.
        num_gradient_steps: those that the run makes.
        nominal_gradient_steps: what fractions of the run are fractions of.

    Raises:
        ConfigError: one does not fit.
    """
    return [
        _bind(
            intervention,
            intervention.occasions(num_gradient_steps, nominal_gradient_steps),
            learner,
            position,
        )
        for position, intervention in enumerate(interventions)
    ]


def _bind(
    intervention: Intervention, occasions: Occasions, learner: Learner, position: int
) -> BoundIntervention:
    changed, size = _fitting(intervention, learner), intervention.statistics_batch_size
    each = max(bytes_of(own.inputs) for own in learner.quantities.values())
    require_room(f"{type(intervention).__name__}.statistics_batch_size", size, size * each)
    axes = learner.state_axes

    def apply(before: AgentState, inputs: Inputs | None) -> AgentState:
        state = before
        # The exploration key differs at every agent step, and is only read here.
        key = randomness.intervention_key(state.keys, position)
        # JAX hands a dict over sorted by its keys: places are those of the learner's own order.
        for place, (name, quantities) in enumerate(learner.quantities.items()):
            if name in changed:
                own_key, members = randomness.network_key(key, place), learner.members[name]
                change = _of_members(intervention, quantities, members, axes.networks[name])
                state = state.with_network(name, change(state.networks[name], inputs, own_key))
        diverged = before.diverged_at > 0  # such a seed stays as it is
        networks = where_mapped(diverged, before.networks, state.networks, axes.networks)
        return state.replace(networks=networks)

    of_seeds = map_seeds(apply, (axes, 0), axes, donate_argnums=0)
    return BoundIntervention(occasions, intervention.statistics_batch_size, of_seeds, apply)


def _fitting(intervention: Intervention, learner: Learner) -> list[str]:
    """Names of the networks that have what is to be changed; raises if none has."""
    fitting, errors = [], []
    for name, quantities in learner.quantities.items():
        params = jax.eval_shape(quantities.init_params, jax.random.PRNGKey(0))
        try:
            intervention.check(quantities, params)
            fitting.append(name)
        except ConfigError as error:
            errors.append(error)
    if not fitting:
        raise errors[0]
    return fitting


def _of_members(
    intervention: Intervention, quantities: Quantities, members: int | None, axes: Network
) -> Callable[[Network, Inputs | None, jax.Array], Network]:
    """`apply` on every member, each with a key of its own."""
    apply = partial(intervention.apply, quantities)
    if members is None:
        return apply
    # The axes of members are those of seeds: first everywhere, but for the shared count.
    mapped: Any = jax.vmap(apply, (axes, None, 0), axes)
    return lambda network, inputs, key: mapped(network, inputs, jax.random.split(key, members))


def renew(network: Network, renewed: Params, values: Params) -> Network:
    """Gives weights new values, and zero moments in the optimizer.

    Pruned weights stay zero; weights that a pruner keeps behind its masks become the new values.
    The target network and the optimizer's step count stay, as in Dopamine's labs/redo.

    Args:
        network: of one seed and member.
        renewed: tree like the parameters, bool, True where a weight is made new.
        values: tree like the parameters, float32, read where `renewed`.
    """
    sparse = network.opt_state
    params = apply_masks(_where(renewed, values, network.params), sparse.masks)
    zeros = jax.tree.map(jnp.zeros_like, network.params)
    inner = map_moments(
        lambda moments: _where(renewed, zeros, moments), sparse.inner_state, network.params
    )
    kept = None if sparse.weights is None else _where(renewed, values, sparse.weights)
    sparse = sparse._replace(inner_state=inner, weights=kept)
    return network.replace(params=params, opt_state=sparse)


def _where(flags: Params, new: Params, old: Params) -> Params:
    def choose(old: jax.Array | None, flag: jax.Array, new: jax.Array) -> jax.Array | None:
        return None if old is None else jnp.where(flag, new, old)

    return jax.tree.map(choose, old, flags, new, is_leaf=lambda leaf: leaf is None)
