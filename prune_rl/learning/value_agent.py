"""What all value-based agents have in common: their settings, and when they do what."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import jax
from flax import linen as nn

from prune_rl.errors import require, require_choice
from prune_rl.learning.learner import Learner
from prune_rl.learning.seed_axis import STRATEGIES, default_strategy
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.pruning.pruner import Pruner

_ROUNDING = 0.01  # of a period: 0.333 means one update every 3 agent steps


@dataclass(frozen=True, kw_only=True)
class ValueAgent:
    """Settings and schedule of an agent that learns action values; names are Dopamine's.

    Agent steps are counted from zero over a whole run, warm-up included. Source of the schedule:
    Dopamine 4.1.2, jax/agents/dqn/dqn_agent.py.

    Attributes:
        torso: a module from one observation to features, as `@NatureTorso()`.
        gamma: discount per agent step.
        update_horizon: n of the n-step return, in agent steps.
        min_replay_history: no update before more agent steps than this are stored.
        replay_ratio: gradient steps per agent step: a whole number K for K of them after each
            agent step, or 1/P for one after every P (Dopamine's `update_period`).
        target_update_period: agent steps between copies to the target network.
        epsilon_train: probability of a random action once decayed.
        epsilon_eval: the same in evaluation.
        epsilon_decay_period: agent steps of the linear decay, which starts after the warm-up.
        replay_scheme: how the replay is sampled, 'uniform' or 'prioritized'.
        seed_strategy: how seeds are mapped, see `prune_rl.learning.seed_axis`; 'auto' for the one
            measured fastest.

    Raises:
        ConfigError: a value is outside its range; names the gin binding.
    """

    torso: nn.Module = field(default_factory=NatureTorso)
    gamma: float = 0.99
    update_horizon: int = 1
    min_replay_history: int = 20_000
    replay_ratio: float = 0.25
    target_update_period: int = 8_000
    epsilon_train: float = 0.01
    epsilon_eval: float = 0.001
    epsilon_decay_period: int = 250_000
    replay_scheme: Literal["uniform", "prioritized"] = "uniform"
    seed_strategy: str = "auto"

    def __post_init__(self) -> None:
        self._require(isinstance(self.torso, nn.Module), "torso", "a module, as @NatureTorso()")
        for name in ("gamma", "epsilon_train", "epsilon_eval"):
            value = getattr(self, name)
            number = isinstance(value, float | int)
            self._require(number and 0 <= value <= 1, name, "a number in [0, 1]")
        self._require_int("min_replay_history", 0)
        for name in ("update_horizon", "target_update_period", "epsilon_decay_period"):
            self._require_int(name, 1)
        self._require_replay_ratio()
        self._require_choice("replay_scheme", ["uniform", "prioritized"])
        self._require_choice("seed_strategy", ["auto", *STRATEGIES])

    def _require(self, condition: bool, name: str, expected: str) -> None:
        require(condition, f"{type(self).__name__}.{name}", getattr(self, name), expected)

    def _require_int(self, name: str, least: int) -> None:
        value = getattr(self, name)
        self._require(type(value) is int and value >= least, name, f"an integer >= {least}")

    def _require_choice(self, name: str, choices: Sequence[str]) -> None:
        require_choice(f"{type(self).__name__}.{name}", getattr(self, name), choices)

    def _require_replay_ratio(self) -> None:
        ratio, expected = self.replay_ratio, "a whole number K, or 1/P as 0.25"
        number = isinstance(ratio, float | int) and not isinstance(ratio, bool)
        self._require(number and 0 < ratio < math.inf, "replay_ratio", expected)
        if ratio >= 1:
            nearest = str(round(ratio))
            exact = ratio == round(ratio)
        else:
            nearest = f"{1 / round(1 / ratio):.4g}, one update every {round(1 / ratio)} agent steps"
            exact = abs(1 / ratio - round(1 / ratio)) <= _ROUNDING
        self._require(exact, "replay_ratio", f"{expected}; the nearest is {nearest}")

    def epsilon(self, agent_step: int) -> float:
        """Probability of a random action in training: 1, then linear to `epsilon_train`."""
        end = self.min_replay_history + self.epsilon_decay_period
        left = min(max((end - agent_step) / self.epsilon_decay_period, 0.0), 1.0)
        return self.epsilon_train + (1.0 - self.epsilon_train) * left

    def updates_due(self, agent_step: int) -> int:
        """How many gradient steps are due at this agent step, before acting."""
        past_warm_up = agent_step > self.min_replay_history
        return self._updates_at_once if past_warm_up and agent_step % self._period == 0 else 0

    def is_target_update_step(self, agent_step: int) -> bool:
        """Whether the target network is due at this agent step, after the updates."""
        return agent_step > self.min_replay_history and agent_step % self.target_update_period == 0

    def num_gradient_steps(self, num_agent_steps: int) -> int:
        """The sum of `updates_due` over the agent steps 0 to `num_agent_steps` - 1."""
        until_last = (num_agent_steps - 1) // self._period
        occasions = max(0, until_last - self.min_replay_history // self._period)
        return occasions * self._updates_at_once

    def nominal_gradient_steps(self, num_agent_steps: int) -> int:
        """Agent steps times replay ratio, as if there were no warm-up: 2,500,000 in 40M frames.

        Fractions of a run, of pruning and of interventions, are fractions of this.
        """
        return num_agent_steps * self._updates_at_once // self._period

    @property
    def _period(self) -> int:
        return max(1, round(1 / self.replay_ratio))

    @property
    def _updates_at_once(self) -> int:
        return max(1, round(self.replay_ratio))

    def _strategy(self) -> str:
        if self.seed_strategy != "auto":
            return self.seed_strategy
        return default_strategy(jax.default_backend(), type(self.torso).__name__)

    def learner(
        self, num_actions: int, observation_shape: Sequence[int], pruner: Pruner
    ) -> Learner:
        """Builds the compiled functions; nothing is compiled before the first call of each.

        Args:
            num_actions: size of the action set.
            observation_shape: (stack, H, W, C) of one observation.
            pruner: wraps the optimizer that gin configures through `create_optimizer`.
        """
        raise NotImplementedError
