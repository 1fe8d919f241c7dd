"""DQN (Mnih et al. 2015) with the defaults and the schedule of Dopamine 4.1.2.

Source: dopamine/jax/agents/dqn/dqn_agent.py.
"""

from dataclasses import dataclass
from typing import Annotated

import gin

from prune_rl.learning.learner import Learner, Optimizers
from prune_rl.learning.temporal_difference import LOSSES, td_rules
from prune_rl.learning.value_agent import ValueAgent
from prune_rl.learning.value_learning import build_value_learner
from prune_rl.settings import OneOf, checked
from prune_rl.specs import ActionSpec, ObservationSpec


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class DQNAgent(ValueAgent):
    """Hyper-parameters of DQN; gin names and defaults are Dopamine's. See `ValueAgent`.

    Attributes:
        loss_type: 'mse' or 'huber'.
    """

    loss_type: Annotated[str, OneOf(LOSSES)] = "mse"

    def learner(
        self, observation_spec: ObservationSpec, action_spec: ActionSpec, optimizers: Optimizers
    ) -> Learner:
        """See `Agent.learner`."""
        rules = td_rules(self._network(action_spec), self.loss_type)
        return build_value_learner(rules, observation_spec, optimizers, self._strategy)
