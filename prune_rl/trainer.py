"""One step of the source's clock: the updates that are due, and what is played.

Order, as in Dopamine 4.1.2 (jax/agents/dqn/dqn_agent.py): make the updates that are due (and
intervene after each), copy the target network if that is due, act, step the environment, store the
transition.

Of several updates in a row, each batch is drawn while the device computes the update before: the
priorities of that one come a batch late.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from prune_rl.acting.episodes import Episode
from prune_rl.acting.policy import Policy
from prune_rl.learning.learner import METRICS_PERIOD
from prune_rl.learning.seed_axis import Separate
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.sources.source import SteppedSource
from prune_rl.state import State, part
from prune_rl.training import Training


class Trainer(Training):
    """Takes one step at a time; see `Training`."""

    def __init__(
        self,
        policy: Policy,
        source: SteppedSource,
        *,
        seeds: Sequence[int],
        interventions: Sequence[BoundIntervention] = (),
    ) -> None:
        super().__init__(policy, source, policy.learner.init(seeds), len(seeds))
        self._source, self._interventions = source, interventions
        self._actions: np.ndarray | None = None  # (S, *action) of a step not yet played

    def step(self, end: int | None = None) -> list[tuple[int, Episode]]:
        """One step of the source's clock, learning included; see `Training.step`."""
        del end
        if self._actions is not None:  # chosen for a step that failed; all before it is done
            return self._played()
        for _ in range(self._source.updates_due()):
            self.learn()
        # An update due at a gradient step has been made by now; an agent step not yet.
        offline = self._source.clock == "gradient_steps"
        clock = self.gradient_steps if offline else self._source.steps
        # Before the first update there is nothing new to copy.
        if self.gradient_steps and self._agent.is_target_update_step(clock):
            self.agent_state = self._learner.sync_target(self.agent_state)
        return self._played()

    def _played(self) -> list[tuple[int, Episode]]:
        return [(0, episode) for episode in self.play()]

    def burst(self, updates: int, plays: int) -> None:
        """See `Training.burst`."""
        for _ in range(updates):
            self.learn()
        for _ in range(plays):
            self.play()

    def play(self) -> list[Episode]:
        """The rest of `step`: what it does besides learning."""
        episodes = self._source.tick(self._act)
        self._actions = None
        return episodes

    def _act(self, observations: np.ndarray) -> np.ndarray:
        if self._actions is None:
            state, steps = self.agent_state, self._source.agent_steps
            self._actions, self.agent_state = self._policy.explore(state, observations, steps)
        return self._actions

    def learn(self) -> None:
        """One gradient step of every seed, and what intervenes after it."""
        batch: Any = self._source.replay.sample()
        if isinstance(batch, list):  # from a replay on the device
            batch = Separate(batch)
        self.agent_state, metrics, priorities = self._learner.update(self.agent_state, batch)
        if jax.tree.leaves(batch.probabilities):
            self._source.update_priorities(priorities)
        if self.gradient_steps % METRICS_PERIOD == 0:
            self._metrics.append(metrics)
        self.gradient_steps += 1
        self._intervene()

    def _intervene(self) -> None:
        for intervention in self._interventions:
            if self.gradient_steps not in intervention.occasions:
                continue
            size, replay = intervention.num_inputs, self._source.replay
            inputs = replay.sample_uniformly(size).inputs if size else None
            self.agent_state = intervention.apply(self.agent_state, inputs)

    def get_state(self) -> list[State]:
        """See `Training`; between steps or after one failed."""
        states = super().get_state()
        if self._actions is None:
            return states
        return [own | {"actions": x} for own, x in zip(states, self._actions.copy(), strict=True)]

    def set_state(self, states: Sequence[State]) -> None:
        """See `Training`."""
        super().set_state(states)
        failed = "actions" in states[0]
        self._actions = np.stack(part(states, "actions")) if failed else None
