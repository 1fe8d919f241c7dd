"""How far CQL and CQL+C51 are from Dopamine's offline agents (labs/offline_rl, commit 81f695c).

More rows of the table in dopamine_parity.py; see there.
"""

from functools import cache
from typing import Any, NamedTuple

import jax

from prune_rl.agents.cql import CQLAgent
from prune_rl.learning.conservative import conservative_gap
from prune_rl.learning.value_learning import Rules, batch_outputs
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.nature import NatureTorso

from . import dopamine_cases as cases
from .dopamine_parity import Quantity, Result, impala_stacks, of_summaries, our_batch, relative
from .dopamine_rainbow import to_ours as heads_to_ours


class _Training(NamedTuple):
    """What ours makes of one of the recorded training steps; the gradient in Dopamine's layout."""

    name: str
    target: jax.Array
    loss: jax.Array
    td: jax.Array
    gap: jax.Array
    gradient: Any


def to_ours(params: Any, dueling: bool) -> Any:
    """Weights of the offline agents' networks, as QNetwork names them."""
    layers = dict(params["params"])
    encoder = layers.pop("encoder", {})
    stacks = encoder if "Conv_0" in encoder else impala_stacks(encoder)
    return heads_to_ours({"params": {**layers, **stacks}}, dueling)


def _agent_and_network(name: str) -> tuple[CQLAgent, QNetwork]:
    _, n, double, dueling, c51, impala, td_coefficient, cql_coefficient = cases.OFFLINE[name]
    torso = ImpalaTorso() if impala else NatureTorso()
    agent = CQLAgent(
        torso=torso,
        update_horizon=n,
        num_atoms=cases.NUM_ATOMS if c51 else 1,
        vmax=cases.VMAX,
        double_dqn=double,
        dueling=dueling,
        td_coefficient=td_coefficient,
        cql_coefficient=cql_coefficient,
    )
    heads = {"num_atoms": agent.num_atoms, "vmax": cases.VMAX, "dueling": dueling}
    return agent, QNetwork(torso, cases.NUM_ACTIONS, **heads)


@cache
def _training(name: str) -> _Training:
    agent, network = _agent_and_network(name)
    rules, batch = agent._rules(network), our_batch(agent.update_horizon)
    plain: Rules = super(CQLAgent, agent)._rules(network)
    params, target_params = (cases.weights(cases.offline_shapes(name), seed) for seed in (0, 1))
    ours = to_ours(params, agent.dueling), to_ours(target_params, agent.dueling)
    target = rules.targets(*ours, batch, None)

    def loss_of(params: Any) -> tuple[jax.Array, jax.Array]:
        outputs = batch_outputs(network, to_ours(params, agent.dueling), batch.s_tm1)
        return rules.losses(outputs, batch, target).mean(), outputs

    (loss, outputs), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
    td = plain.losses(outputs, batch, target).mean()
    gap = conservative_gap(network.expectation(outputs), batch.a_tm1).mean()
    return _Training(name, target, loss, td, gap, gradient)


def targets() -> Result:
    """Target values and distributions of every agent."""
    record = cases.recorded()
    return relative((_training(x).target, record[f"offline/{x}/target"]) for x in cases.OFFLINE)


def losses() -> Result:
    """Mean losses, and their two parts."""
    record, kinds = cases.recorded(), ("loss", "td", "gap")
    return relative(
        (getattr(_training(x), kind), record[f"offline/{x}/{kind}"])
        for x in cases.OFFLINE
        for kind in kinds
    )


def gradients() -> Result:
    """Gradients of the mean losses."""
    return of_summaries((_training(x).gradient, f"offline/{x}/gradient") for x in cases.OFFLINE)


QUANTITIES = [
    Quantity("CQL's and CQL+C51's targets", targets, 1e-5),
    Quantity("CQL's and CQL+C51's losses, and their two parts", losses, 1e-5),
    Quantity("CQL's and CQL+C51's gradients, by tensor", gradients, 1e-5),
]
