"""What a run is made of, once its configuration has become objects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prune_rl import randomness
from prune_rl.acting.evaluation import Evaluation
from prune_rl.acting.policy import Policy
from prune_rl.diagnostics.suite import BoundDiagnostics
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.learning.state import Params
from prune_rl.sources.source import Source
from prune_rl.training import Training


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run is made of.

    Attributes:
      base_dir: the run directory; a run that it holds is resumed.
      source: whose clock counts the steps here.
      policy: how the agent plays.
      trainer: of the source and the agent.
      seeds: S of them.
      num_iterations: how many times to train, then to evaluate if asked to.
      training_steps: of the source's clock, per iteration.
      evaluation: `num_steps` (agent steps) and `num_episodes` of each seed per evaluation; none if
        both are 0.
      checkpoint_minutes: how long it may run without saving; every iteration is saved anyway.
      create_environments: makes the games of all seeds, from a stream of their randomness.
      diagnostics: what to measure beside returns and losses, if anything.
    """

    base_dir: Path
    source: Source
    policy: Policy
    trainer: Training
    seeds: Sequence[int]
    num_iterations: int
    training_steps: int
    evaluation: Mapping[str, int]
    checkpoint_minutes: float
    create_environments: Callable[..., EnvironmentBatch]
    diagnostics: BoundDiagnostics | None

    def new_evaluation(self, iteration: int, params: Mapping[str, Params]) -> Evaluation:
        """That of weights: it depends on them, on seeds and iteration only."""
        return Evaluation(
            self.policy,
            self.create_environments(randomness.EVALUATION, iteration),
            params=params,
            keys=randomness.evaluation_keys(self.seeds, iteration),
            **self.evaluation,
        )
