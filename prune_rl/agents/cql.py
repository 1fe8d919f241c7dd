"""CQL (Kumar et al. 2020) and CQL+C51 (Kumar et al. 2022): fixed data, learned conservatively.

Source: Dopamine's offline agents, see `learning.conservative`. One class for both: CQL+C51 is this
agent with other settings, see gin_configs/agents.
"""

from dataclasses import dataclass

import gin

from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.learning.conservative import conservative
from prune_rl.learning.value_learning import Rules
from prune_rl.networks.q_network import QNetwork
from prune_rl.settings import Count, NotNegative, checked


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class CQLAgent(RainbowAgent):
    """Hyper-parameters of CQL; defaults learn plain values. See `RainbowAgent` for the others.

    gin binds all of them here: a binding of `RainbowAgent.gamma` is another agent's. On fixed data
    `target_update_period` counts gradient steps; `min_replay_history`, `replay_ratio`,
    `epsilon_train` and `epsilon_decay_period` mean nothing there.

    Attributes:
        cql_coefficient: of the gap between the soft maximum of the values and the value of the
            action in the data; Dopamine's `OfflineJaxDR3Agent.cql_coefficient` and
            `OfflineJaxRainbowAgent.bc_coefficient`.
        td_coefficient: of the temporal-difference loss or the cross-entropy.
    """

    update_horizon: Count = 1
    replay_scheme: str = "uniform"
    target_update_period: Count = 2_000
    num_atoms: Count = 1
    cql_coefficient: NotNegative = 0.1
    td_coefficient: NotNegative = 1.0

    def _rules(self, network: QNetwork) -> Rules:
        return conservative(
            super()._rules(network),
            td_coefficient=self.td_coefficient,
            cql_coefficient=self.cql_coefficient,
        )
