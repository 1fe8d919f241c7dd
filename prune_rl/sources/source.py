"""What a run learns from: an environment with a replay, fixed data, or both."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from prune_rl.acting.episodes import Episode
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.errors import ConfigError
from prune_rl.learning.agent import Agent
from prune_rl.specs import ActionSpec, Batch, Draw, ObservationSpec, Probe, in_words
from prune_rl.state import State

Act = Callable[[np.ndarray], np.ndarray]  # observations (S, *observation) -> actions (S, *action)


class Setting(NamedTuple):
    """What a source is made for.

    Attributes:
        agent: what learns from it.
        seeds: S of them.
        create_environments: makes the games of all seeds, from a stream of their randomness.
        num_steps: of the source's clock, in the whole run.
        game: that the configuration names, for data of several; None where it names none.
    """

    agent: Agent
    seeds: Sequence[int]
    create_environments: Callable[..., EnvironmentBatch]
    num_steps: int
    game: str | None = None


def require_same_specs(
    binding: str, given: Any, other: Any, expected: str, advice: str = ""
) -> None:
    """Raises `ConfigError` unless both have the `other`'s specs, that `expected` introduces."""
    own, others = ((x.observation_spec, x.action_spec) for x in (given, other))
    if own != others:
        told = f"{in_words(*own)}; expected {expected}, {in_words(*others)}"
        raise ConfigError(f"{binding}: {told}{advice}")


class Stored(Protocol):
    """Transitions of S seeds to measure on, as `replay.buffer.ReplayBuffer` says.

    Where it `has_held_out`, a `Draw` may ask for those that are never learned from.
    """

    def probe(self, draw: Draw, name: str) -> Probe: ...

    def get_state(self) -> list[State]: ...


class Replay(Stored, Protocol):
    """The same, to draw batches from.

    `sample` returns one batch (S, B, ...); a replay in device memory a list of S (B, ...).
    """

    def sample(self) -> Batch: ...

    def sample_uniformly(self, size: int) -> Batch: ...

    def set_state(self, states: Sequence[State]) -> None: ...


class Source(Protocol):
    """Where batches come from, and whose clock a run goes by.

    Attributes:
        clock: 'agent_steps' or 'gradient_steps': what an iteration, a schedule of the agent, a log
            and a figure count.
        steps: of the clock, gone so far.
        agent_steps: taken in an environment by each seed; 0 for ever where there is none.
        frames: ticks of the emulator, or steps of the simulator, in these.
        protocol: JSON facts for the provenance stamp.
        replay: what probes are drawn from.
    """

    clock: str
    observation_spec: ObservationSpec
    action_spec: ActionSpec
    protocol: dict[str, Any]

    @property
    def replay(self) -> Stored: ...

    @property
    def steps(self) -> int: ...

    @property
    def agent_steps(self) -> int: ...

    @property
    def frames(self) -> int: ...

    def num_gradient_steps(self, num_steps: int) -> int:
        """Gradient steps that are due in so many steps of the clock."""

    def nominal_gradient_steps(self, num_steps: int) -> int:
        """The same without warm-up: fractions of a run are fractions of this."""

    def start(self) -> None:
        """Begins; once, unless `set_state` restores a run."""

    def get_state(self) -> list[State]:
        """Everything that decides the future, of each seed; see `prune_rl.state`."""

    def set_state(self, states: Sequence[State]) -> None:
        """Goes on, to the bit, from what `get_state` returned."""

    def close(self) -> None:
        """Releases threads and emulators."""


class SteppedSource(Source, Protocol):
    """One that goes step by step, of which a `Trainer` asks the batches too."""

    @property
    def replay(self) -> Replay: ...

    def updates_due(self) -> int:
        """Gradient steps to make before the next `tick`."""

    def update_priorities(self, priorities: Any) -> None:
        """Takes the priorities (S, B) of the batch last sampled, once the device has them."""

    def tick(self, act: Act) -> list[Episode]:
        """One step of the clock; plays what `act` answers, and returns episodes that ended."""
