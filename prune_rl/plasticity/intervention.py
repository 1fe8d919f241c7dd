"""What an intervention is, and how it makes weights new."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from prune_rl.errors import require
from prune_rl.learning.learner import AgentState, Learner
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import map_seeds
from prune_rl.plasticity.occasions import Occasions
from prune_rl.pruning.moments import map_moments
from prune_rl.pruning.packing import apply_masks

_STREAM = 3  # of a seed's randomness; 0 trains, 1 evaluates, 2 prunes


class Intervention(Protocol):
    """Changes an agent's weights now and then, between two gradient steps.

    Attributes:
        statistics_batch_size: observations that `apply` looks at; 0 for none.
    """

    @property
    def statistics_batch_size(self) -> int: ...

    def occasions(self, num_gradient_steps: int, nominal_gradient_steps: int) -> Occasions:
        """When it acts in a run that makes so many gradient steps, fractions being of the nominal.

        Raises:
            ConfigError: a setting does not fit.
        """
        ...

    def check(self, quantities: Quantities, params: Any) -> None:
        """Raises `ConfigError`, before training, if the agent lacks what is to be changed."""
        ...

    def apply(
        self, quantities: Quantities, state: AgentState, observations: Any, key: jax.Array
    ) -> AgentState:
        """One seed's state after it, from (statistics_batch_size, stack, H, W, C) uint8."""
        ...


@dataclass(frozen=True)
class BoundIntervention:
    """An intervention made ready for one run.

    Attributes:
        occasions: gradient steps after which it acts.
        num_observations: how many of each seed `apply` looks at; 0 for none.
        apply: (AgentState, observations (S, num_observations, stack, H, W, C) uint8 or None) ->
            AgentState, all seeds at once; donates the state.
    """

    occasions: Occasions
    num_observations: int
    apply: Callable[[AgentState, Any], AgentState]


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
        ConfigError: one does not fit, or is none.
    """
    is_list = isinstance(interventions, list | tuple)
    valid = is_list and all(hasattr(own, "occasions") for own in interventions)
    require(valid, "Runner.interventions", interventions, "a list, as [@ReDo()]")
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
    quantities, axes = learner.quantities, learner.state_axes
    params = jax.eval_shape(quantities.init_params, jax.random.PRNGKey(0))
    intervention.check(quantities, params)

    def apply(state: AgentState, observations: Any) -> AgentState:
        # The exploration key differs at every agent step, and is only read here.
        key = jax.random.fold_in(jax.random.fold_in(state.keys, _STREAM), position)
        return intervention.apply(quantities, state, observations, key)

    of_seeds = jax.jit(map_seeds(apply, learner.strategy, (axes, 0), axes), donate_argnums=0)
    return BoundIntervention(occasions, intervention.statistics_batch_size, of_seeds)


def renew(state: AgentState, renewed: Any, values: Any) -> AgentState:
    """Gives weights new values, and zero moments in the optimizer.

    Pruned weights stay zero; weights that a pruner keeps behind its masks become the new values.
    The target network and the optimizer's step count stay, as in Dopamine's labs/redo.

    Args:
        state: of one seed.
        renewed: tree like the parameters, bool, True where a weight is made new.
        values: tree like the parameters, float32, read where `renewed`.
    """
    sparse = state.opt_state
    params = apply_masks(_where(renewed, values, state.params), sparse.masks)
    zeros = jax.tree.map(jnp.zeros_like, state.params)
    inner = map_moments(
        lambda moments: _where(renewed, zeros, moments), sparse.inner_state, state.params
    )
    kept = None if sparse.weights is None else _where(renewed, values, sparse.weights)
    sparse = sparse._replace(inner_state=inner, weights=kept)
    return state.replace(params=params, opt_state=sparse)


def _where(flags: Any, new: Any, old: Any) -> Any:
    def choose(old: jax.Array | None, flag: jax.Array, new: jax.Array) -> jax.Array | None:
        return None if old is None else jnp.where(flag, new, old)

    return jax.tree.map(choose, old, flags, new, is_leaf=lambda leaf: leaf is None)
