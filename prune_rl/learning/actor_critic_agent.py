"""What the settings of all agents with an actor have in common."""

from dataclasses import dataclass, field
from typing import Annotated

import jax
import jax.numpy as jnp
from flax import linen as nn

from prune_rl.learning.agent import Agent, ReplayRatio
from prune_rl.learning.seed_axis import default_strategy
from prune_rl.networks.torsos.mlp import MLPTorso
from prune_rl.settings import Count, CountOrZero, Fraction, Holds
from prune_rl.specs import ActionSpec, Inputs, ObservationSpec


def _is_bare(torso: nn.Module) -> bool:
    return (torso.name, torso.parent) == (None, None)


Torso = Annotated[nn.Module, Holds(_is_bare, "a module, as @MLPTorso()")]


@dataclass(frozen=True, kw_only=True)
class ActorAgent(Agent):
    """Settings of an agent that learns what to do where actions are vectors; see `Agent`.

    Attributes:
        actor_torso: a module from one observation to features, as `@MLPTorso()`.
    """

    min_replay_history: CountOrZero = 10_000
    replay_ratio: ReplayRatio = 1.0
    actor_torso: Torso = field(default_factory=MLPTorso)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.replay_scheme == "uniform", "replay_scheme", "'uniform'")

    def exploration(self, agent_steps: int) -> dict[str, float]:
        """See `Agent`: uniform actions during the warm-up, then the actor's own."""
        return {"epsilon": float(agent_steps < self.min_replay_history)}

    @property
    def exploration_eval(self) -> dict[str, float]:
        """See `Agent`."""
        return {"epsilon": 0.0}

    def is_target_update_step(self, step: int) -> bool:
        """Never: targets move within an update."""
        del step
        return False

    def _strategy(self, num_seeds: int, *, compiled_loop: bool = False) -> str:
        if self.seed_strategy != "auto":
            return self.seed_strategy
        backend, torso = jax.default_backend(), type(self.actor_torso).__name__
        return default_strategy(backend, torso, num_seeds, compiled_loop=compiled_loop)


@dataclass(frozen=True, kw_only=True)
class ActorCriticAgent(ActorAgent):
    """Settings of one that learns from the values of actions too.

    Attributes:
        critic_torso: as `actor_torso`, from an observation and an action side by side.
        num_critics: members of the ensemble of critics.
        target_smoothing_coefficient: the part of the way that targets go to their networks at
            every move; tau of the papers.
    """

    critic_torso: Torso = field(default_factory=MLPTorso)
    num_critics: Count = 2
    target_smoothing_coefficient: Fraction = 0.005


def empty_inputs(observation_spec: ObservationSpec, action_spec: ActionSpec) -> Inputs:
    """Of one transition, zeros."""
    observation = jnp.zeros(observation_spec.shape, observation_spec.dtype)
    return Inputs(observation, jnp.zeros(action_spec.shape, action_spec.dtype))
