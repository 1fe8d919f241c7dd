"""Conservative Q-learning (Kumar et al. 2020, CQL): any algorithm's loss, and a penalty beside it.

Sources: Dopamine's offline agents (labs/offline_rl/jax at commit 81f695c), offline_dr3_agent.py for
values and offline_rainbow_agent.py for distributions, which calls the penalty's coefficient
`bc_coefficient`.
"""

import chex
import jax
from jax.typing import ArrayLike

from prune_rl.learning.value_learning import Rules, chosen
from prune_rl.specs import Batch


def conservative_gap(q: jax.Array, actions: ArrayLike) -> jax.Array:
    """How far the soft maximum of values is above that of the action in the data, (batch,), >= 0.

    log Σ_a exp q(a) - q(action): equation 4 of the paper, CQL(H), for numbered actions.

    Args:
        q: (batch, num_actions), online values of the states acted in.
        actions: (batch,) integers, the actions in the data.
    """
    chex.assert_rank(q, 2)
    chex.assert_shape([actions], q.shape[:1])
    return jax.nn.logsumexp(q, axis=1) - chosen(q, actions)


def conservative(rules: Rules, *, td_coefficient: float, cql_coefficient: float) -> Rules:
    """The `rules` with the loss td_coefficient·loss + cql_coefficient·`conservative_gap`.

    The values are those that the network acts by: of a distribution, its mean. Targets stay.
    """

    def losses(outputs: jax.Array, batch: Batch, targets: jax.Array) -> jax.Array:
        own = td_coefficient * rules.losses(outputs, batch, targets)
        if cql_coefficient == 0:  # then these are the rules to the bit, whatever is compiled
            return own
        gap = conservative_gap(rules.network.expectation(outputs), batch.a_tm1)
        return own + cql_coefficient * gap

    return rules._replace(losses=losses)
