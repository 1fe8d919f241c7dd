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
from prune_rl.learning.saved import from_states, to_states
from prune_rl.learning.seed_axis import Separate
from prune_rl.learning.state import AgentStates
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.sources.source import Source
from prune_rl.specs import Batch, Draw, Inputs, Probe
from prune_rl.state import State, flatten, part, per_seed

# One in so many updates has its metrics kept, so that fetching them never stalls the learner.
METRICS_PERIOD = 10


class Trainer:
    """S seeds that learn from a source in lock-step; what a checkpoint holds.

    Attributes:
      agent_state: of the seeds, as their strategy lays them.
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
        self.agent_state: AgentStates = policy.learner.init(seeds)
        self.gradient_steps = 0
        self._metrics: list[Any] = []  # values (S,) by name, on the device until fetched
        self._actions: np.ndarray | None = None  # (S, *action) of a step not yet played
        self._num_seeds = len(seeds)
        self._fixed_probe: dict[str, Probe] = {}

    rounds_at_once = 1  # of a `burst`

    def step(self, end: int | None = None) -> list[tuple[int, Episode]]:
        """One step of the source's clock, learning included, or as many as it takes at once.

        Returns the episodes that ended, each with the agent steps that were taken since then.

        Args:
            end: step of the clock, ahead, that is not to be passed; None for any.

        Raises:
            EnvironmentFailed: a game raised; the next call finishes the step.
        """
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
        """`rounds_at_once` times so many gradient steps and then agent steps, due or not."""
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
        batch = self._source.replay.sample()
        self.agent_state, metrics, priorities = self._learner.update(self.agent_state, batch)
        if batch.probabilities is not None:
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
        fetched, self._metrics = _fetched(self._metrics), []
        names = fetched[0].keys() if fetched else ()
        return {n: np.mean([m[n] for m in fetched], axis=0, dtype=np.float64) for n in names}

    def get_state(self) -> list[State]:
        """Everything that decides the future, of each seed; between steps or after one failed."""
        self._metrics = _fetched(self._metrics)
        states = per_seed(
            agent=to_states(self.agent_state, self._learner.state_axes),
            source=self._source.get_state(),
            metrics=[_metrics_of(self._metrics, i) for i in range(self._num_seeds)],
            probe=[_probes_of(self._fixed_probe, i) for i in range(self._num_seeds)],
        )
        if self._actions is None:
            return states
        return [own | {"actions": x} for own, x in zip(states, self._actions.copy(), strict=True)]

    def set_state(self, states: Sequence[State]) -> None:
        """Goes on, to the bit, from what `get_state` returned.

        Raises:
            ConfigError: it is not the state of such a run.
        """
        axes = self._learner.state_axes
        self.agent_state = from_states(part(states, "agent"), self.agent_state, axes)
        self.gradient_steps = int(jax.tree.leaves(self.agent_state.step)[0])
        self._source.set_state(part(states, "source"))
        self._metrics = _joined_metrics([state.get("metrics", {}) for state in states])
        failed = "actions" in states[0]
        self._actions = np.stack(part(states, "actions")) if failed else None
        self._fixed_probe = _joined_probes([state.get("probe", {}) for state in states])


def _fetched(metrics: Sequence[Any]) -> list[dict[str, npt.NDArray[Any]]]:
    """Values (S,) on the host, by name."""
    return [_stacked(own) for own in jax.device_get(list(metrics))]


def _stacked(metrics: Any) -> dict[str, npt.NDArray[Any]]:
    if not isinstance(metrics, Separate):
        return dict(metrics)
    return {name: np.array([own[name] for own in metrics.trees]) for name in metrics.trees[0]}


def _metrics_of(metrics: Sequence[Mapping[str, npt.NDArray[Any]]], seed: int) -> State:
    """Values (n,) of one seed, by name."""
    names = metrics[0] if metrics else ()
    return {name: np.array([own[name][seed] for own in metrics]) for name in names}


def _joined_metrics(states: Sequence[State]) -> list[dict[str, Any]]:
    """The inverse for all seeds: n dicts of (S,)."""
    flat = [flatten(state) for state in states]
    columns = {name: np.stack([own[name] for own in flat], axis=1) for name in flat[0]}
    count = max(map(len, columns.values()), default=0)
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _probes_of(probes: Mapping[str, Probe], seed: int) -> State:
    return {
        name: {key: np.array(x[seed]) for key, x in probe._asdict().items() if x is not None}
        for name, probe in probes.items()
    }


def _joined_probes(states: Sequence[State]) -> dict[str, Probe]:
    probes: dict[str, Probe] = {}
    for name in states[0]:
        own = part(states, name)
        fields = {key: np.stack(part(own, key)) for key in own[0]}
        probes[name] = Inputs(**fields) if set(fields) == set(Inputs._fields) else Batch(**fields)
    return probes
