"""Networks of each precision against float64; what of them stays float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.precision import PRECISIONS
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso

pytestmark = pytest.mark.usefixtures("quick_compiling")

SHAPE = (2, 20, 20, 3)
TORSOS = {
    "nature": NatureTorso(),
    "impala": ImpalaTorso(stacks=(4, 8, 8)),
    "minatar": MinAtarTorso(),
    "noisy": MinAtarTorso(noisy=True),
}
# Largest error over the largest value: 24 bits of float32, 8 of bfloat16, and what layers add.
LEAST_AND_MOST = {"fp32": (0, 5e-6), "tf32": (0, 5e-6), "bf16": (2e-4, 3e-2)}  # on CPU
OBSERVATION = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


def network_of(torso, precision, **more):
    return QNetwork(
        torso.clone(dtype=PRECISIONS[precision].dtype),
        7,
        noisy=torso.noisy,
        precision=precision,
        **more,
    )


def first_params(network):
    return network.init(jax.random.PRNGKey(0), OBSERVATION)


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", TORSOS)
def test_outputs_are_as_near_to_those_of_float64_as_the_precision_allows(name, precision, dueling):
    torso, more = TORSOS[name], {"num_atoms": 3, "dueling": dueling}
    network = network_of(torso, precision, **more)
    params = first_params(network)
    outputs = network.apply(params, OBSERVATION)
    with jax.enable_x64(True):
        exact_params = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), params)
        exact = np.asarray(network_of(torso, "fp32", **more).apply(exact_params, OBSERVATION))
    assert exact.dtype == np.float64
    error = np.abs(np.asarray(outputs) - exact).max() / np.abs(exact).max()
    least, most = LEAST_AND_MOST[precision]
    assert least <= error <= most


def test_noise_acts_in_bfloat16_as_in_float32():
    network = network_of(TORSOS["noisy"], "bf16")
    exact, params = network_of(TORSOS["noisy"], "fp32"), first_params(network)
    rngs = {"noise": jax.random.PRNGKey(1)}
    one, other = (x.apply(params, OBSERVATION, rngs=rngs) for x in (network, exact))
    silent = exact.apply(params, OBSERVATION)
    assert np.abs(one - other).max() < 0.1 * np.abs(other - silent).max()


@pytest.mark.parametrize("name", TORSOS)
def test_parameters_and_answers_are_float32_and_first_weights_the_same(name):
    network = network_of(TORSOS[name], "bf16")
    params, expected = first_params(network), first_params(network_of(TORSOS[name], "fp32"))
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    assert all(map(np.array_equal, jax.tree.leaves(params), jax.tree.leaves(expected)))
    features = network.apply(params, OBSERVATION, method="features")
    outputs = network.apply(params, OBSERVATION)
    answers = hidden_activations(network, params, OBSERVATION[None])
    floats = {x.dtype.name for x in jax.tree.leaves((params, features, outputs, answers))}
    assert floats == {"float32"}


@pytest.mark.parametrize("noisy", [False, True])
def test_values_are_not_rounded_to_bfloat16(noisy):
    network = network_of(MinAtarTorso(noisy=noisy), "bf16")
    outputs = network.apply(first_params(network), OBSERVATION)
    assert (outputs != outputs.astype(jnp.bfloat16).astype(jnp.float32)).sum() >= 6
