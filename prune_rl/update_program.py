"""What goes with a gradient step of one seed inside a compiled run, whatever its batch is of."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from prune_rl.learning.learner import Metrics, OneSeed
from prune_rl.learning.state import AgentState
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.specs import Inputs


def no_metrics(one: OneSeed, agent: AgentState, batch: Any, most: int, period: int) -> Metrics:
    """Room for those of one in `period` of `most` gradient steps on such batches, (M,) each."""
    metrics = jax.eval_shape(one.update, agent, batch)[1]
    kept = most // period + 1
    return {name: jnp.zeros((kept, *own.shape), own.dtype) for name, own in metrics.items()}


def kept(metrics: Metrics, made: jax.Array, period: int, new: Metrics) -> Metrics:
    """With the `new` of the gradient step after `made` others, in a place that no other takes."""
    size = len(next(iter(metrics.values()))) if metrics else 1
    place = jnp.where(made % period == 0, made // period % size, size)
    return {name: metrics[name].at[place].set(own, mode="drop") for name, own in new.items()}


def intervened(
    interventions: Sequence[BoundIntervention],
    agent: AgentState,
    key: jax.Array,
    inputs: Callable[[jax.Array, int], Inputs],
) -> AgentState:
    """The agent after what is due at its step.

    Args:
        interventions: in the order in which they act.
        agent: after the gradient step.
        key: (2,) of that step, for them alone.
        inputs: draws, by a key, so many.
    """

    def apply(own: BoundIntervention, key: jax.Array, agent: AgentState) -> AgentState:
        return own.one(agent, inputs(key, own.num_inputs) if own.num_inputs else None)

    for place, own in enumerate(interventions):
        act = partial(apply, own, jax.random.fold_in(key, place))
        due = own.occasions.due(agent.step).astype(jnp.int32)
        # A branch would copy what is around it: a loop of no or one round.
        agent = lax.fori_loop(0, due, lambda _, agent, act=act: act(agent), agent)
    return agent
