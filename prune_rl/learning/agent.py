"""What all agents have in common: their settings, and when they do what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from prune_rl.errors import require
from prune_rl.learning.learner import Learner, Optimizers
from prune_rl.learning.seed_axis import STRATEGIES
from prune_rl.settings import Count, CountOrZero, Fraction, OneOf, Range
from prune_rl.specs import ActionSpec, ObservationSpec

_RATIO = "a whole number K, or 1/P as 0.25"
ReplayRatio = Annotated[float, Range(above=0), _RATIO]
_ROUNDING = 0.01  # of a period: 0.333 means one update every 3 agent steps


@dataclass(frozen=True, kw_only=True)
class Agent:
    """Settings and schedule of an agent that learns from a replay; names are Dopamine's.

    Agent steps are counted from zero over a whole run, warm-up included. Source of the schedule:
    Dopamine 4.1.2, jax/agents/dqn/dqn_agent.py.

    Attributes:
        gamma: discount per agent step.
        update_horizon: n of the n-step return, in agent steps.
        min_replay_history: no update before more agent steps than this are stored; without meaning
            where the data are fixed.
        replay_ratio: gradient steps per agent step: a whole number K for K of them after each
            agent step, or 1/P for one after every P (Dopamine's `update_period`); without meaning
            where the data are fixed.
        replay_scheme: how the replay is sampled, a key of `replay.samplers.SAMPLERS`.
        seed_strategy: how seeds lie and are mapped, see `prune_rl.learning.seed_axis`; 'auto' for
            the one measured fastest.

    Raises:
        ConfigError: a value is outside its range; names the gin binding.
    """

    gamma: Fraction = 0.99
    update_horizon: Count = 1
    min_replay_history: CountOrZero = 20_000
    replay_ratio: ReplayRatio = 0.25
    replay_scheme: str = "uniform"
    seed_strategy: Annotated[str, OneOf(["auto"], STRATEGIES)] = "auto"

    def __post_init__(self) -> None:
        self._require_replay_ratio()

    def _require(self, condition: bool, name: str, expected: str) -> None:
        require(condition, f"{type(self).__name__}.{name}", getattr(self, name), expected)

    def _require_replay_ratio(self) -> None:
        ratio = self.replay_ratio
        if ratio >= 1:
            nearest = str(round(ratio))
            exact = ratio == round(ratio)
        else:
            nearest = f"{1 / round(1 / ratio):.4g}, one update every {round(1 / ratio)} agent steps"
            exact = abs(1 / ratio - round(1 / ratio)) <= _ROUNDING
        self._require(exact, "replay_ratio", f"{_RATIO}; the nearest is {nearest}")

    @property
    def networks(self) -> Mapping[str, int | None]:
        """Names of the networks, and how many members each has; None without a member axis.

        gin can scope a pruner or an optimizer to one, as `actor/create_optimizer.eps = 1e-8`.
        """
        raise NotImplementedError

    @property
    def periods(self) -> Mapping[str, int]:
        """Gradient steps of the agent for one of a network, where it learns at fewer than all."""
        return {}

    def exploration(self, agent_steps: int) -> dict[str, float]:
        """Numbers that `Learner.act` takes in training, by the names that they are logged by."""
        raise NotImplementedError

    @property
    def exploration_eval(self) -> dict[str, float]:
        """The same in evaluation."""
        raise NotImplementedError

    def updates_due(self, agent_step: int) -> int:
        """How many gradient steps are due at this agent step, before acting."""
        past_warm_up = agent_step > self.min_replay_history
        return self.updates_at_once if past_warm_up and agent_step % self._period == 0 else 0

    @property
    def first_update(self) -> int:
        """The first agent step at which an update is due, if the run gets there."""
        return (self.min_replay_history // self._period + 1) * self._period

    def is_target_update_step(self, step: int) -> bool:
        """Whether target networks are to be copied at this step of the source's clock.

        Asked once there has been an update, after those of the step.
        """
        raise NotImplementedError

    def num_gradient_steps(self, num_agent_steps: int) -> int:
        """The sum of `updates_due` over the agent steps 0 to `num_agent_steps` - 1."""
        until_last = (num_agent_steps - 1) // self._period
        occasions = max(0, until_last - self.min_replay_history // self._period)
        return occasions * self.updates_at_once

    def nominal_gradient_steps(self, num_agent_steps: int) -> int:
        """Agent steps times replay ratio, as if there were no warm-up: 2,500,000 in 40M frames.

        Fractions of a run, of pruning and of interventions, are fractions of this.
        """
        return num_agent_steps * self.updates_at_once // self._period

    @property
    def _period(self) -> int:
        return max(1, round(1 / self.replay_ratio))

    @property
    def updates_at_once(self) -> int:
        """Gradient steps that are due at an agent step at which any are."""
        return max(1, round(self.replay_ratio))

    def learner(
        self, observation_spec: ObservationSpec, action_spec: ActionSpec, optimizers: Optimizers
    ) -> Learner:
        """Builds the compiled functions; nothing is compiled before the first call of each.

        Args:
            observation_spec: of what it learns from and acts on.
            action_spec: of what it may do.
            optimizers: of each of its `networks`, pruned.

        Raises:
            ConfigError: it cannot learn from such observations or actions.
        """
        raise NotImplementedError
