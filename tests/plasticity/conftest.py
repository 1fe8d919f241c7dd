"""A network of two hidden layers whose dormant unit is known, with its optimizer's state."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from prune_rl.learning.quantities import Quantities
from prune_rl.learning.state import Network
from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.torso import FEATURES, Torso, merge_stack
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.specs import Inputs

SHAPE = (1, 3, 3, 1)


class SmallTorso(Torso):
    """A convolution of three units to 2 x 2 positions, and a dense layer of four."""

    wiring: ClassVar = {"Conv_0": ("Dense_0",), "Dense_0": (FEATURES,)}

    @nn.compact
    def __call__(self, observation):
        x = nn.relu(nn.Conv(3, (2, 2), padding="VALID")(merge_stack(observation)))
        return nn.relu(nn.Dense(4)(x.reshape(-1)))


NETWORK = QNetwork(SmallTorso(), num_actions=2)
QUANTITIES = Quantities(
    init_params=jax.jit(lambda key: NETWORK.init(key, jnp.zeros(SHAPE, jnp.uint8))),
    inputs=Inputs(np.zeros(SHAPE, np.uint8), np.int32(0)),
    wiring=NETWORK.wiring,
    activations=lambda params, inputs: hidden_activations(NETWORK, params, inputs.observations),
    q_values=lambda params, inputs: jax.vmap(NETWORK.apply, (None, 0))(params, inputs.observations),
)


@pytest.fixture(scope="session")
def inputs():
    rng = np.random.default_rng(0)
    observations = rng.integers(0, 256, (20, *SHAPE), dtype=np.uint8)
    return Inputs(observations, np.zeros(20, np.int32))


@pytest.fixture(scope="session")
def make_network():
    """Parameters all distinct, moments all ones; `dead` convolution units never fire."""

    def make(seed=0, dead=(), dead_dense=(), sparsity=0.0, pruner_type="magnitude"):
        params = QUANTITIES.init_params(jax.random.PRNGKey(seed))
        torso = params["params"]["torso"]
        for layer, units in (("Conv_0", dead), ("Dense_0", dead_dense)):
            kernel, bias = torso[layer]["kernel"], torso[layer]["bias"] + 0.5
            torso[layer]["kernel"] = jnp.abs(kernel)  # so that the others always fire
            for unit in units:
                torso[layer]["kernel"] = torso[layer]["kernel"].at[..., unit].multiply(-1)
                bias = bias.at[unit].set(-1.0)
            torso[layer]["bias"] = bias
        pruner_type = pruner_type if sparsity else "no_prune"
        pruner = create_updater_from_config(
            10, pruner_type, update_start_step=0, update_end_step=0, sparsity=sparsity
        )
        optimizer = pruner.wrap(optax.adam(0.0))
        ones = jax.tree.map(jnp.ones_like, params)
        update = jax.jit(lambda p, grads: optimizer.update(grads, optimizer.init(p), p))
        updates, opt_state = update(params, ones)
        params = optax.apply_updates(params, updates)
        adam = opt_state.inner_state[0]._replace(mu=ones, nu=ones)
        opt_state = opt_state._replace(inner_state=(adam, *opt_state.inner_state[1:]))
        return Network(params, ones, opt_state)

    return make
