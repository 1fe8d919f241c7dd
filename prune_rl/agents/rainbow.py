"""Rainbow (Hessel et al. 2018), compact as the paper uses it or with any of its parts.

Source: Dopamine 4.1.2, jax/agents/rainbow and jax/agents/full_rainbow. C51, full Rainbow, DrQ(ε)
and DER are this agent with other settings: see gin_configs/agents.
"""

from dataclasses import dataclass
from typing import Annotated

import gin

from prune_rl.learning.augmentation import Augmentation
from prune_rl.learning.distributional import categorical_rules
from prune_rl.learning.learner import Learner, Optimizers
from prune_rl.learning.temporal_difference import LOSSES, td_rules
from prune_rl.learning.value_agent import ValueAgent
from prune_rl.learning.value_learning import Rules, build_value_learner
from prune_rl.networks.q_network import QNetwork
from prune_rl.settings import Count, OneOf, Positive, checked
from prune_rl.specs import ActionSpec, ObservationSpec


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class RainbowAgent(ValueAgent):
    """Hyper-parameters of Rainbow; defaults are those of Dopamine's rainbow.gin: the compact one.

    See `ValueAgent` for the others.

    Attributes:
        num_atoms: of the value distribution, over [-vmax, vmax]; 1 learns plain values instead.
        vmax: largest return that the distribution holds.
        double_dqn: the online network chooses the action whose target value is used.
        dueling: separate streams of advantages and values.
        noisy: noise on the dense layers' weights explores instead of ε, which is 0 then (except
            `epsilon_eval`, in evaluation, where there is no noise).
        data_augmentation: learns from shifted observations, see `learning.augmentation`.
        loss_type: 'huber' or 'mse'; read only where num_atoms is 1.
    """

    update_horizon: Count = 3
    replay_scheme: str = "prioritized"
    num_atoms: Count = 51
    vmax: Positive = 10.0
    double_dqn: bool = False
    dueling: bool = False
    noisy: bool = False
    data_augmentation: bool = False
    loss_type: Annotated[str, OneOf(LOSSES)] = "huber"

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = not self.noisy or hasattr(self.torso, "noisy")
        self._require(fits, "noisy", "False, for this torso has no attribute `noisy`")

    def epsilon(self, agent_step: int) -> float:
        """See `ValueAgent`; 0 with noisy nets, from the first step on as in Dopamine."""
        return 0.0 if self.noisy else super().epsilon(agent_step)

    def learner(
        self, observation_spec: ObservationSpec, action_spec: ActionSpec, optimizers: Optimizers
    ) -> Learner:
        """See `Agent.learner`."""
        fits = observation_spec.is_image or not self.data_augmentation
        self._require(fits, "data_augmentation", "False, for this source has no images")
        network = self._network(
            action_spec,
            num_atoms=self.num_atoms,
            vmax=float(self.vmax),
            dueling=self.dueling,
            noisy=self.noisy,
        )
        rules = self._rules(network)
        return build_value_learner(rules, observation_spec, optimizers, self._strategy)

    def _rules(self, network: QNetwork) -> Rules:
        """What is learned, by a network with these settings."""
        transform = Augmentation() if self.data_augmentation else None
        if self.num_atoms == 1:
            return td_rules(network, self.loss_type, double_dqn=self.double_dqn, augment=transform)
        return categorical_rules(network, double_dqn=self.double_dqn, augment=transform)
