"""What all value-based agents have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import jax
from flax import linen as nn

from prune_rl.errors import ConfigError
from prune_rl.learning.agent import Agent
from prune_rl.learning.seed_axis import default_strategy
from prune_rl.networks.precision import PRECISIONS
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.settings import Count, Fraction, Holds, OneOf
from prune_rl.specs import ActionSpec, Discrete

Q = "q"  # the name of their network


def _is_bare(torso: nn.Module) -> bool:
    own = (torso.name, torso.parent, getattr(torso, "dtype", None))
    return own == (None, None, None) and not getattr(torso, "noisy", False)


_BARE = "a module, as @NatureTorso(), whose name, parent, noise and dtype are the agent's to set"
_Module = Annotated[nn.Module, Holds(_is_bare, _BARE)]


@dataclass(frozen=True, kw_only=True)
class ValueAgent(Agent):
    """Settings of an agent that learns the values of numbered actions; see `Agent` for the others.

    Attributes:
        torso: a module from one observation to features, as `@NatureTorso()`.
        target_update_period: steps of the source's clock between copies to the target network:
            agent steps, gradient steps where the data are fixed.
        epsilon_train: probability of a random action once decayed.
        epsilon_eval: the same in evaluation.
        epsilon_decay_period: agent steps of the linear decay, which starts after the warm-up.
        precision: 'fp32', 'tf32' or 'bf16', in which its network multiplies; parameters, targets,
            losses and optimizer are float32. 'tf32' rounds products of float32 where the device
            can (NVIDIA from Ampere on; TPUs take three bfloat16 passes): on CPU it is 'fp32', to
            the bit. 'bf16' computes the layers in bfloat16.

    Raises:
        ConfigError: a value is outside its range; names the gin binding.
    """

    torso: _Module = field(default_factory=NatureTorso)
    target_update_period: Count = 8_000
    epsilon_train: Fraction = 0.01
    epsilon_eval: Fraction = 0.001
    epsilon_decay_period: Count = 250_000
    precision: Annotated[str, OneOf(PRECISIONS)] = "fp32"

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = PRECISIONS[self.precision].dtype is None or hasattr(self.torso, "dtype")
        self._require(fits, "precision", "'fp32' or 'tf32': this torso has no `dtype`")
        # gin is asked for its settings here: when the learner is made, it may be put back.
        object.__setattr__(self, "_head", QNetwork(self.torso, num_actions=1))

    @property
    def networks(self) -> Mapping[str, int | None]:
        """See `Agent`."""
        return {Q: None}

    def epsilon(self, agent_step: int) -> float:
        """Probability of a random action in training: 1, then linear to `epsilon_train`."""
        end = self.min_replay_history + self.epsilon_decay_period
        left = min(max((end - agent_step) / self.epsilon_decay_period, 0.0), 1.0)
        return self.epsilon_train + (1.0 - self.epsilon_train) * left

    def exploration(self, agent_steps: int) -> dict[str, float]:
        """See `Agent`."""
        return {"epsilon": self.epsilon(agent_steps)}

    @property
    def exploration_eval(self) -> dict[str, float]:
        """See `Agent`."""
        return {"epsilon": self.epsilon_eval}

    def is_target_update_step(self, step: int) -> bool:
        """See `Agent`."""
        return step % self.target_update_period == 0

    def _strategy(self, num_seeds: int, *, compiled_loop: bool = False) -> str:
        if self.seed_strategy != "auto":
            return self.seed_strategy
        backend, torso = jax.default_backend(), type(self.torso).__name__
        return default_strategy(backend, torso, num_seeds, compiled_loop=compiled_loop)

    def _network(self, action_spec: ActionSpec, *, noisy: bool = False, **more: Any) -> QNetwork:
        """The torso and its last layers, with more of the settings of `QNetwork`."""
        dtype = PRECISIONS[self.precision].dtype
        own = ({"noisy": True} if noisy else {}) | ({"dtype": dtype} if dtype else {})
        head: QNetwork = self._head  # type: ignore[attr-defined]
        return head.clone(
            torso=self.torso.clone(**own),
            num_actions=self._num_actions(action_spec),
            noisy=noisy,
            precision=self.precision,
            **more,
        )

    def _num_actions(self, action_spec: ActionSpec) -> int:
        if isinstance(action_spec, Discrete):
            return action_spec.num_actions
        raise ConfigError(
            f"Runner.agent={type(self).__name__}: expected numbered actions, but this source has "
            f"vectors of {action_spec.shape[0]}"
        )
