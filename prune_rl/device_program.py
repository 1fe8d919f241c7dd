"""Agent steps of one seed in one compiled loop: its environment, replay, acting and learning.

The order within a step is that of `trainer.py`. What is due at which step the host decides
beforehand, in a `Plan`; how long the loop runs is a number it is given, not a shape, so that one
program serves every stretch of a run. A branch is a loop of no or one round: loops update what they
carry in place, where a conditional would copy the replay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from prune_rl import randomness
from prune_rl.environments.functional import FunctionalStep, GameState, Play
from prune_rl.learning.learner import Metrics, OneSeed
from prune_rl.learning.state import AgentState
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.replay import device_ring
from prune_rl.replay.device_samplers import DeviceSampler
from prune_rl.specs import GOES_ON, TERMINATED, TRUNCATED, Inputs, ObservationSpec
from prune_rl.update_program import intervened, kept, no_metrics


class Plan(NamedTuple):
    """What is due at each of at most L agent steps, the same for all seeds.

    Attributes:
      count: () int32, agent steps to take, at most L.
      first: () int32, agent steps taken before.
      updates: (L,) int32, gradient steps before acting.
      syncs: (L,) int32, 1 where target networks are then copied, else 0.
      numbers: of `Agent.exploration`, (L,) float32 each.
    """

    count: Any
    first: Any
    updates: Any
    syncs: Any
    numbers: Sequence[Any]


class Waiting(NamedTuple):
    """Priorities of the batch last drawn, for the sampler once the next one is drawn.

    Attributes:
      starts: (B,) int32.
      priorities: (B,) float32.
    """

    starts: jax.Array
    priorities: jax.Array


class World(NamedTuple):
    """All that one seed holds besides its agent.

    Attributes:
      game: variables of the environment.
      observation: (*observation) of the spec, what to act on.
      ring: the replay's rows, a `DeviceRing`.
      sampler: what its sampler knows of them.
      waiting: see there; between two agent steps the sampler has them all.
    """

    game: GameState
    observation: jax.Array
    ring: Any
    sampler: Any
    waiting: Waiting


class Record(NamedTuple):
    """What the host is told of a stretch of agent steps.

    Attributes:
      rewards: (L,) float32, unclipped; (S, L) and so on of all seeds.
      ends: (L,) uint8, `GOES_ON`, `TERMINATED` or `TRUNCATED`.
      metrics: (M,) float32 each, of one in `period` gradient steps.
    """

    rewards: Any
    ends: Any
    metrics: Metrics


_Carry = tuple[AgentState, World, Record]


@dataclass(frozen=True, kw_only=True)
class Program:
    """Pure functions of one seed.

    Attributes:
      one: the agent's.
      play: its environment's.
      sampler: of its replay.
      interventions: in the order in which they act.
      num_rows: of the replay.
      batch_size: B.
      gamma: discount per agent step.
      clip_rewards: whether rewards are stored between -1 and 1.
      length: L of a plan.
      period: one in so many gradient steps has its metrics kept.
      most_updates: gradient steps at one agent step, at most.
    """

    one: OneSeed
    play: Play
    sampler: DeviceSampler
    interventions: Sequence[BoundIntervention]
    num_rows: int
    batch_size: int
    gamma: float
    clip_rewards: bool
    length: int
    period: int
    most_updates: int

    def begin(self, keys: randomness.DeviceKeys) -> World:
        """A seed's world at its first observation."""
        game, frame = self.play.reset(jax.random.fold_in(keys.games, 0))
        spec = self.play.observation_spec
        empty = device_ring.empty(self.num_rows, spec, self.play.action_spec)
        ring = device_ring.start(empty, frame)
        sampler = self.sampler.note(self.sampler.init(self.num_rows), ring)
        size = self.batch_size
        waiting = Waiting(jnp.zeros(size, jnp.int32), jnp.zeros(size))
        observation = _first_observation(spec, frame)
        return World(game, observation, ring, sampler, waiting)

    def run(
        self, agent: AgentState, world: World, keys: randomness.DeviceKeys, plan: Plan
    ) -> _Carry:
        """So many agent steps, learning included."""

        def step(i: jax.Array, carry: _Carry) -> _Carry:
            carry = lax.fori_loop(
                0, plan.updates[i], lambda before, own: self._learn(keys, before, *own), carry
            )
            agent, world, record = carry
            agent = lax.fori_loop(0, plan.syncs[i], lambda _, own: self.one.sync_target(own), agent)
            return self._act(keys, plan, i, agent, _ring_behind(world, agent.step), record)

        return lax.fori_loop(0, plan.count, step, (agent, world, self._record(agent, world)))

    def _record(self, agent: AgentState, world: World) -> Record:
        batch = jax.eval_shape(self._batch, world, jnp.zeros(self.batch_size, jnp.int32), None)
        most = self.length * self.most_updates
        metrics = no_metrics(self.one, agent, batch, most, self.period)
        return Record(jnp.zeros(self.length), jnp.zeros(self.length, jnp.uint8), metrics)

    def _batch(self, world: World, starts: jax.Array, chances: jax.Array | None) -> Any:
        batch = device_ring.transitions(world.ring, starts, self.sampler.horizon, self.gamma)
        return batch._replace(probabilities=chances)

    def _learn(
        self,
        keys: randomness.DeviceKeys,
        before: jax.Array,
        agent: AgentState,
        world: World,
        record: Record,
    ) -> _Carry:
        """One gradient step after `before` others in a row, and what intervenes after it."""
        key = jax.random.fold_in(keys.replay, agent.step)
        starts, chances = self.sampler.draw(world.sampler, world.ring, key, self.batch_size)
        batch = self._batch(world, starts, chances)
        after, metrics, priorities = self.one.update(agent, batch)
        if chances is not None:
            # As on the host, a batch in a row was drawn before the priorities of the one before.
            given = world.waiting
            given = given._replace(starts=_behind(given.starts, starts))
            world = self._write_priorities(world._replace(waiting=given), before > 0)
            world = world._replace(waiting=Waiting(starts, priorities))
        metrics = kept(record.metrics, agent.step, self.period, metrics)
        # A stream of their own: uniform draws fold 0, 1, 2, ... into the batch's key.
        key = jax.random.fold_in(keys.interventions, agent.step)
        after = intervened(self.interventions, after, key, partial(self._inputs, world))
        return after, world, record._replace(metrics=metrics)

    def _inputs(self, world: World, key: jax.Array, size: int) -> Inputs:
        starts = device_ring.draw_uniformly(world.ring, key, size, self.sampler.horizon)
        return device_ring.inputs(world.ring, starts)

    def _write_priorities(self, world: World, due: jax.Array) -> World:
        """Hands the sampler what waits, if that is `due`, which must be the same for all seeds:

        a loop of other length for each seed would select among all their priorities.
        """

        def write(_: Any, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
            own, times = carry
            return self.sampler.update(own, world.ring, *world.waiting), times + 1

        first = world.sampler, jnp.int32(0)
        sampler, times = lax.fori_loop(0, due.astype(jnp.int32), write, first)
        return _ring_behind(world._replace(sampler=sampler), times)

    def _act(
        self,
        keys: randomness.DeviceKeys,
        plan: Plan,
        i: jax.Array,
        agent: AgentState,
        world: World,
        record: Record,
    ) -> _Carry:
        """Chooses an action, plays it and stores the transition."""
        numbers = [own[i] for own in plan.numbers]
        action, key = self.one.act(agent.params, agent.keys, world.observation, *numbers)
        own_key = jax.random.fold_in(keys.games, 1 + plan.first + i)
        game, step = self.play.step(world.game, action, own_key)
        end = jnp.where(step.truncated, TRUNCATED, jnp.where(step.terminated, TERMINATED, GOES_ON))
        end = end.astype(jnp.uint8)
        if self.sampler.prioritizes:
            # A new transition takes the largest.
            world = self._write_priorities(world, plan.updates[i] > 0)
        reward = jnp.clip(step.reward, -1, 1) if self.clip_rewards else step.reward
        ring = device_ring.append(world.ring, action, reward, end, step.next_frame, step.frame)
        observation = _next_observation(self.play.observation_spec, world.observation, step)
        world = World(
            game, observation, ring, self.sampler.note(world.sampler, ring), world.waiting
        )
        record = record._replace(
            rewards=record.rewards.at[i].set(step.reward), ends=record.ends.at[i].set(end)
        )
        return agent.replace(keys=key), world, record


def _behind(numbers: jax.Array, read: jax.Array) -> jax.Array:
    """The same int32 numbers, for the compiler a function of what was `read`, at least 0 each.

    It would put a write whose place it knows early before reads that must come first, and copy all
    that is written into for them.
    """
    return numbers + jnp.minimum(read, 0)


def _ring_behind(world: World, read: jax.Array) -> World:
    """The world with a ring that is written into once () int32 was `read`."""
    ring = world.ring
    return world._replace(ring=replace(ring, cursor=_behind(ring.cursor, read)))


def _first_observation(spec: ObservationSpec, frame: jax.Array) -> jax.Array:
    if not spec.is_image:
        return frame
    return jnp.zeros(spec.shape, spec.dtype).at[-1].set(frame)


def _next_observation(
    spec: ObservationSpec, observation: jax.Array, step: FunctionalStep
) -> jax.Array:
    if not spec.is_image:
        return step.frame
    older = jnp.where(step.terminated | step.truncated, 0, observation[1:])
    return jnp.concatenate([older, step.frame[None]])
