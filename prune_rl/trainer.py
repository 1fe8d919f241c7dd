"""One step of the source's clock: the updates that are due, and what is played.

Order, as in Dopamine 4.1.2 (jax/agents/dqn/dqn_agent.py): make the updates that are due (and
intervene after each), copy the target network if that is due, act, step the environment, store the
transition.

Of several updates in a row, each batch is drawn while the device computes the update before: the
priorities of that one come a batch late.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from prune_rl.acting.episodes import Episode
from prune_rl.acting.policy import Policy
from prune_rl.learning.state import AgentState
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.sources.source import Source
from prune_rl.specs import Batch, Draw, Inputs, Probe

# One in so many updates has its metrics kept, so that fetching them never stalls the learner.
_METRICS_PERIOD = 10


class Trainer:
    """S seeds that learn from a source in lock-step; what a checkpoint holds.

    Attributes:
      agent_state: pytree, leading seed axis.
      gradient_steps: optimizer updates made for each seed, the state's `step` on the host.
    """

    def __init__(
        self,
        policy: Policy,
        source: Source,
        *,
        seeds: Sequence[int],
        interventions: Sequence[BoundIntervention] = (),
    ) -> None:
        self._policy, self._source = policy, source
        self._agent, self._learner = policy.agent, policy.learner
        self._interventions = interventions
        self.agent_state: AgentState = policy.learner.init(seeds)
        self.gradient_steps = 0
        self._metrics: list[dict[str, jax.Array]] = []
        self._fixed_probe: dict[str, Probe] = {}
        self._actions: np.ndarray | None = None  # chosen for a step that failed

    def step(self) -> list[Episode]:
        """One step of the source's clock, learning included; returns the episodes that ended.

        Raises:
          EnvironmentFailed: a game raised; the next call finishes the step and learns nothing.
        """
        if self._actions is None:
            self._learn_what_is_due()
        episodes = self._source.tick(self._act)
        self._actions = None
        return episodes

    def _learn_what_is_due(self) -> None:
        for _ in range(self._source.updates_due()):
            self._learn()
        # An update due at a gradient step has been made by now; an agent step not yet.
        offline = self._source.clock == "gradient_steps"
        clock = self.gradient_steps if offline else self._source.steps
        # Before the first update there is nothing new to copy.
        if self.gradient_steps and self._agent.is_target_update_step(clock):
            self.agent_state = self._learner.sync_target(self.agent_state)

    def _act(self, observations: np.ndarray) -> np.ndarray:
        if self._actions is None:
            state, steps = self.agent_state, self._source.agent_steps
            self._actions, self.agent_state = self._policy.explore(state, observations, steps)
        return self._actions

    def _learn(self) -> None:
        batch = self._source.replay.sample()
        self.agent_state, metrics, priorities = self._learner.update(self.agent_state, batch)
        if batch.probabilities is not None:
            self._source.update_priorities(priorities)
        if self.gradient_steps % _METRICS_PERIOD == 0:
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

    def probe(
        self, draws: Mapping[str, Draw], iteration: int, *, fixed: bool
    ) -> Mapping[str, Probe]:
        """What each draw asks of the source, apart from what training samples.

        New for every iteration, from the replay as it is now; if `fixed`, drawn at the first call
        and the same ever after.
        """
        if fixed and self._fixed_probe:
            return self._fixed_probe
        replay = self._source.replay
        drawn = {name: replay.probe(x, f"{name} {iteration}") for name, x in draws.items()}
        if fixed:
            self._fixed_probe = drawn
        return drawn

    def take_metrics(self) -> dict[str, npt.NDArray[np.float64]]:
        """Means (S,) over the updates sampled since the last call; empty if there were none."""
        fetched, self._metrics = jax.device_get(self._metrics), []
        names = fetched[0].keys() if fetched else ()
        return {n: np.mean([m[n] for m in fetched], axis=0, dtype=np.float64) for n in names}

    def get_state(self) -> dict[str, Any]:
        """Everything on the host, as nested dicts of NumPy arrays."""
        state: dict[str, Any] = {"source": self._source.get_state()}
        if self._fixed_probe:
            state["probe"] = {name: x._asdict() for name, x in self._fixed_probe.items()}
        if self._actions is not None:
            state["actions"] = self._actions
        return state

    def set_state(self, agent_state: AgentState, host: dict[str, Any]) -> None:
        """Goes on, to the bit, from a run's `agent_state` and `get_state()`."""
        self.agent_state = agent_state
        self.gradient_steps = int(agent_state.step)
        self._source.set_state(host["source"])
        self._actions = host.get("actions")
        probes = host.get("probe", {})
        self._fixed_probe = {name: _from_arrays(arrays) for name, arrays in probes.items()}


def _from_arrays(arrays: dict[str, Any]) -> Probe:
    return Inputs(**arrays) if set(arrays) == set(Inputs._fields) else Batch(**arrays)
