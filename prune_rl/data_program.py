"""Gradient steps of one seed on fixed data in one compiled loop: what it draws and learns.

The order within a step is that of `trainer.py`. How long the loop runs is a number it is given, not
a shape, so that one program serves every stretch of a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from prune_rl.learning.learner import Metrics, OneSeed
from prune_rl.learning.state import AgentState
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.replay import device_data
from prune_rl.replay.device_data import DeviceData, SeedsDraws
from prune_rl.specs import Batch, Inputs
from prune_rl.update_program import intervened, kept, no_metrics


class Plan(NamedTuple):
    """What is due at each of at most L gradient steps, the same for all seeds.

    Attributes:
      count: () int32, gradient steps to make, at most L.
      syncs: (L,) int32, 1 where target networks are copied after the step, else 0.
    """

    count: Any
    syncs: Any


_Carry = tuple[AgentState, Metrics]


@dataclass(frozen=True, kw_only=True)
class Program:
    """Pure functions of one seed.

    Attributes:
      one: the agent's.
      interventions: in the order in which they act.
      batch_size: B.
      horizon: n of the n-step return, in agent steps.
      gamma: discount per agent step.
      length: L of a plan.
      period: one in so many gradient steps has its metrics kept.
    """

    one: OneSeed
    interventions: Sequence[BoundIntervention]
    batch_size: int
    horizon: int
    gamma: float
    length: int
    period: int

    def run(self, agent: AgentState, data: DeviceData, own: SeedsDraws, plan: Plan) -> _Carry:
        """So many gradient steps; the agent, and metrics (M,) of one in `period` of them."""
        batch = jax.eval_shape(self._batch, data, own, jnp.int32(0))
        none = no_metrics(self.one, agent, batch, self.length, self.period)

        def step(i: jax.Array, carry: _Carry) -> _Carry:
            agent, metrics = self._learn(data, own, *carry)
            # A branch would copy the networks: a loop of no or one round.
            sync = lambda _, state: self.one.sync_target(state)  # noqa: E731
            return lax.fori_loop(0, plan.syncs[i], sync, agent), metrics

        return lax.fori_loop(0, plan.count, step, (agent, none))

    def _batch(self, data: DeviceData, own: SeedsDraws, made: jax.Array) -> Batch:
        """That of the gradient step after `made` others: a function of seed, step and data."""
        key = jax.random.fold_in(own.keys.replay, made)
        starts = device_data.draw(data, own, key, self.batch_size)
        return device_data.transitions(data, starts, self.horizon, self.gamma)

    def _learn(
        self, data: DeviceData, own: SeedsDraws, agent: AgentState, metrics: Metrics
    ) -> _Carry:
        """One gradient step, and what intervenes after it."""
        made = agent.step
        agent, new, _ = self.one.update(agent, self._batch(data, own, made))
        # A stream of their own, as where games are played on the device.
        key = jax.random.fold_in(own.keys.interventions, made)
        agent = intervened(self.interventions, agent, key, partial(self._inputs, data, own))
        return agent, kept(metrics, made, self.period, new)

    def _inputs(self, data: DeviceData, own: SeedsDraws, key: jax.Array, size: int) -> Inputs:
        return device_data.inputs(data, device_data.draw(data, own, key, size))
