"""Data that are there before the run: nothing is played but evaluations."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol

import gin
import jax
import numpy as np

from prune_rl.acting.episodes import Episode
from prune_rl.environments.scaled import Scale
from prune_rl.errors import blaming, require
from prune_rl.settings import checked
from prune_rl.sources.source import Act, Replay, Setting
from prune_rl.specs import ActionSpec, ObservationSpec
from prune_rl.state import State, part, per_seed


class FixedData(Replay, Protocol):
    """A replay that is full from the start; its state is what decides the next draws.

    It may have `scales`, of each seed the scale of its observations, on which games are shown too.

    Attributes:
        protocol: JSON facts for the provenance stamp.
    """

    observation_spec: ObservationSpec
    action_spec: ActionSpec
    protocol: dict[str, Any]


_FUNCTION = "a function from a Setting to fixed data, as @Dataset"
CreateDataset = Annotated[Callable[[Setting], FixedData], _FUNCTION]


def create_dataset(
    source: str, create_dataset_fn: CreateDataset | None, made: Setting
) -> FixedData:
    """The dataset of a `source` of that name.

    Raises:
        ConfigError: there is no function for it, or the agent asks for priorities.
    """
    binding = f"{source}.create_dataset_fn"
    require(create_dataset_fn is not None, binding, create_dataset_fn, _FUNCTION)
    assert create_dataset_fn is not None
    name, scheme = f"{type(made.agent).__name__}.replay_scheme", made.agent.replay_scheme
    require(scheme == "uniform", name, scheme, f"'uniform' with {source}")
    with blaming(binding, create_dataset_fn):
        return create_dataset_fn(made)


class FixedSource:
    """What sources of fixed data are alike in; see `Source`. The clock is the gradient step.

    Attributes:
        scales: of each seed, on which it learns observations; None for as they are.
    """

    clock = "gradient_steps"
    agent_steps = frames = 0

    def __init__(self, dataset: FixedData) -> None:
        self.observation_spec, self.action_spec = dataset.observation_spec, dataset.action_spec
        self.protocol, self.replay = dataset.protocol, dataset
        self.scales: Sequence[Scale] | None = getattr(dataset, "scales", None)
        self.steps = 0

    def num_gradient_steps(self, num_steps: int) -> int:
        """One per step."""
        return num_steps

    nominal_gradient_steps = num_gradient_steps

    def start(self) -> None:
        """Nothing to begin."""

    def get_state(self) -> list[State]:
        """See `Source`."""
        replay = self.replay.get_state()
        return per_seed(replay=replay, steps=[np.array(self.steps, np.int64)] * len(replay))

    def set_state(self, states: Sequence[State]) -> None:
        """See `Source`."""
        self.steps = int(states[0]["steps"])
        self.replay.set_state(part(states, "replay"))

    def close(self) -> None:
        """Nothing to release."""


@gin.configurable
@checked
class DatasetSource(FixedSource):
    """Batches of fixed data, which the host draws; see `Source`. One gradient step a tick.

    Args:
        setting: what it is made for; the agent's `replay_scheme` must be 'uniform'.
        create_dataset_fn: makes the data of all seeds.

    Raises:
        ConfigError: a setting is wrong.
    """

    def __init__(self, setting: Setting, *, create_dataset_fn: CreateDataset | None = None) -> None:
        super().__init__(create_dataset("DatasetSource", create_dataset_fn, setting))

    def updates_due(self) -> int:
        """One."""
        return 1

    def update_priorities(self, priorities: jax.Array) -> None:
        """Never called: no batch has probabilities."""
        raise RuntimeError("fixed data are sampled uniformly")

    def tick(self, act: Act) -> list[Episode]:
        """Counts a gradient step."""
        del act
        self.steps += 1
        return []
