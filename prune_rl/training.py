"""What a run that trains holds besides its source: the agent, and metrics not yet logged."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from prune_rl.acting.episodes import Episode
from prune_rl.acting.policy import Policy
from prune_rl.learning.saved import from_states, to_states
from prune_rl.learning.seed_axis import on_host
from prune_rl.learning.state import AgentStates
from prune_rl.sources.source import Source
from prune_rl.specs import Batch, Draw, Inputs, Probe
from prune_rl.state import State, flatten, part, per_seed


class Training:
    """S seeds that learn from a source in lock-step; what a checkpoint holds.

    Who drives them is a `trainer.Trainer` or a `device_loop.DeviceLoop`.

    Attributes:
      agent_state: of the seeds, as their strategy lays them.
      gradient_steps: optimizer updates made for each seed, the state's `step` on the host.
      rounds_at_once: of a `burst`.
    """

    rounds_at_once = 1

    def __init__(
        self, policy: Policy, source: Source, agent_state: AgentStates, num_seeds: int
    ) -> None:
        self._policy, self._origin = policy, source
        self._agent, self._learner = policy.agent, policy.learner
        self.agent_state = agent_state
        self.gradient_steps = 0
        self._metrics: list[Any] = []  # values (S,) by name, on the device until fetched
        self._num_seeds = num_seeds
        self._fixed_probe: dict[str, Probe] = {}

    def step(self, end: int | None = None) -> list[tuple[int, Episode]]:
        """One step of the source's clock, learning included, or as many as it takes at once.

        Returns the episodes that ended, each with the agent steps that were taken since then.

        Args:
            end: step of the clock, ahead, that is not to be passed; None for any.

        Raises:
            EnvironmentFailed: a game raised; the next call finishes the step.
        """
        raise NotImplementedError

    def burst(self, updates: int, plays: int) -> None:
        """`rounds_at_once` times so many gradient steps and then agent steps, due or not."""
        raise NotImplementedError

    def probe(
        self, draws: Mapping[str, Draw], iteration: int, *, fixed: bool
    ) -> Mapping[str, Probe]:
        """What each draw asks of the source, apart from what training samples.

        New for every iteration, from the replay as it is now; if `fixed`, drawn at the first call
        and the same ever after.
        """
        if fixed and self._fixed_probe:
            return self._fixed_probe
        replay = self._origin.replay
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
        """Everything that decides the future, of each seed."""
        self._metrics = _fetched(self._metrics)
        return per_seed(
            agent=to_states(self.agent_state, self._learner.state_axes),
            source=self._origin.get_state(),
            metrics=[_metrics_of(self._metrics, i) for i in range(self._num_seeds)],
            probe=[_probes_of(self._fixed_probe, i) for i in range(self._num_seeds)],
        )

    def set_state(self, states: Sequence[State]) -> None:
        """Goes on, to the bit, from what `get_state` returned.

        Raises:
            ConfigError: it is not the state of such a run.
        """
        axes = self._learner.state_axes
        self.agent_state = from_states(part(states, "agent"), self.agent_state, axes)
        self.gradient_steps = int(jax.tree.leaves(self.agent_state.step)[0])
        self._origin.set_state(part(states, "source"))
        self._metrics = _joined_metrics([state.get("metrics", {}) for state in states])
        self._fixed_probe = _joined_probes([state.get("probe", {}) for state in states])


def _fetched(metrics: Sequence[Any]) -> list[dict[str, npt.NDArray[Any]]]:
    """Values (S,) on the host, by name."""
    return [on_host(own) for own in jax.device_get(list(metrics))]  # all of them at once


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
