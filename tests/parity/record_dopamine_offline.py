"""Targets, losses and gradients of Dopamine's offline agents, which are not in its wheel.

They are read from a checkout of google/dopamine at commit 81f695c, whose folder $DOPAMINE_SOURCE
names, and work with the losses and targets of the release. What reads their data is left out.
"""

import hashlib
import math
import os
import sys
from pathlib import Path
from types import ModuleType

import dopamine_cases as cases
import jax
import jax.numpy as jnp
import numpy as np
from dopamine.jax.agents.dqn import dqn_agent
from dopamine.jax.agents.full_rainbow import full_rainbow_agent
from dopamine.labs import offline_rl
from record_dopamine_learning import CAPTURE, put_summary
from record_dopamine_networks import check_layout

_COMMIT = "81f695c"
_FOLDER = "dopamine/labs/offline_rl"
# SHA-256 of the commit's files that are run here, their first digits.
_FILES = {
    "jax/networks.py": "19fee33f63dbe0be",
    "jax/offline_dqn_agent.py": "c9652eb3a7425d53",
    "jax/offline_dr3_agent.py": "ca9d7def8ea429cc",
    "jax/offline_rainbow_agent.py": "3fcd19400a8bb739",
}
_READERS = ("fixed_replay", "rlu_tfds", "rlu_tfds.tfds_replay")


def _agents():
    """The modules of the two agents and of their networks."""
    source = Path(os.environ.get("DOPAMINE_SOURCE", "")) / _FOLDER
    for name, digest in _FILES.items():
        path = source / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
        if not found.startswith(digest):
            wanted = f"a checkout of google/dopamine at commit {_COMMIT}"
            sys.exit(f"DOPAMINE_SOURCE: {path} is not that of {wanted}")
    offline_rl.__path__.insert(0, str(source))
    for name in _READERS:  # they need batch_rl and rlds, and are not called
        parent, _, own = f"{offline_rl.__name__}.{name}".rpartition(".")
        module = sys.modules[f"{parent}.{own}"] = ModuleType(f"{parent}.{own}")
        module.__path__ = []
        setattr(sys.modules[parent], own, module)
    from dopamine.labs.offline_rl.jax import networks, offline_dr3_agent, offline_rainbow_agent

    return networks, offline_dr3_agent, offline_rainbow_agent


def record_values(record, name, networks, agent):
    """OfflineJaxDR3Agent's `train` without DR3."""
    n, cql_coefficient = cases.OFFLINE[name][1], cases.OFFLINE[name][-1]
    network, shapes = (
        networks.JAXDQNNetworkWithRepresentations(cases.NUM_ACTIONS),
        cases.offline_shapes(name),
    )
    check_layout(network, shapes)
    params, target_params = (cases.weights(shapes, seed) for seed in (0, 1))
    states, actions, rewards, next_states, terminals = cases.batch()
    gamma = math.pow(cases.GAMMA, n)
    target = dqn_agent.target_q(
        lambda x: network.apply(target_params, x), next_states, rewards, terminals, gamma
    )
    gradient, _, loss, td, _, gap, *_ = agent.train(
        network, params, target_params, CAPTURE, CAPTURE.init(params), states, actions,
        next_states, rewards, terminals, gamma, 0.0, cql_coefficient,
    )  # fmt: skip
    put_training(record, name, target, gradient, loss, td, gap)


def record_rainbow(record, name, networks, agent):
    """OfflineJaxRainbowAgent's `train`."""
    _, n, double, dueling, c51, impala, td_coefficient, cql_coefficient = cases.OFFLINE[name]
    network = networks.ParameterizedRainbowNetwork(
        cases.NUM_ACTIONS,
        cases.NUM_ATOMS if c51 else 1,
        dueling=dueling,
        distributional=c51,
        use_impala_encoder=impala,
    )
    shapes, support = cases.offline_shapes(name), jnp.asarray(cases.SUPPORT)
    check_layout(network, shapes, support)
    params, target_params = (cases.weights(shapes, seed) for seed in (0, 1))
    states, actions, rewards, next_states, terminals = cases.batch()
    gamma, key = math.pow(cases.GAMMA, n), jax.random.PRNGKey(4)  # no network draws from it

    def model(params):
        return lambda x, key: network.apply(params, x, key=key, support=support)

    target = full_rainbow_agent.target_output(
        model(params), model(target_params), next_states, rewards, terminals, support, gamma,
        double, c51, key,
    )  # fmt: skip
    gradient, _, loss, (td, gap), _ = agent.train(
        network, params, target_params, CAPTURE, CAPTURE.init(params), states, actions,
        next_states, rewards, terminals, support, gamma, double, c51, key,
        bc_coefficient=cql_coefficient, td_coefficient=td_coefficient,
    )  # fmt: skip
    put_training(record, name, target, gradient, loss, td, gap)


def put_training(record, name, target, gradient, loss, td, gap):
    """Keeps what a training step made: of the losses the means, as it hands out no others."""
    record[f"offline/{name}/target"] = np.asarray(target)
    for key, value in (("loss", loss), ("td", td), ("gap", gap)):
        record[f"offline/{name}/{key}"] = np.asarray(value)
    put_summary(record, f"offline/{name}/gradient", gradient)


def record(record):
    """Every agent of the cases."""
    networks, dr3_agent, rainbow_agent = _agents()
    for name, (kind, *_) in cases.OFFLINE.items():
        print(f"  {name}", flush=True)
        if kind == "dr3":
            record_values(record, name, networks, dr3_agent)
        else:
            record_rainbow(record, name, networks, rainbow_agent)
